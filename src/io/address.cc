#include "io/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/strings.h"

namespace mizzen::io {
namespace {

bool is_v4_mapped(const std::uint8_t* ip) {
  static constexpr std::uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(ip, kPrefix, sizeof kPrefix) == 0;
}

// "127." and its size.
struct ByteText {
  char text[4] = {};
  std::uint8_t size = 0;
};
constexpr std::array<ByteText, 256> kBytes = [] {
  std::array<ByteText, 256> all;
  for (unsigned i = 0; i < all.size(); ++i) {
    char* at = all[i].text;
    if (i >= 100) *at++ = static_cast<char>('0' + i / 100);
    if (i >= 10) *at++ = static_cast<char>('0' + i / 10 % 10);
    *at++ = static_cast<char>('0' + i % 10);
    *at++ = '.';
    all[i].size = static_cast<std::uint8_t>(at - all[i].text);
  }
  return all;
}();

// Not by inet_ntop(), which prints by a format: access logs have five addresses a line.
char* write_ipv4(char* at, const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    const ByteText& byte = kBytes[bytes[i]];
    std::memcpy(at, byte.text, sizeof byte.text);  // there is room
    at += byte.size;
  }
  return at - 1;  // without the last dot
}

std::unexpected<Error> bad(std::string_view text) {
  return fail(Code::kInvalid, "not an address: '" + std::string(text.substr(0, 120)) + "'");
}

}  // namespace

Result<Address> Address::parse_ip(std::string_view ip, std::uint16_t port) {
  std::string text(ip);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  Address out;
  out.port_ = port;
  if (text.size() < 64 && ::inet_pton(AF_INET, text.c_str(), out.ip_.data()) == 1) {
    out.family_ = Family::kIpv4;
    return out;
  }
  out.ip_ = {};
  if (text.size() < 64 && ::inet_pton(AF_INET6, text.c_str(), out.ip_.data()) == 1) {
    out.family_ = Family::kIpv6;
    if (is_v4_mapped(out.ip_.data())) {
      std::array<std::uint8_t, 16> v4{};
      std::copy_n(out.ip_.begin() + 12, 4, v4.begin());
      out.ip_ = v4;
      out.family_ = Family::kIpv4;
    }
    return out;
  }
  return bad(ip);
}

Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with("unix:")) return unix_path(text.substr(5));
  if (text.starts_with("/")) return unix_path(text);
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(text);
  std::string_view ip = text.substr(0, colon);
  auto port = parse_int<std::uint16_t>(text.substr(colon + 1));
  bool bracketed = ip.starts_with('[') && ip.ends_with(']');
  if (!port || (ip.find(':') != std::string_view::npos && !bracketed)) return bad(text);
  return parse_ip(ip, *port);
}

Address Address::unix_path(std::string_view path) {
  Address out;
  out.family_ = Family::kUnix;
  out.path_ = std::make_shared<const std::string>(path);
  return out;
}

Address Address::from_ipv4(std::uint32_t host_order, std::uint16_t port) {
  Address out;
  out.family_ = Family::kIpv4;
  out.port_ = port;
  std::uint32_t network = htonl(host_order);
  std::memcpy(out.ip_.data(), &network, 4);
  return out;
}

Address Address::loopback(std::uint16_t port) { return from_ipv4(INADDR_LOOPBACK, port); }
Address Address::any(std::uint16_t port) { return from_ipv4(INADDR_ANY, port); }

Address Address::any6(std::uint16_t port) {
  Address out;
  out.family_ = Family::kIpv6;
  out.port_ = port;
  return out;
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t length) {
  Address out;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(address);
    return from_ipv4(ntohl(in->sin_addr.s_addr), ntohs(in->sin_port));
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(address);
    out.port_ = ntohs(in->sin6_port);
    const std::uint8_t* ip = in->sin6_addr.s6_addr;
    if (is_v4_mapped(ip)) {
      out.family_ = Family::kIpv4;
      std::memcpy(out.ip_.data(), ip + 12, 4);
    } else {
      out.family_ = Family::kIpv6;
      std::memcpy(out.ip_.data(), ip, 16);
    }
    return out;
  }
  if (address->sa_family == AF_UNIX) {
    const auto* un = reinterpret_cast<const sockaddr_un*>(address);
    std::size_t size = length - std::min<std::size_t>(length, offsetof(sockaddr_un, sun_path));
    if (size == 0) return unix_path("");
    if (un->sun_path[0] == '\0') {
      return unix_path("@" + std::string(un->sun_path + 1, size - 1));
    }
    return unix_path(std::string_view(un->sun_path, ::strnlen(un->sun_path, size)));
  }
  return out;
}

socklen_t Address::to_sockaddr(sockaddr_storage* out) const {
  std::memset(out, 0, sizeof *out);
  switch (family_) {
    case Family::kNone:
      return 0;
    case Family::kIpv4: {
      auto* in = reinterpret_cast<sockaddr_in*>(out);
      in->sin_family = AF_INET;
      in->sin_port = htons(port_);
      std::memcpy(&in->sin_addr, ip_.data(), 4);
      return sizeof *in;
    }
    case Family::kIpv6: {
      auto* in = reinterpret_cast<sockaddr_in6*>(out);
      in->sin6_family = AF_INET6;
      in->sin6_port = htons(port_);
      std::memcpy(&in->sin6_addr, ip_.data(), 16);
      return sizeof *in;
    }
    case Family::kUnix: {
      auto* un = reinterpret_cast<sockaddr_un*>(out);
      std::string_view name = path();
      if (name.empty() || name.size() >= sizeof un->sun_path) return 0;
      un->sun_family = AF_UNIX;
      std::memcpy(un->sun_path, name.data(), name.size());
      if (name.front() == '@') {
        un->sun_path[0] = '\0';
        return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
      }
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
    }
  }
  return 0;
}

bool Address::is_loopback() const {
  if (family_ == Family::kIpv4) return ip_[0] == 127;
  if (family_ != Family::kIpv6) return false;
  return ip_[15] == 1 && std::all_of(ip_.begin(), ip_.end() - 1, [](auto b) { return b == 0; });
}

bool Address::is_any() const {
  return is_ip() && std::all_of(ip_.begin(), ip_.end(), [](auto b) { return b == 0; });
}

Address Address::with_port(std::uint16_t port) const {
  Address out = *this;
  out.port_ = port;
  return out;
}

char* Address::write_ip(char* at) const {
  if (family_ == Family::kIpv4) return write_ipv4(at, ip_.data());
  ::inet_ntop(AF_INET6, ip_.data(), at, INET6_ADDRSTRLEN);
  return at + std::strlen(at);
}

char* Address::write(char* at) const {
  if (family_ == Family::kIpv6) *at++ = '[';
  at = write_ip(at);
  if (family_ == Family::kIpv6) *at++ = ']';
  *at++ = ':';
  constexpr std::size_t kMostPort = 5;
  return std::to_chars(at, at + kMostPort, port_).ptr;
}

std::string Address::ip() const {
  char text[kMostText];
  return is_ip() ? std::string(text, write_ip(text)) : std::string(path());
}

std::string Address::to_string() const {
  char text[kMostText];
  if (is_ip()) return std::string(text, write(text));
  return is_unix() ? "unix:" + std::string(path()) : std::string();
}

bool operator==(const Address& a, const Address& b) {
  return a.family_ == b.family_ && a.port_ == b.port_ && a.ip_ == b.ip_ && a.path() == b.path();
}

std::strong_ordering operator<=>(const Address& a, const Address& b) {
  if (auto order = a.family_ <=> b.family_; order != 0) return order;
  if (auto order = a.ip_ <=> b.ip_; order != 0) return order;
  if (auto order = a.port_ <=> b.port_; order != 0) return order;
  return a.path() <=> b.path();
}

std::size_t Address::hash() const {
  std::uint64_t low;
  std::uint64_t high;
  std::memcpy(&low, ip_.data(), 8);
  std::memcpy(&high, ip_.data() + 8, 8);
  std::uint64_t mixed = (low ^ (high * 0x9e3779b97f4a7c15ULL)) + port_;
  mixed = (mixed ^ (mixed >> 31)) * 0xbf58476d1ce4e5b9ULL;
  if (path_) mixed = fnv1a(*path_, mixed);
  return static_cast<std::size_t>(mixed ^ (mixed >> 29));
}

Result<Cidr> Cidr::parse(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    MIZZEN_TRY(auto address, Address::parse_ip(text, 0));
    return make(text, address.family() == Family::kIpv4 ? 32 : 128);
  }
  auto length = parse_int<unsigned>(text.substr(slash + 1));
  if (!length) return fail(Code::kInvalid, "not a prefix length in '" + std::string(text) + "'");
  return make(text.substr(0, slash), *length);
}

Result<Cidr> Cidr::make(std::string_view ip, unsigned prefix_length) {
  MIZZEN_TRY(auto address, Address::parse_ip(ip, 0));
  if (prefix_length > (address.family() == Family::kIpv4 ? 32U : 128U)) {
    return fail(Code::kInvalid, "prefix length " + std::to_string(prefix_length) +
                                    " is too long for " + std::string(ip));
  }
  Cidr out;
  out.base_ = address;
  out.length_ = prefix_length;
  return out;
}

bool Cidr::contains(const Address& address) const {
  if (address.family() != base_.family()) return false;
  unsigned whole = length_ / 8;
  if (!std::equal(base_.bytes().begin(), base_.bytes().begin() + whole, address.bytes().begin())) {
    return false;
  }
  unsigned rest = length_ % 8;
  if (rest == 0) return true;
  auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return ((base_.bytes()[whole] ^ address.bytes()[whole]) & mask) == 0;
}

std::string Cidr::to_string() const { return base_.ip() + "/" + std::to_string(length_); }

}  // namespace mizzen::io
