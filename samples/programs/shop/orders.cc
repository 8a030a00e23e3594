#include <fmt/format.h>

#include <cmath>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/services.h"
#include "samples/stores/documents.h"

namespace mizzen::samples::shop {
namespace {

constexpr double kPostage = 4.99;

std::string url_of(const char* env, const char* name, std::string_view path) {
  return fmt::format("http://{}{}", env_or(env, name), path);
}

// One order on its way: what the new order points at is fetched, paid, sent and stored.
class Placing : public std::enable_shared_from_this<Placing> {
 public:
  Placing(Service& service, DocumentClient& store, const Call& call, Answer answer)
      : service_(service), store_(store), call_(call), answer_(std::move(answer)) {}

  void start(const Json& wanted) {
    constexpr std::pair<const char*, const char*> kParts[] = {
        {"customer", "customer"}, {"address", "address"}, {"card", "card"}, {"items", "items"}};
    for (const auto& [name, key] : kParts) {
      std::string url = text_of(wanted, name);
      if (!url.starts_with("http://")) {
        return answer_(failure(
            406, fmt::format("\"{}\" is not the address of a {}: an order holds the addresses of "
                             "customer, address, card and items",
                             name, key)));
      }
      urls_[key] = url;
    }
    for (const auto& [name, key] : kParts) fetch(key);
  }

 private:
  void fetch(const std::string& key) {
    ask_json(service_, call_, {.url = urls_[key]},
             [self = shared_from_this(), key](const Result<Json>& got) { self->have(key, got); });
  }

  void have(const std::string& key, const Result<Json>& got) {
    if (over_) return;
    if (!got) return refuse(status_of(got.error()), got.error().message);
    parts_[key] = *got;
    if (parts_.size() == 4) pay();
  }

  void pay() {
    total_ = kPostage;
    for (const Json& item : parts_["items"]) {
      total_ += number_of(item, "quantity") * number_of(item, "unitPrice");
    }
    total_ = std::round(total_ * 100) / 100;
    if (parts_["items"].empty()) return refuse(406, "the cart is empty");
    Outgoing request{.method = "POST", .url = url_of("PAYMENT_HOST", "payment", "/paymentAuth")};
    request.body = Json{
        {"address", parts_["address"]},
        {"card", parts_["card"]},
        {"customer", parts_["customer"]},
        {"amount",
         total_}}.dump();
    ask_json(service_, call_, std::move(request),
             [self = shared_from_this()](const Result<Json>& paid) {
               if (!paid) return self->refuse(status_of(paid.error()), paid.error().message);
               if (!paid->value("authorised", false)) {
                 return self->refuse(406, text_of(*paid, "message"));
               }
               self->ship();
             });
  }

  void ship() {
    Outgoing request{.method = "POST", .url = url_of("SHIPPING_HOST", "shipping", "/shipping")};
    request.body = Json{{"id", new_id()}, {"name", text_of(parts_["customer"], "id")}}.dump();
    ask_json(service_, call_, std::move(request),
             [self = shared_from_this()](const Result<Json>& shipped) {
               if (!shipped) {
                 return self->refuse(status_of(shipped.error()), shipped.error().message);
               }
               self->keep(*shipped);
             });
  }

  void keep(const Json& shipment) {
    std::string id = new_id();
    std::string customer = text_of(parts_["customer"], "id");
    Json order = {{"id", id},
                  {"customerId", customer},
                  {"customer", parts_["customer"]},
                  {"address", parts_["address"]},
                  {"card", parts_["card"]},
                  {"items", parts_["items"]},
                  {"shipment", shipment},
                  {"date", rfc3339_millis(system_clock().wall())},
                  {"total", total_},
                  {"_links", {{"self", {{"href", "http://orders/orders/" + id}}}}}};
    order["card"]["longNum"] = hidden(text_of(parts_["card"], "longNum"));
    order["card"].erase("ccv");
    store_.put("orders", order, [self = shared_from_this(), order](const Status& status) {
      if (!status) return self->refuse(500, status.error().message);
      self->answer_(json_reply(201, order));
    });
  }

  static std::string hidden(const std::string& number) {
    return number.size() <= 4 ? number : "**** " + number.substr(number.size() - 4);
  }
  void refuse(int status, std::string_view message) {
    if (!std::exchange(over_, true)) answer_(failure(status, message));
  }

  Service& service_;
  DocumentClient& store_;
  Call call_;
  Answer answer_;
  std::map<std::string, std::string> urls_;
  std::map<std::string, Json> parts_;
  double total_ = 0;
  bool over_ = false;
};

class Orders {
 public:
  Orders(Service& service, const std::pair<std::string, std::uint16_t>& store)
      : service_(service), store_(service.loop(), store.first, store.second) {}

  void handle(const Call& call, const Answer& answer) {
    auto parts = segments(call.path);
    if (parts.empty() || parts[0] != "orders") return answer(not_found(call));
    if (call.method == "POST" && parts.size() == 1) {
      auto wanted = object_of(call);
      if (!wanted) return answer(failure(400, wanted.error().message));
      return std::make_shared<Placing>(service_, store_, call, answer)->start(*wanted);
    }
    if (call.method != "GET") return answer(not_found(call));
    if (parts.size() == 1) return find(Json::object(), answer);
    if (parts.size() == 3 && parts[1] == "search") {
      return find({{"customerId", call.query_value("custId")}}, answer);
    }
    if (parts.size() != 2) return answer(not_found(call));
    store_.find("orders", {{"id", parts[1]}}, [answer](const auto& found) {
      if (!found) return answer(failure(500, found.error().message));
      if (found->empty()) return answer(failure(404, "there is no such order"));
      answer(json_reply(200, found->front()));
    });
  }
  void check(const DocumentClient::Stored& done) {
    store_.find("orders", {{"id", ""}}, [done](const auto& found) {
      done(found ? Status() : std::unexpected(found.error()));
    });
  }

 private:
  void find(Json where, const Answer& answer) {
    store_.find("orders", std::move(where), [answer](const auto& found) {
      if (!found) return answer(failure(500, found.error().message));
      answer(json_reply(200, {{"_embedded", {{"customerOrders", *found}}}}));
    });
  }

  Service& service_;
  DocumentClient store_;
};

}  // namespace

Handler orders(Service& service) {
  auto self = std::make_shared<Orders>(service, place_of("ORDERS_DB", "orders-db:27017"));
  return with_usual_pages(
      {"orders", "orders-db",
       [self](const std::function<void(Status)>& done) { self->check(done); }},
      [self](const Call& call, const Answer& answer) { self->handle(call, answer); });
}

}  // namespace mizzen::samples::shop
