// Addresses and address ranges of the compiled configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mizzen::proxy {

struct SocketAddr {
  std::string host;  // an IP address, or a name for DNS clusters; a path when `pipe`
  std::uint16_t port = 0;
  bool pipe = false;
  bool ipv4_compat = false;  // of a listener on "::": it takes IPv4 too
  bool internal = false;     // a listener of this proxy; `host` is its name
  bool operator==(const SocketAddr&) const = default;
};
std::string to_string(const SocketAddr& address);  // "10.0.0.1:80", "[::1]:80", "unix:///path"

struct Cidr {  // compared on packed bytes: IPv4 4, IPv6 16
  std::string bytes;
  std::uint8_t prefix_length = 0;
  bool contains(std::string_view packed_address) const;
  bool operator==(const Cidr&) const = default;
};
// Packed bytes of a textual IP address; empty when it is not one.
std::string pack_ip(std::string_view text);

}  // namespace mizzen::proxy
