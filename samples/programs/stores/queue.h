// A small work queue, where the samples' manifests have RabbitMQ: one JSON object per line of a TCP
// connection.
//
//   {"publish":"shipping-task","body":{...}}  -> {"queued":N}
//   {"consume":"shipping-task"}               -> {"body":{...}} per message from then on
//
// A message goes to one consumer, in turn; those of a queue without one wait, at most 10,000.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "samples/service.h"
#include "samples/stores/in_order.h"

namespace mizzen::samples {

class QueueServer {
 public:
  Result<std::unique_ptr<TcpServer>> serve(io::Loop& loop, std::uint16_t port);
  // Per queue {"name","messages","consumers","published","delivered"}, as a JSON array.
  Json state() const;

 private:
  class Talk;
  struct Queue {
    std::deque<Json> messages;
    std::deque<Wire*> consumers;
    std::uint64_t published = 0;
    std::uint64_t delivered = 0;
  };
  Json publish(const std::string& name, Json body);
  void consume(const std::string& name, Wire& wire);
  void forget(Wire& wire);
  void deliver(Queue& queue);

  std::map<std::string, Queue> queues_;
};

// Consumes a queue for as long as it lives; connects again, a second later, when that ends.
class QueueConsumer {
 public:
  QueueConsumer(io::Loop& loop, std::string host, std::uint16_t port, std::string queue,
                std::function<void(const Json& body)> take);
  bool connected() const { return client_.open(); }

 private:
  void input(std::string& bytes);
  void connect() { client_.connect(); }

  std::string queue_;
  std::function<void(const Json&)> take_;
  WireClient client_;
  io::Timer again_;
};

// /metrics of the queue whose page is on 127.0.0.1:15672.
Handler queue_exporter(Service& service);

}  // namespace mizzen::samples
