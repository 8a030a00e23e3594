// Carrying bytes between two sockets until both have ended.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <unordered_map>

#include "io/listener.h"
#include "io/loop.h"
#include "io/stream.h"
#include "local/network/outside.h"

namespace mizzen::local {

// Relays of one loop; bounded. Loop thread only.
class Relays {
 public:
  explicit Relays(io::Loop& loop);
  ~Relays();
  // Half-closes are passed on; an error on one side resets the other.
  void join(std::unique_ptr<io::Stream> a, std::unique_ptr<io::Stream> b);
  std::size_t size() const { return pairs_.size(); }
  io::Loop& loop() { return loop_; }

 private:
  class Pair;
  void remove(Pair* pair);
  io::Loop& loop_;
  std::unordered_map<Pair*, std::unique_ptr<Pair>> pairs_;
};

// Accepts on a socket and relays each connection to what `target` says at that moment; a connection
// with no target (kNone) is reset.
class Forwarder {
 public:
  using Target = std::function<io::Address()>;
  // kClient: the target sees the address of who has connected, the machine's own as 10.244.0.2
  // (host.mizzen.internal). Takes the node's namespace and CAP_NET_ADMIN in it.
  enum class Source : std::uint8_t { kNode, kClient };
  static Result<std::unique_ptr<Forwarder>> start(Relays& relays, io::UniqueFd listening,
                                                  Target target, Source source = Source::kNode);
  std::uint16_t port() const { return listener_->address().port(); }

 private:
  Forwarder(Relays& relays, Target target, Source source)
      : relays_(relays), target_(std::move(target)), source_(source) {}
  void accepted(std::unique_ptr<io::Stream> stream);

  Relays& relays_;
  Target target_;
  Source source_;
  std::unique_ptr<io::Listener> listener_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<io::Connecting>> connecting_;
};

// The pods' way out: connections that nft has redirected are made again from outside.
class WayOutRelay {
 public:
  static Result<std::unique_ptr<WayOutRelay>> start(Relays& relays, Outside& outside);
  std::uint16_t port() const { return listener_->address().port(); }

 private:
  WayOutRelay(Relays& relays, Outside& outside) : relays_(relays), outside_(outside) {}
  void accepted(std::unique_ptr<io::Stream> stream);

  Relays& relays_;
  Outside& outside_;
  std::unique_ptr<io::Listener> listener_;
};

}  // namespace mizzen::local
