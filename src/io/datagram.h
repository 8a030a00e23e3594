// UDP sockets (DNS).
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "io/address.h"
#include "io/loop.h"

namespace mizzen::io {

// Loop thread only. Destroying closes; not from inside `receive` (use Loop::dispose()).
class Datagram final : private FdHandler {
 public:
  // `bytes` lives for the call only. `to` is the address that the peer sent to when the socket is
  // bound to a wildcard address (IP_PKTINFO), so that the answer can leave from it.
  using Receive =
      std::function<void(std::span<const std::byte> bytes, const Address& from, const Address& to)>;

  static Result<std::unique_ptr<Datagram>> bind(Loop& loop, const Address& address,
                                                Receive receive);
  static Result<std::unique_ptr<Datagram>> adopt(Loop& loop, UniqueFd fd, Receive receive);
  ~Datagram();

  // Best effort, as UDP is: kUnavailable when the socket's buffer is full. `from` may be kNone.
  Status send(std::span<const std::byte> bytes, const Address& to, const Address& from = {});
  const Address& address() const { return address_; }
  int fd() const { return fd_.get(); }

 private:
  Datagram(Loop& loop, UniqueFd fd, Receive receive);
  void on_events(unsigned events) override;

  Loop& loop_;
  UniqueFd fd_;
  Receive receive_;
  Address address_;
};

}  // namespace mizzen::io
