// Accepting stream connections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/stream.h"

namespace mizzen::io {

struct ListenOptions {
  bool reuse_port = false;   // SO_REUSEPORT: one listener per worker
  bool transparent = false;  // IP_TRANSPARENT (and IPV6_): for TPROXY
  bool v6_only = false;
};

// Opens and binds a listening socket, without a loop (to hand it to another process or thread). A
// path becomes a socket of its owner alone (mode 0600) in place of an old one that nobody serves;
// accepted TCP sockets have TCP_NODELAY.
Result<UniqueFd> listen_socket(const Address& address, const ListenOptions& options = {});

// Accepts until destroyed; goes on after running out of descriptors (with a short pause).
class Listener final : private FdHandler {
 public:
  // Called on the loop for each connection; may destroy the Listener by Loop::dispose() only.
  using Accept = std::function<void(std::unique_ptr<Stream>)>;

  static Result<std::unique_ptr<Listener>> listen(Loop& loop, const Address& address,
                                                  const ListenOptions& options, Accept accept);
  // A socket that listens already.
  static Result<std::unique_ptr<Listener>> adopt(Loop& loop, UniqueFd fd, Accept accept);
  ~Listener();

  // The bound address: with the port that the kernel chose.
  const Address& address() const { return address_; }
  int fd() const { return fd_.get(); }

 private:
  Listener(Loop& loop, UniqueFd fd, Accept accept);
  void on_events(unsigned events) override;
  void resume();

  Loop& loop_;
  UniqueFd fd_;
  Accept accept_;
  Address address_;
  Timer retry_;
};

}  // namespace mizzen::io
