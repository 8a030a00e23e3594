// Internal to net: from a base address to an open byte stream, by name or literal, each address
// tried in turn.
#pragma once

#include <functional>
#include <memory>

#include "net/http_client.h"

namespace mizzen::net {

// One attempt; destroying it abandons the attempt. `done` is called once, never before start()
// returns, and may destroy the Dialer by Loop::dispose() only.
class Dialer {
 public:
  Dialer(io::Loop& loop, const HttpClientOptions& options, io::Resolver* resolver,
         io::ConnectDone done);
  void start();

 private:
  void resolved(Result<io::Resolved> names);
  void try_next(Error last);

  io::Loop& loop_;
  const HttpClientOptions& options_;
  io::Resolver* resolver_;
  io::ConnectDone done_;
  std::vector<io::Address> left_;  // last first
  std::unique_ptr<io::Connecting> connecting_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::net
