#include "local/network/pod_network.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "local/network/netlink.h"
#include "local/network/rules.h"

namespace mizzen::local {
namespace {

Status write_sysctl(const char* path, std::string_view value) {
  io::UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) < 0) {
    return std::unexpected(errno_error(fmt::format("write {}", path), errno));
  }
  return {};
}

// The pod's side, run inside its namespace.
Status configure_pod_side(std::uint32_t address) {
  MIZZEN_TRY(Netlink netlink, Netlink::open());
  MIZZEN_CHECKED(netlink.set_up(1));
  MIZZEN_TRY(int eth0, netlink.index_of("eth0"));
  MIZZEN_CHECKED(netlink.add_address(eth0, address, 32));
  MIZZEN_CHECKED(netlink.set_up(eth0));
  MIZZEN_CHECKED(netlink.add_route(eth0, kNodeAddress, 32, 0));
  MIZZEN_CHECKED(netlink.add_route(eth0, 0, 0, kNodeAddress));
  // Absent where the machine has no such knob; a pod that binds low ports as a user then fails
  // visibly.
  (void)write_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  // Packets from a loopback address leave by eth0 only with this.
  MIZZEN_CHECKED(write_sysctl("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"));
  return apply_rules(pod_rules());
}

}  // namespace

std::string ipv4_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                     address & 255);
}

std::uint32_t PodAddresses::take() {
  constexpr std::uint32_t kSpan = 65000;
  for (std::uint32_t tries = 0; tries < kSpan; ++tries) {
    std::uint32_t candidate = next_;
    next_ = next_ + 1 >= kPodRangeBase + kSpan ? kPodRangeBase + 10 : next_ + 1;
    if ((candidate & 255) == 0 || (candidate & 255) == 255) continue;
    if (taken_.insert(candidate).second) return candidate;
  }
  return 0;
}

Result<io::UniqueFd> current_netns() {
  io::UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd) return std::unexpected(errno_error("open own network namespace", errno));
  return fd;
}

Status enter_netns(int netns_fd) {
  if (setns(netns_fd, CLONE_NEWNET) == 0) return {};
  return std::unexpected(errno_error("enter network namespace", errno));
}

Status set_up_node_network() {
  MIZZEN_TRY(Netlink netlink, Netlink::open());
  MIZZEN_CHECKED(netlink.set_up(1));
  MIZZEN_CHECKED(netlink.add_address(1, kNodeAddress, 32));
  MIZZEN_CHECKED(netlink.add_address(1, kDnsAddress, 32));
  MIZZEN_CHECKED(netlink.add_address(1, kDoorsInside, 32));
  // Packets of the node itself to other addresses need a route for nft to see them at all.
  MIZZEN_CHECKED(netlink.add_route(1, 0, 0, 0, kNodeAddress));
  MIZZEN_CHECKED(netlink.deliver_marked(kDoorReplyMark, 100));
  MIZZEN_CHECKED(write_sysctl("/proc/sys/net/ipv4/ip_forward", "1"));
  for (const char* path :
       {"/proc/sys/net/ipv4/conf/all/rp_filter", "/proc/sys/net/ipv4/conf/default/rp_filter"}) {
    MIZZEN_CHECKED(write_sysctl(path, "0"));
  }
  // A redirected connection of the node itself leaves by lo with a foreign destination.
  (void)write_sysctl("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
  return {};
}

Result<PodNetwork> make_pod_network(std::uint32_t address) {
  MIZZEN_TRY(io::UniqueFd home, current_netns());
  MIZZEN_TRY(Netlink node, Netlink::open());
  if (unshare(CLONE_NEWNET) != 0)
    return std::unexpected(errno_error("new network namespace", errno));
  auto netns = current_netns();
  MIZZEN_CHECKED(enter_netns(home.get()));
  if (!netns) return std::unexpected(netns.error());

  PodNetwork network{std::move(*netns), address};
  std::string link = fmt::format("veth{:x}", address & 0xffff);
  MIZZEN_CHECKED(node.add_veth(link, "eth0", network.netns.get()));
  MIZZEN_TRY(int index, node.index_of(link));
  MIZZEN_CHECKED(node.set_up(index));
  MIZZEN_CHECKED(within_netns(network.netns.get(), [&] { return configure_pod_side(address); }));
  MIZZEN_CHECKED(node.add_route(index, address, 32, 0, kNodeAddress));
  return network;
}

}  // namespace mizzen::local
