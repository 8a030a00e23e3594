// Payment, and the way of a parcel: shipping puts it into the queue, the queue's master takes it
// out.
#include <fmt/format.h>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/services.h"
#include "samples/stores/documents.h"
#include "samples/stores/queue.h"

namespace mizzen::samples::shop {
namespace {

constexpr const char* kTask = "shipping-task";

std::pair<std::string, std::uint16_t> queue_place() {
  return place_of("RABBITMQ", "rabbitmq:5672");
}

}  // namespace

Handler payment() {
  double most = std::strtod(env_or("PAYMENT_DECLINE_OVER", "105").c_str(), nullptr);
  return with_usual_pages({"payment", "", nullptr}, [most](const Call& call, const Answer& answer) {
    if (call.path != "/paymentAuth" || call.method != "POST") return answer(not_found(call));
    auto wanted = object_of(call);
    if (!wanted) return answer(failure(400, wanted.error().message));
    double amount = number_of(*wanted, "amount");
    if (amount <= 0) return answer(failure(400, "Invalid payment amount"));
    bool fine = amount <= most;
    answer(json_reply(
        200, {{"authorised", fine},
              {"message", fine ? std::string("Payment authorised")
                               : fmt::format("Payment declined: amount exceeds {:.2f}", most)}}));
  });
}

Handler shipping(Service& service) {
  auto [host, port] = queue_place();
  auto queue = std::make_shared<InOrderClient>(service.loop(), host, port, take_json_line);
  return with_usual_pages(
      {"shipping", "", nullptr}, [queue](const Call& call, const Answer& answer) {
        auto parts = segments(call.path);
        if (parts.empty() || parts[0] != "shipping") return answer(not_found(call));
        if (call.method == "GET") {
          return answer(text(200, parts.size() > 1 ? "GET shipping by id" : "GET ALL Shipping"));
        }
        if (call.method != "POST" || parts.size() != 1) return answer(not_found(call));
        auto parcel = object_of(call);
        if (!parcel) return answer(failure(400, parcel.error().message));
        queue->ask(Json{{"publish", kTask}, {"body", *parcel}}.dump() + "\n",
                   [answer, parcel = *parcel](const Result<Json>& queued) {
                     if (!queued) return answer(failure(500, queued.error().message));
                     answer(json_reply(201, parcel));
                   });
      });
}

Handler queue_master(Service& service) {
  struct State {
    std::uint64_t shipped = 0;
    std::unique_ptr<QueueConsumer> consumer;
  };
  auto state = std::make_shared<State>();
  auto [host, port] = queue_place();
  state->consumer = std::make_unique<QueueConsumer>(
      service.loop(), host, port, kTask, [raw = state.get()](const Json& parcel) {
        ++raw->shipped;
        fmt::print("{} shipped {} for {}\n", rfc3339_millis(system_clock().wall()),
                   text_of(parcel, "id"), text_of(parcel, "name"));
        std::fflush(stdout);
      });
  auto check = [state](const std::function<void(Status)>& done) {
    done(state->consumer->connected() ? Status()
                                      : fail(Code::kUnavailable, "no connection to the queue"));
  };
  return with_usual_pages({"queue-master", "shipping-task", check},
                          [state](const Call& call, const Answer& answer) {
                            if (call.path != "/shipped") return answer(not_found(call));
                            answer(json_reply(200, {{"shipped", state->shipped}}));
                          });
}

}  // namespace mizzen::samples::shop
