// Socket addresses: IPv4 and IPv6 with a port, and UNIX paths.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::io {

enum class Family : std::uint8_t { kNone, kIpv4, kIpv6, kUnix };

// A value; cheap to copy. An IPv4-mapped IPv6 address is kept as IPv4.
class Address {
 public:
  Address() = default;

  // "10.0.0.1:80", "[::1]:80", "unix:/path", "unix:@abstract" or "/path".
  static Result<Address> parse(std::string_view text);
  // An IP literal without port; IPv6 with or without brackets.
  static Result<Address> parse_ip(std::string_view ip, std::uint16_t port);
  static Address unix_path(std::string_view path);  // "@name" is the abstract namespace
  static Address loopback(std::uint16_t port);      // 127.0.0.1
  static Address any(std::uint16_t port);           // 0.0.0.0
  static Address any6(std::uint16_t port);          // [::]
  static Address from_ipv4(std::uint32_t host_order, std::uint16_t port);
  // Nothing (kNone) for a family that is none of ours.
  static Address from_sockaddr(const sockaddr* address, socklen_t length);
  // Fills `out`, returns its length; 0 for kNone or a UNIX path that is too long.
  socklen_t to_sockaddr(sockaddr_storage* out) const;

  Family family() const { return family_; }
  bool is_ip() const { return family_ == Family::kIpv4 || family_ == Family::kIpv6; }
  bool is_unix() const { return family_ == Family::kUnix; }
  bool is_loopback() const;  // 127/8, ::1
  bool is_any() const;       // 0.0.0.0, ::
  explicit operator bool() const { return family_ != Family::kNone; }
  std::uint16_t port() const { return port_; }
  Address with_port(std::uint16_t port) const;
  // Network order: the first 4 bytes for IPv4, all 16 for IPv6.
  const std::array<std::uint8_t, 16>& bytes() const { return ip_; }
  std::string_view path() const { return path_ ? std::string_view(*path_) : std::string_view(); }

  std::string to_string() const;  // as parse() takes it; "" for kNone
  std::string ip() const;         // without port and brackets; the path for UNIX
  // The same texts of an IP address (is_ip()), written at `at`; return their end, at most
  // kMostText from there.
  static constexpr std::size_t kMostText = 64;
  char* write(char* at) const;
  char* write_ip(char* at) const;

  // Equality and order of family, address, port and path (not of the shared pointer).
  friend bool operator==(const Address& a, const Address& b);
  friend std::strong_ordering operator<=>(const Address& a, const Address& b);
  std::size_t hash() const;

 private:
  std::array<std::uint8_t, 16> ip_{};
  std::uint16_t port_ = 0;
  Family family_ = Family::kNone;
  std::shared_ptr<const std::string> path_;
};

// "10.0.0.0/8", "::/0"; a plain address is a range of itself.
class Cidr {
 public:
  static Result<Cidr> parse(std::string_view text);
  static Result<Cidr> make(std::string_view ip, unsigned prefix_length);
  bool contains(const Address& address) const;
  unsigned prefix_length() const { return length_; }
  Family family() const { return base_.family(); }
  const Address& base() const { return base_; }
  std::string to_string() const;

 private:
  Address base_;
  unsigned length_ = 0;
};

}  // namespace mizzen::io

template <>
struct std::hash<mizzen::io::Address> {
  std::size_t operator()(const mizzen::io::Address& address) const { return address.hash(); }
};
