#include "io/datagram.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mizzen::io {
namespace {

constexpr int kDatagramsPerTurn = 64;

int domain_of(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
  return domain;
}

// Where a datagram was sent to (IP_PKTINFO, IPV6_PKTINFO).
Address destination_of(msghdr* message, std::uint16_t port) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == SOL_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      return Address::from_ipv4(ntohl(info.ipi_addr.s_addr), port);
    }
    if (header->cmsg_level == SOL_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_port = htons(port);
      address.sin6_addr = info.ipi6_addr;
      return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
  }
  return {};
}

template <class Info>
void put_source(msghdr* message, int level, int type, const Info& info) {
  cmsghdr* header = CMSG_FIRSTHDR(message);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
  message->msg_controllen = CMSG_SPACE(sizeof info);
}

}  // namespace

Result<std::unique_ptr<Datagram>> Datagram::bind(Loop& loop, const Address& address,
                                                 Receive receive) {
  sockaddr_storage storage;
  socklen_t length = address.to_sockaddr(&storage);
  if (!address.is_ip()) return fail(Code::kInvalid, "not an IP address: " + address.to_string());
  UniqueFd fd(::socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(errno_error("socket", errno));
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return std::unexpected(errno_error("bind udp " + address.to_string(), errno));
  }
  return adopt(loop, std::move(fd), std::move(receive));
}

Result<std::unique_ptr<Datagram>> Datagram::adopt(Loop& loop, UniqueFd fd, Receive receive) {
  MIZZEN_CHECKED(set_nonblocking(fd.get()));
  int one = 1;
  if (domain_of(fd.get()) == AF_INET6) {
    ::setsockopt(fd.get(), SOL_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
  } else {
    ::setsockopt(fd.get(), SOL_IP, IP_PKTINFO, &one, sizeof one);
  }
  std::unique_ptr<Datagram> socket(new Datagram(loop, std::move(fd), std::move(receive)));
  MIZZEN_CHECKED(loop.watch_level(socket->fd_.get(), socket.get()));
  return socket;
}

Datagram::Datagram(Loop& loop, UniqueFd fd, Receive receive)
    : loop_(loop), fd_(std::move(fd)), receive_(std::move(receive)) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0) {
    address_ = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  }
}

Datagram::~Datagram() { loop_.unwatch(fd_.get()); }

void Datagram::on_events(unsigned) {
  std::array<std::byte, 65536> buffer;
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    sockaddr_storage from;
    iovec piece{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = ::recvmsg(fd_.get(), &message, 0);
    if (got < 0) {
      if (errno == EAGAIN) return;
      continue;  // an ICMP error of an earlier send
    }
    if (message.msg_flags & MSG_TRUNC) continue;
    receive_(std::span(buffer.data(), static_cast<std::size_t>(got)),
             Address::from_sockaddr(reinterpret_cast<sockaddr*>(&from), message.msg_namelen),
             destination_of(&message, address_.port()));
  }
}

Status Datagram::send(std::span<const std::byte> bytes, const Address& to, const Address& from) {
  sockaddr_storage storage;
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, 256> control{};
  msghdr message{};
  message.msg_name = &storage;
  message.msg_namelen = to.to_sockaddr(&storage);
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (from.is_ip() && !from.is_any()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (from.family() == Family::kIpv4) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, from.bytes().data(), 4);
      put_source(&message, SOL_IP, IP_PKTINFO, info);
    } else {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, from.bytes().data(), 16);
      put_source(&message, SOL_IPV6, IPV6_PKTINFO, info);
    }
  }
  if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0) return {};
  if (errno == EAGAIN) return fail(Code::kUnavailable, "the socket's buffer is full");
  return std::unexpected(errno_error("send to " + to.to_string(), errno));
}

}  // namespace mizzen::io
