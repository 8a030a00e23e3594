#include "proxy/tcp/proxy_protocol.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace mizzen::proxy {
namespace {

constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t kMostV1 = 107;

ProxyHeaderStatus parse_v1(std::string_view bytes, ProxyHeader& out) {
  auto end = bytes.substr(0, kMostV1).find("\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() < kMostV1 ? ProxyHeaderStatus::kNeedMore : ProxyHeaderStatus::kInvalid;
  }
  out.size = end + 2;
  auto words = split(bytes.substr(0, end), ' ');
  if (words.size() >= 2 && words[1] == "UNKNOWN") return ProxyHeaderStatus::kDone;
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) {
    return ProxyHeaderStatus::kInvalid;
  }
  auto source_port = parse_int<std::uint16_t>(words[4]);
  auto destination_port = parse_int<std::uint16_t>(words[5]);
  if (!source_port || !destination_port) return ProxyHeaderStatus::kInvalid;
  auto source = io::Address::parse_ip(words[2], *source_port);
  auto destination = io::Address::parse_ip(words[3], *destination_port);
  if (!source || !destination) return ProxyHeaderStatus::kInvalid;
  const auto family = words[1] == "TCP4" ? io::Family::kIpv4 : io::Family::kIpv6;
  if (source->family() != family || destination->family() != family) {
    return ProxyHeaderStatus::kInvalid;
  }
  out.source = *source;
  out.destination = *destination;
  return ProxyHeaderStatus::kDone;
}

std::uint16_t big16(std::string_view bytes) {
  return static_cast<std::uint16_t>((static_cast<unsigned char>(bytes[0]) << 8) |
                                    static_cast<unsigned char>(bytes[1]));
}

io::Address address_v4(std::string_view ip, std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  std::memcpy(&in.sin_addr, ip.data(), 4);
  return io::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

io::Address address_v6(std::string_view ip, std::uint16_t port) {
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(&in.sin6_addr, ip.data(), 16);
  return io::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

ProxyHeaderStatus parse_v2(std::string_view bytes, ProxyHeader& out) {
  if (bytes.size() < 16) return ProxyHeaderStatus::kNeedMore;
  unsigned command = static_cast<unsigned char>(bytes[12]);
  unsigned family = static_cast<unsigned char>(bytes[13]);
  if ((command >> 4) != 2 || (command & 15) > 1) return ProxyHeaderStatus::kInvalid;
  std::size_t length = big16(bytes.substr(14));
  out.size = 16 + length;
  if (bytes.size() < out.size) return ProxyHeaderStatus::kNeedMore;
  if ((command & 15) == 0) return ProxyHeaderStatus::kDone;  // LOCAL
  std::string_view body = bytes.substr(16, length);
  if (family == 0x11) {
    if (length < 12) return ProxyHeaderStatus::kInvalid;
    out.source = address_v4(body, big16(body.substr(8)));
    out.destination = address_v4(body.substr(4), big16(body.substr(10)));
  } else if (family == 0x21) {
    if (length < 36) return ProxyHeaderStatus::kInvalid;
    out.source = address_v6(body, big16(body.substr(32)));
    out.destination = address_v6(body.substr(16), big16(body.substr(34)));
  }
  return ProxyHeaderStatus::kDone;
}

std::string packed(const io::Address& address) {
  const std::size_t size = address.family() == io::Family::kIpv4 ? 4 : 16;
  return {reinterpret_cast<const char*>(address.bytes().data()), size};
}

void append_big16(std::string& to, std::size_t number) {
  to += static_cast<char>(number >> 8);
  to += static_cast<char>(number);
}

}  // namespace

std::string make_proxy_header(ProxyHeaderVersion version, const io::Address& source,
                              const io::Address& destination) {
  const bool known = source.is_ip() && source.family() == destination.family();
  const bool v4 = source.family() == io::Family::kIpv4;
  if (version == ProxyHeaderVersion::kV1) {
    if (!known) return "PROXY UNKNOWN\r\n";
    return fmt::format("PROXY {} {} {} {} {}\r\n", v4 ? "TCP4" : "TCP6", source.ip(),
                       destination.ip(), source.port(), destination.port());
  }
  std::string out(kSignature);
  if (!known) return out.append("\x20\0\0\0", 4);
  std::string body = packed(source) + packed(destination);
  append_big16(body, source.port());
  append_big16(body, destination.port());
  out += '\x21';
  out += v4 ? '\x11' : '\x21';
  append_big16(out, body.size());
  return out + body;
}

ProxyHeaderStatus parse_proxy_header(std::string_view bytes, ProxyHeader& out) {
  out = {};
  auto begins = [&](std::string_view mark) {
    auto size = std::min(mark.size(), bytes.size());
    return bytes.substr(0, size) == mark.substr(0, size);
  };
  if (begins(kSignature)) {
    return bytes.size() < kSignature.size() ? ProxyHeaderStatus::kNeedMore : parse_v2(bytes, out);
  }
  if (begins("PROXY ")) return parse_v1(bytes, out);
  return ProxyHeaderStatus::kInvalid;
}

}  // namespace mizzen::proxy
