#include "local/network/netlink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mizzen::local {
namespace {

// Builds one netlink message: header, family header, attributes (nested ones by begin/end).
class Message {
 public:
  template <class Body>
  Message(std::uint16_t type, std::uint16_t flags, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    append(&header, sizeof header);
    append(&body, sizeof body);
  }
  Message& attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr attr{};
    attr.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
    attr.rta_type = type;
    append(&attr, sizeof attr);
    append(data, size);
    return *this;
  }
  Message& text(std::uint16_t type, const std::string& value) {
    return attribute(type, value.c_str(), value.size() + 1);
  }
  Message& address(std::uint16_t type, std::uint32_t host_order) {
    std::uint32_t value = htonl(host_order);
    return attribute(type, &value, sizeof value);
  }
  std::size_t begin(std::uint16_t type) {
    std::size_t at = bytes_.size();
    rtattr attr{};
    attr.rta_type = type;
    append(&attr, sizeof attr);
    return at;
  }
  void end(std::size_t at) {
    auto length = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
  }
  template <class Body>
  void body(const Body& value) {
    append(&value, sizeof value);
  }
  std::string& bytes() { return bytes_; }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
  }
  std::string bytes_;
};

}  // namespace

Result<Netlink> Netlink::open() {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return std::unexpected(errno_error("netlink socket", errno));
  return Netlink(fd);
}

Result<Netlink> Netlink::open_in(int netns_fd) {
  int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return std::unexpected(errno_error("open own network namespace", errno));
  if (setns(netns_fd, CLONE_NEWNET) != 0) {
    int error = errno;
    close(home);
    return std::unexpected(errno_error("enter network namespace", error));
  }
  auto result = open();
  int back = setns(home, CLONE_NEWNET);
  int error = errno;
  close(home);
  if (back != 0) return std::unexpected(errno_error("return to own network namespace", error));
  return result;
}

Netlink::~Netlink() {
  if (fd_ >= 0) close(fd_);
}

Status Netlink::transact(std::string& message, const char* what, std::string* reply) {
  auto* header = reinterpret_cast<nlmsghdr*>(message.data());
  header->nlmsg_len = static_cast<std::uint32_t>(message.size());
  header->nlmsg_seq = ++sequence_;
  if (send(fd_, message.data(), message.size(), 0) < 0) {
    return std::unexpected(errno_error(what, errno));
  }
  alignas(nlmsghdr) char buffer[16384];
  for (;;) {
    ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(errno_error(what, errno));
    auto left = static_cast<std::uint32_t>(n);
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_seq != sequence_) continue;
      if (at->nlmsg_type == NLMSG_ERROR) {
        int error = -static_cast<nlmsgerr*>(NLMSG_DATA(at))->error;
        if (error == 0) return {};
        return std::unexpected(errno_error(what, error));
      }
      if (reply != nullptr) reply->assign(reinterpret_cast<char*>(at), at->nlmsg_len);
    }
  }
}

Status Netlink::add_veth(const std::string& name, const std::string& peer, int peer_netns_fd) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.text(IFLA_IFNAME, name);
  std::size_t info = message.begin(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "veth");
  std::size_t data = message.begin(IFLA_INFO_DATA);
  std::size_t peer_at = message.begin(VETH_INFO_PEER);
  message.body(ifinfomsg{});
  message.text(IFLA_IFNAME, peer);
  message.attribute(IFLA_NET_NS_FD, &peer_netns_fd, sizeof peer_netns_fd);
  message.end(peer_at);
  message.end(data);
  message.end(info);
  return transact(message.bytes(), "create veth pair");
}

Result<int> Netlink::index_of(const std::string& name) {
  Message message(RTM_GETLINK, 0, ifinfomsg{});
  message.text(IFLA_IFNAME, name);
  std::string reply;
  MIZZEN_CHECKED(transact(message.bytes(), "look up link", &reply));
  if (reply.size() < NLMSG_LENGTH(sizeof(ifinfomsg))) {
    return fail(Code::kNotFound, "no link " + name);
  }
  ifinfomsg info;
  std::memcpy(&info, reply.data() + NLMSG_HDRLEN, sizeof info);
  return info.ifi_index;
}

Status Netlink::set_up(int index) {
  ifinfomsg info{};
  info.ifi_index = index;
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  return transact(Message(RTM_NEWLINK, 0, info).bytes(), "set link up");
}

Status Netlink::add_address(int index, std::uint32_t address, int prefix_length) {
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = static_cast<std::uint8_t>(prefix_length);
  body.ifa_index = static_cast<std::uint32_t>(index);
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body);
  message.address(IFA_LOCAL, address).address(IFA_ADDRESS, address);
  return transact(message.bytes(), "add address");
}

Status Netlink::add_route(int index, std::uint32_t destination, int prefix_length,
                          std::uint32_t gateway, std::uint32_t source) {
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_dst_len = static_cast<std::uint8_t>(prefix_length);
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = gateway == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body);
  if (prefix_length > 0) message.address(RTA_DST, destination);
  if (gateway != 0) message.address(RTA_GATEWAY, gateway);
  if (source != 0) message.address(RTA_PREFSRC, source);
  message.attribute(RTA_OIF, &index, sizeof index);
  return transact(message.bytes(), "add route");
}

Status Netlink::deliver_marked(std::uint32_t mark, std::uint8_t table) {
  rtmsg route{};
  route.rtm_family = AF_INET;
  route.rtm_table = table;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = RT_SCOPE_HOST;
  route.rtm_type = RTN_LOCAL;
  Message local(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
  const int loopback = 1;
  local.attribute(RTA_OIF, &loopback, sizeof loopback);
  MIZZEN_CHECKED(transact(local.bytes(), "add local route"));
  fib_rule_hdr rule{};
  rule.family = AF_INET;
  rule.table = table;
  rule.action = FR_ACT_TO_TBL;
  Message message(RTM_NEWRULE, NLM_F_CREATE, rule);
  message.attribute(FRA_FWMARK, &mark, sizeof mark);
  return transact(message.bytes(), "add routing rule");
}

Status Netlink::remove_link(const std::string& name) {
  Message message(RTM_DELLINK, 0, ifinfomsg{});
  message.text(IFLA_IFNAME, name);
  return transact(message.bytes(), "remove link");
}

}  // namespace mizzen::local
