#include "samples/stores/queue.h"

#include <fmt/format.h>

#include <algorithm>

#include "samples/stores/documents.h"

namespace mizzen::samples {
namespace {

constexpr std::size_t kMostWaiting = 10'000;
constexpr std::size_t kMostQueues = 100;
constexpr std::size_t kLongestLine = 1024 * 1024;

void send_line(Wire& wire, const Json& json) {
  wire.send(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

class QueueServer::Talk final : public Conversation {
 public:
  Talk(Wire& wire, QueueServer& server) : wire_(wire), server_(server) {}
  ~Talk() override { server_.forget(wire_); }

  void input(std::string& bytes) override {
    for (std::size_t end; (end = bytes.find('\n')) != bytes.npos;) {
      Json request = Json::parse(bytes.substr(0, end), nullptr, false);
      bytes.erase(0, end + 1);
      take(request);
    }
    if (bytes.size() > kLongestLine) wire_.finish();
  }

 private:
  void take(const Json& request) {
    auto named = [&request](const char* verb) {
      return request.is_object() && request.contains(verb) && request[verb].is_string();
    };
    if (named("publish")) {
      return send_line(wire_, server_.publish(request["publish"], request.value("body", Json())));
    }
    if (named("consume")) return server_.consume(request["consume"], wire_);
    send_line(wire_, {{"error",
                       "a request is {\"publish\":QUEUE,\"body\":...} or "
                       "{\"consume\":QUEUE}"}});
  }
  Wire& wire_;
  QueueServer& server_;
};

Result<std::unique_ptr<TcpServer>> QueueServer::serve(io::Loop& loop, std::uint16_t port) {
  return TcpServer::listen(loop, {port},
                           [this](Wire& wire) { return std::make_unique<Talk>(wire, *this); });
}

Json QueueServer::publish(const std::string& name, Json body) {
  if (!queues_.contains(name) && queues_.size() >= kMostQueues) {
    return {{"error", "there are 100 queues already"}};
  }
  Queue& queue = queues_[name];
  if (queue.messages.size() >= kMostWaiting) return {{"error", "10,000 messages wait already"}};
  ++queue.published;
  queue.messages.push_back(std::move(body));
  deliver(queue);
  return {{"queued", queue.messages.size()}};
}

void QueueServer::consume(const std::string& name, Wire& wire) {
  if (!queues_.contains(name) && queues_.size() >= kMostQueues) return wire.finish();
  Queue& queue = queues_[name];
  if (std::find(queue.consumers.begin(), queue.consumers.end(), &wire) == queue.consumers.end()) {
    queue.consumers.push_back(&wire);
  }
  deliver(queue);
}

void QueueServer::deliver(Queue& queue) {
  while (!queue.messages.empty() && !queue.consumers.empty()) {
    Wire* next = queue.consumers.front();
    queue.consumers.pop_front();
    if (next->dead()) continue;
    queue.consumers.push_back(next);
    send_line(*next, {{"body", std::move(queue.messages.front())}});
    queue.messages.pop_front();
    ++queue.delivered;
  }
}

void QueueServer::forget(Wire& wire) {
  for (auto& [name, queue] : queues_) std::erase(queue.consumers, &wire);
}

Json QueueServer::state() const {
  Json out = Json::array();
  for (const auto& [name, queue] : queues_) {
    out.push_back({{"name", name},
                   {"messages", queue.messages.size()},
                   {"consumers", queue.consumers.size()},
                   {"published", queue.published},
                   {"delivered", queue.delivered}});
  }
  return out;
}

QueueConsumer::QueueConsumer(io::Loop& loop, std::string host, std::uint16_t port,
                             std::string queue, std::function<void(const Json& body)> take)
    : queue_(std::move(queue)),
      take_(std::move(take)),
      client_(loop, std::move(host), port,
              {[this] {
                 client_.send(Json{{"consume", queue_}}.dump() + "\n");
               },
               [this](std::string& bytes) { input(bytes); },
               [this](const Error&) { again_.arm(std::chrono::seconds(1)); }}),
      again_(io::Timer::of<&QueueConsumer::connect>(loop, this)) {
  client_.connect();
}

void QueueConsumer::input(std::string& bytes) {
  while (auto taken = take_json_line(bytes)) {
    if (taken->answer && taken->answer->contains("body")) take_((*taken->answer)["body"]);
  }
}

Handler queue_exporter(Service& service) {
  return [&service](const Call& call, const Answer& answer) {
    if (call.path != "/metrics") return answer(text(200, "See /metrics\n"));
    Outgoing request{.url = "http://127.0.0.1:15672/", .timeout = std::chrono::seconds(2)};
    service.send(std::move(request), [answer](const Result<Reply>& reply) {
      Json queues = reply ? Json::parse(reply->body, nullptr, false) : Json();
      std::string out =
          fmt::format("# TYPE rabbitmq_up gauge\nrabbitmq_up {}\n", queues.is_array() ? 1 : 0);
      if (!queues.is_array()) queues = Json::array();
      for (const char* what : {"messages", "consumers", "published", "delivered"}) {
        for (const Json& queue : queues) {
          out += fmt::format("rabbitmq_queue_{}{{queue={}}} {}\n", what, queue["name"].dump(),
                             queue[what].dump());
        }
      }
      answer(text(200, std::move(out)));
    });
  };
}

}  // namespace mizzen::samples
