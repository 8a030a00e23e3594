// Both ends of the rows over sockets: a client, and backends that answer with the name of their
// cluster. What stands between them is the user's.
#pragma once

#include <memory>
#include <string>

#include "io/address.h"
#include "io/loop.h"
#include "outcome.h"

namespace mizzen::sim {

class Traffic {
 public:
  Traffic();
  ~Traffic();
  Traffic(const Traffic&) = delete;

  io::EpollLoop& loop() { return loop_; }

  // The address of the cluster's backend; it starts with the first call.
  io::Address backend(const std::string& cluster);

  // Sends the row's request to `to`, or opens its connection there, and tells what became of it.
  // `preamble` goes ahead of a connection's bytes.
  Outcome send(const io::Address& to, const Row& row, const Ask& ask,
               const std::string& preamble = {});

 private:
  struct Core;
  void behave(const Row& row);
  Outcome request(const io::Address& to, const Row& row, const Ask& ask);
  Outcome connect(const io::Address& to, const Row& row, const std::string& preamble);

  io::EpollLoop loop_;
  std::unique_ptr<Core> core_;
};

}  // namespace mizzen::sim
