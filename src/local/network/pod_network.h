// Network namespaces of pods: one veth each, routed /32 addresses, the node as next hop.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"
#include "io/unique_fd.h"

namespace mizzen::local {

// The cluster's address plan; host byte order.
inline constexpr std::uint32_t kNodeAddress = 0x0AF40001;       // 10.244.0.1
inline constexpr std::uint32_t kPodRangeBase = 0x0AF40000;      // 10.244.0.0/16
inline constexpr std::uint32_t kServiceRangeBase = 0x0A600000;  // 10.96.0.0/16
inline constexpr std::uint32_t kDnsAddress = 0x0A60000A;        // 10.96.0.10
inline constexpr std::uint32_t kHostAddress =
    0x0AF40002;  // 10.244.0.2: the machine's loopback, by the way out

// Where doors answer for pods and for the machine alike: a loopback address, which pods translate
// to one of the node's.
inline constexpr std::uint32_t kDoorAddress = 0x7F0A0001;  // 127.10.0.1
inline constexpr std::uint32_t kDoorsInside = 0x0AF40003;  // 10.244.0.3

// Marks (SO_MARK, nft) of connections that a door makes under its client's address, and of what
// comes back on them: an answer to an address that is not the node's must end here all the same.
inline constexpr std::uint32_t kDoorMark = 0x6d7a01;
inline constexpr std::uint32_t kDoorReplyMark = 0x6d7a02;

std::string ipv4_text(std::uint32_t address);

// Hands out pod addresses; an address comes back into use as late as possible, since peers may
// remember it.
class PodAddresses {
 public:
  // 0 when all are taken.
  std::uint32_t take();
  void give_back(std::uint32_t address) { taken_.erase(address); }

 private:
  std::set<std::uint32_t> taken_;
  std::uint32_t next_ = kPodRangeBase + 10;
};

struct PodNetwork {
  io::UniqueFd netns;  // the namespace and its veth go when this and its processes are gone
  std::uint32_t address = 0;
};

// Brings the sandbox's own namespace into shape: loopback, node and DNS addresses, forwarding. The
// calling thread's namespace; needs CAP_NET_ADMIN there.
Status set_up_node_network();

// Makes a pod's namespace: lo and eth0 up, `address`/32, default route by the node, unprivileged
// ports from 0. Blocking, about a millisecond. The thread is back in its own namespace when this
// returns.
Result<PodNetwork> make_pod_network(std::uint32_t address);

// Runs `fn` with the calling thread in the namespace behind `netns_fd`: sockets made there stay
// there.
template <class Fn>
Status within_netns(int netns_fd, Fn&& fn);

Status enter_netns(int netns_fd);
Result<io::UniqueFd> current_netns();

template <class Fn>
Status within_netns(int netns_fd, Fn&& fn) {
  MIZZEN_TRY(io::UniqueFd home, current_netns());
  MIZZEN_CHECKED(enter_netns(netns_fd));
  Status status = fn();
  MIZZEN_CHECKED(enter_netns(home.get()));
  return status;
}

}  // namespace mizzen::local
