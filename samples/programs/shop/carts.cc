#include <fmt/format.h>

#include <algorithm>

#include "samples/shop/common.h"
#include "samples/shop/services.h"
#include "samples/stores/documents.h"

namespace mizzen::samples::shop {
namespace {

// One document per customer: {"id": customer, "items": [{"id","itemId","quantity","unitPrice"}]}.
class Carts {
 public:
  Carts(Service& service, const std::pair<std::string, std::uint16_t>& store)
      : store_(service.loop(), store.first, store.second) {}

  void handle(const Call& call, const Answer& answer) {
    auto parts = segments(call.path);
    if (parts.size() < 2 || parts[0] != "carts") return answer(not_found(call));
    if (parts.size() == 2 && call.method == "DELETE") return remove(parts[1], answer);
    if (parts.size() == 3 && parts[2] == "merge") return merge(call, parts[1], answer);
    bool items = parts.size() >= 3 && parts[2] == "items";
    if (parts.size() > 4 || (parts.size() > 2 && !items)) return answer(not_found(call));
    auto changes = change_of(call, parts);
    if (!changes) return answer(failure(400, changes.error().message));
    std::string customer(parts[1]);
    load(customer, answer, [this, call, answer, items, changes = *changes](Json cart) {
      if (!changes) return answer(read(call, cart, items));
      Reply reply = changes(&cart["items"]);
      if (reply.status >= 300) return answer(std::move(reply));
      save(std::move(cart), answer, std::move(reply));
    });
  }
  void check(const DocumentClient::Stored& done) {
    store_.find("carts", {{"id", ""}}, [done](const auto& found) {
      done(found ? Status() : std::unexpected(found.error()));
    });
  }

 private:
  using Change = std::function<Reply(Json* items)>;

  static Json::iterator item_of(Json* items, std::string_view id) {
    return std::find_if(items->begin(), items->end(),
                        [id](const Json& one) { return text_of(one, "itemId") == id; });
  }

  static Reply add(Json* items, const Json& wanted, bool replace) {
    std::string id = text_of(wanted, "itemId");
    int quantity =
        wanted.contains("quantity") ? static_cast<int>(number_of(wanted, "quantity")) : 1;
    auto found = item_of(items, id);
    if (found == items->end()) {
      if (items->size() >= 100) return failure(406, "a cart holds at most 100 different items");
      items->push_back({{"id", new_id()},
                        {"itemId", id},
                        {"quantity", std::clamp(quantity, 1, 999)},
                        {"unitPrice", number_of(wanted, "unitPrice")}});
      return json_reply(201, items->back());
    }
    int now = (replace ? 0 : (*found)["quantity"].get<int>()) + quantity;
    (*found)["quantity"] = std::clamp(now, 1, 999);
    return json_reply(replace ? 202 : 201, *found);
  }

  // What the request changes in the items; an empty function when it only reads.
  static Result<Change> change_of(const Call& call, const std::vector<std::string_view>& parts) {
    if (call.method == "GET" || call.method == "HEAD") return Change();
    if (call.method == "DELETE" && parts.size() == 4) {
      return Change([id = std::string(parts[3])](Json* items) {
        auto found = item_of(items, id);
        if (found == items->end()) return failure(404, "there is no such item in the cart");
        items->erase(found);
        return json_reply(202, Json::object());
      });
    }
    bool replace = call.method == "PATCH";
    if (call.method != "POST" && !replace) return fail(Code::kInvalid, "GET, POST, PATCH, DELETE");
    MIZZEN_TRY(Json item, object_of(call));
    if (text_of(item, "itemId").empty()) return fail(Code::kInvalid, "itemId is missing");
    return Change([item, replace](Json* items) { return add(items, item, replace); });
  }

  static Reply read(const Call& call, const Json& cart, bool items) {
    if (!items) {
      return json_reply(200, {{"customerId", cart["id"]}, {"items", cart["items"]}});
    }
    auto parts = segments(call.path);
    if (parts.size() == 3) return json_reply(200, cart["items"]);
    Json list = cart["items"];
    auto found = item_of(&list, parts[3]);
    if (found == list.end()) return failure(404, "there is no such item in the cart");
    return json_reply(200, *found);
  }

  void load(const std::string& customer, const Answer& answer, std::function<void(Json)> then) {
    store_.find("carts", {{"id", customer}},
                [customer, answer, then = std::move(then)](const auto& found) {
                  if (!found) return answer(failure(500, found.error().message));
                  if (!found->empty()) return then(found->front());
                  then({{"id", customer}, {"items", Json::array()}});
                });
  }
  void save(Json cart, const Answer& answer, Reply reply) {
    store_.put("carts", std::move(cart), [answer, reply = std::move(reply)](const Status& status) {
      answer(status ? reply : failure(500, status.error().message));
    });
  }
  void remove(std::string_view customer, const Answer& answer) {
    store_.remove("carts", {{"id", customer}}, [answer](const Status& status) {
      answer(status ? json_reply(202, Json::object()) : failure(500, status.error().message));
    });
  }
  // What was put in before signing in joins what the customer had.
  void merge(const Call& call, std::string_view customer, const Answer& answer) {
    std::string session = call.query_value("sessionId");
    if (session.empty()) return answer(failure(400, "sessionId is missing"));
    load(session, answer, [this, answer, session, customer = std::string(customer)](Json from) {
      load(customer, answer, [this, answer, session, from](Json cart) {
        for (const Json& item : from["items"]) add(&cart["items"], item, false);
        store_.remove("carts", {{"id", session}}, [](const Status&) {});
        save(std::move(cart), answer, json_reply(202, Json::object()));
      });
    });
  }

  DocumentClient store_;
};

}  // namespace

Handler carts(Service& service) {
  auto self = std::make_shared<Carts>(service, place_of("CARTS_DB", "carts-db:27017"));
  return with_usual_pages(
      {"carts", "carts-db", [self](const std::function<void(Status)>& done) { self->check(done); }},
      [self](const Call& call, const Answer& answer) { self->handle(call, answer); });
}

}  // namespace mizzen::samples::shop
