// The few rtnetlink messages that wiring a pod takes: veth pairs, addresses, routes (RFC 3549,
// linux/rtnetlink.h). Blocking; each call is one request and its acknowledgement.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace mizzen::local {

// A NETLINK_ROUTE socket of the network namespace it was opened in, whatever the thread does later.
class Netlink {
 public:
  // Of the calling thread's network namespace.
  static Result<Netlink> open();
  // Of the namespace behind `netns_fd`; the calling thread is back in its own when this returns.
  static Result<Netlink> open_in(int netns_fd);
  Netlink(Netlink&& other) noexcept : fd_(other.fd_), sequence_(other.sequence_) { other.fd_ = -1; }
  Netlink& operator=(Netlink&&) = delete;
  ~Netlink();

  // Creates `name` here and its peer `peer` in the namespace behind `peer_netns_fd`.
  Status add_veth(const std::string& name, const std::string& peer, int peer_netns_fd);
  Result<int> index_of(const std::string& name);
  Status set_up(int index);
  // IPv4 in host byte order.
  Status add_address(int index, std::uint32_t address, int prefix_length);
  // `gateway` 0 means directly on the link; `prefix_length` 0 is the default route; `source` 0
  // leaves the choice of an own address to the kernel.
  Status add_route(int index, std::uint32_t destination, int prefix_length, std::uint32_t gateway,
                   std::uint32_t source = 0);
  // Packets that carry `mark` are for this machine, whatever their destination: a rule, and `table`
  // with the one route that it leads to.
  Status deliver_marked(std::uint32_t mark, std::uint8_t table);
  Status remove_link(const std::string& name);

 private:
  explicit Netlink(int fd) : fd_(fd) {}
  Status transact(std::string& message, const char* what, std::string* reply = nullptr);
  int fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace mizzen::local
