#include <fmt/format.h>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/pages.h"
#include "samples/shop/services.h"
#include "samples/shop/sessions.h"

namespace mizzen::samples::shop {
namespace {

constexpr std::string_view kSessionCookie = "md.sid";

std::string at(const char* service, std::string_view path) {
  return fmt::format("http://{}{}", service, path);
}

// A request whose visitor is known.
struct Visit {
  Call call;
  Answer answer;
  std::string session_id;
  bool fresh = false;  // the visitor has no cookie yet
  Json session = Json::object();

  std::string customer() const { return text_of(session, "customerId"); }
  // Whose cart it is: before signing in, the session's.
  std::string cart_owner() const { return customer().empty() ? session_id : customer(); }
  void reply(Reply reply) const {
    if (fresh) {
      reply.headers.emplace_back(
          "set-cookie", fmt::format("{}={}; Path=/; HttpOnly", kSessionCookie, session_id));
    }
    answer(std::move(reply));
  }
  void refuse(const Error& error) const { reply(failure(status_of(error), error.message)); }
};
using VisitPtr = std::shared_ptr<Visit>;

class FrontEnd {
 public:
  FrontEnd(Service& service, std::string version)
      : service_(service),
        version_(std::move(version)),
        sessions_(env_or("SESSION_REDIS", "false") == "true"
                      ? sessions_in_redis(service.loop(), env_or("SESSION_DB_HOST", "session-db"))
                      : sessions_in_memory()) {}

  void handle(const Call& call, const Answer& answer) {
    if (call.method == "GET" || call.method == "HEAD") {
      if (auto found = page(call.path, version_)) return answer(std::move(*found));
    }
    auto parts = segments(call.path);
    if (parts.empty()) return answer(not_found(call));
    if (parts[0] == "catalogue" || parts[0] == "tags") {
      return pass_on(call, answer, at("catalogue", call.path));
    }
    if (parts[0] == "customers") return pass_on(call, answer, at("user", call.path));
    auto visit = std::make_shared<Visit>();
    visit->call = call;
    visit->answer = answer;
    visit->session_id = cookie_of(call, kSessionCookie);
    visit->fresh = visit->session_id.empty();
    if (visit->fresh) visit->session_id = new_id();
    sessions_->load(visit->session_id, [this, visit](const Result<Json>& session) {
      if (!session) return visit->refuse(session.error());
      visit->session = *session;
      known(visit);
    });
  }

 private:
  void known(const VisitPtr& visit) {
    auto parts = segments(visit->call.path);
    const std::string& method = visit->call.method;
    if (parts[0] == "cart") return cart(visit, parts);
    if (parts[0] == "login" && method == "GET") return sign_in(visit);
    if (parts[0] == "logout") return sign_out(visit);
    if (parts[0] == "register" && method == "POST") return enrol(visit);
    if (visit->customer().empty()) return visit->reply(failure(401, "User not logged in."));
    if (parts[0] == "orders") return orders(visit, parts);
    for (std::string_view kind : {"card", "address"}) {
      if (parts[0] == kind || parts[0] == std::string(kind) + (kind == "card" ? "s" : "es")) {
        return belongings(visit, kind == "card" ? "cards" : "addresses", std::string(kind));
      }
    }
    visit->reply(not_found(visit->call));
  }

  // The answer of `url` as it is.
  void pass_on(const Call& call, const Answer& answer, std::string url) {
    if (!call.query.empty()) url += "?" + call.query;
    Outgoing request{call.method, std::move(url), trace_headers(call), call.body};
    for (const char* name : {"accept", "content-type"}) {
      if (!call.header(name).empty()) request.headers.emplace_back(name, call.header(name));
    }
    service_.send(std::move(request), [answer](Result<Reply> reply) {
      if (!reply) return answer(failure(status_of(reply.error()), reply.error().message));
      std::erase_if(reply->headers, [](const auto& header) {
        return header.first != "content-type" && header.first != "cache-control";
      });
      answer(std::move(*reply));
    });
  }

  // Sends, and answers what came with `status`, or what went wrong.
  void relay(const VisitPtr& visit, Outgoing request, int status) {
    ask_json(service_, visit->call, std::move(request),
             [visit, status](const Result<Json>& answer) {
               if (!answer) return visit->refuse(answer.error());
               visit->reply(json_reply(status, *answer));
             });
  }

  void cart(const VisitPtr& visit, const std::vector<std::string_view>& parts) {
    std::string own = at("carts", "/carts/" + visit->cart_owner());
    const std::string& method = visit->call.method;
    bool update = parts.size() == 2 && parts[1] == "update" && method == "POST";
    if (parts.size() == 1 && method == "GET") return relay(visit, {.url = own + "/items"}, 200);
    if (parts.size() == 1 && method == "DELETE") {
      return relay(visit, {.method = "DELETE", .url = own}, 202);
    }
    if (parts.size() == 2 && method == "DELETE") {
      std::string item = percent_encode(parts[1]);
      return relay(visit, {.method = "DELETE", .url = own + "/items/" + item}, 202);
    }
    if (!update && (parts.size() != 1 || method != "POST")) {
      return visit->reply(not_found(visit->call));
    }
    auto wanted = object_of(visit->call);
    std::string id = wanted ? text_of(*wanted, "id") : "";
    if (id.empty()) return visit->reply(failure(400, "Must pass id of item to add to cart"));
    ask_json(service_, visit->call, {.url = at("catalogue", "/catalogue/" + percent_encode(id))},
             [this, visit, own, update, wanted = *wanted](const Result<Json>& product) {
               if (!product) return visit->refuse(product.error());
               Json item = {{"itemId", text_of(*product, "id")},
                            {"unitPrice", number_of(*product, "price")}};
               if (wanted.contains("quantity")) item["quantity"] = wanted["quantity"];
               Outgoing request{.method = update ? "PATCH" : "POST", .url = own + "/items"};
               request.body = item.dump();
               relay(visit, std::move(request), update ? 202 : 201);
             });
  }

  void orders(const VisitPtr& visit, const std::vector<std::string_view>& parts) {
    if (visit->call.method == "POST") return place_order(visit);
    if (parts.size() == 2) {
      return relay(visit, {.url = at("orders", "/orders/" + percent_encode(parts[1]))}, 200);
    }
    std::string path = "/orders/search/customerId?custId=" + visit->customer();
    ask_json(service_, visit->call, {.url = at("orders", path)},
             [visit](const Result<Json>& found) {
               if (!found) return visit->refuse(found.error());
               Json embedded = found->value("_embedded", Json::object());
               visit->reply(json_reply(200, embedded.value("customerOrders", Json::array())));
             });
  }

  // The last address and card of the customer go with the cart to `orders`.
  void place_order(const VisitPtr& visit) {
    auto order = std::make_shared<Json>(
        Json{{"customer", at("user", "/customers/" + visit->customer())},
             {"items", at("carts", "/carts/" + visit->customer() + "/items")}});
    std::string own = at("user", "/customers/" + visit->customer());
    last_of(visit, own + "/addresses", "address", order, [this, visit, own, order] {
      last_of(visit, own + "/cards", "card", order, [this, visit, order] {
        Outgoing request{.method = "POST", .url = at("orders", "/orders")};
        request.body = order->dump();
        relay(visit, std::move(request), 201);
      });
    });
  }
  void last_of(const VisitPtr& visit, const std::string& url, const std::string& kind,
               const std::shared_ptr<Json>& order, const std::function<void()>& then) {
    ask_json(service_, visit->call, {.url = url},
             [visit, kind, order, then](const Result<Json>& found) {
               if (!found) return visit->refuse(found.error());
               Json list = found->value("_embedded", Json::object()).value(kind, Json::array());
               if (list.empty()) {
                 return visit->reply(failure(406, "the customer has no " + kind + " yet"));
               }
               (*order)[kind] = list.back()["_links"]["self"]["href"];
               then();
             });
  }

  // Cards and addresses of the customer.
  void belongings(const VisitPtr& visit, const std::string& collection, const std::string& kind) {
    if (visit->call.method != "POST") {
      std::string path = "/customers/" + visit->customer() + "/" + collection;
      return ask_json(service_, visit->call, {.url = at("user", path)},
                      [visit, kind](const Result<Json>& found) {
                        if (!found) return visit->refuse(found.error());
                        Json embedded = found->value("_embedded", Json::object());
                        visit->reply(json_reply(200, embedded.value(kind, Json::array())));
                      });
    }
    auto wanted = object_of(visit->call);
    if (!wanted) return visit->reply(failure(400, wanted.error().message));
    (*wanted)["userID"] = visit->customer();
    Outgoing request{.method = "POST", .url = at("user", "/" + collection)};
    request.body = wanted->dump();
    relay(visit, std::move(request), 200);
  }

  void sign_in(const VisitPtr& visit) {
    Outgoing request{.url = at("user", "/login")};
    if (visit->call.header("authorization").empty()) {
      return visit->reply(failure(401, "Unauthorized"));
    }
    ask_json(service_, visit->call, std::move(request), [this, visit](const Result<Json>& found) {
      if (!found) return visit->refuse(found.error());
      Json person = found->value("user", Json::object());
      signed_in(visit, text_of(person, "id"), text_of(person, "username"),
                text(200, "Cookie is set"));
    });
  }

  void enrol(const VisitPtr& visit) {
    Outgoing request{.method = "POST", .url = at("user", "/register"), .body = visit->call.body};
    std::string name = text_of(object_of(visit->call).value_or(Json::object()), "username");
    ask_json(service_, visit->call, std::move(request),
             [this, visit, name](const Result<Json>& made) {
               if (!made) return visit->refuse(made.error());
               signed_in(visit, text_of(*made, "id"), name, json_reply(200, *made));
             });
  }

  void signed_in(const VisitPtr& visit, const std::string& customer, const std::string& name,
                 Reply reply) {
    visit->session["customerId"] = customer;
    reply.headers.emplace_back("set-cookie", "logged_in=" + visit->session_id + "; Path=/");
    reply.headers.emplace_back("set-cookie", "shop_user=" + percent_encode(name) + "; Path=/");
    sessions_->save(visit->session_id, visit->session,
                    [this, visit, customer, reply = std::move(reply)](const Status& status) {
                      if (!status) return visit->refuse(status.error());
                      std::string path =
                          fmt::format("/carts/{}/merge?sessionId={}", customer, visit->session_id);
                      ask_json(service_, visit->call, {.url = at("carts", path)},
                               [visit, reply](const Result<Json>&) { visit->reply(reply); });
                    });
  }

  void sign_out(const VisitPtr& visit) {
    sessions_->save(visit->session_id, Json::object(), [visit](const Status& status) {
      if (!status) return visit->refuse(status.error());
      Reply reply = text(200, "Signed out");
      for (const char* name : {"logged_in", "shop_user"}) {
        reply.headers.emplace_back("set-cookie", fmt::format("{}=; Path=/; Max-Age=0", name));
      }
      visit->reply(std::move(reply));
    });
  }

  Service& service_;
  std::string version_;
  std::unique_ptr<Sessions> sessions_;
};

}  // namespace

Handler front_end(Service& service, const std::string& version) {
  auto self = std::make_shared<FrontEnd>(service, version);
  return with_usual_pages(
      {"front-end", "", nullptr},
      [self](const Call& call, const Answer& answer) { self->handle(call, answer); });
}

}  // namespace mizzen::samples::shop
