#include "proxy/config/snapshot.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace mizzen::proxy {
namespace {

// How well one part of a match fits: 0 means not at all, more is more specific.
using Fit = std::uint32_t;
constexpr Fit kNo = 0;
constexpr Fit kAny = 1;

Fit fit_cidrs(const std::vector<Cidr>& ranges, std::string_view address) {
  if (ranges.empty()) return kAny;
  Fit best = kNo;
  for (const auto& range : ranges) {
    if (range.contains(address)) best = std::max<Fit>(best, 2U + range.prefix_length);
  }
  return best;
}

Fit fit_server_name(const std::vector<std::string>& names, std::string_view name) {
  if (names.empty()) return kAny;
  Fit best = kNo;
  for (const auto& pattern : names) {
    if (pattern == name && !name.empty()) return ~Fit{0};
    if (pattern.starts_with("*.") && name.size() > pattern.size() - 1 &&
        name.ends_with(std::string_view(pattern).substr(1))) {
      best = std::max<Fit>(best, 2U + static_cast<Fit>(pattern.size()));
    }
  }
  return best;
}

Fit fit_application(const std::vector<std::string>& wanted,
                    const std::vector<std::string_view>& offered) {
  if (wanted.empty()) return kAny;
  // The client's order decides between chains: an earlier offer fits better.
  for (std::size_t i = 0; i < offered.size(); ++i) {
    if (std::ranges::find(wanted, offered[i]) != wanted.end()) {
      return 2U + static_cast<Fit>(offered.size() - i);
    }
  }
  return kNo;
}

bool is_loopback(std::string_view packed) {
  if (packed.size() == 4) return packed[0] == 127;
  static constexpr std::string_view kLoopback6("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
  return packed == kLoopback6;
}

Fit fit_source_type(FilterChainMatch::Source type, const ConnectionFacts& facts) {
  bool local = facts.source_ip == facts.destination_ip || is_loopback(facts.source_ip);
  switch (type) {
    case FilterChainMatch::Source::kAny:
      return kAny;
    case FilterChainMatch::Source::kSameIpOrLoopback:
      return local ? 2 : kNo;
    case FilterChainMatch::Source::kExternal:
      return local ? kNo : 2;
  }
  return kNo;
}

using Score = std::array<Fit, 8>;

// Envoy's order of criteria; a later one counts only where all earlier ones are equal.
std::optional<Score> score(const FilterChainMatch& match, const ConnectionFacts& facts) {
  Score made{};
  if (!match.destination_port) {
    made[0] = kAny;
  } else if (*match.destination_port == facts.destination_port) {
    made[0] = 2;
  }
  made[1] = fit_cidrs(match.destination, facts.destination_ip);
  made[2] = fit_server_name(match.server_names, facts.server_name);
  if (match.transport_protocol.empty()) {
    made[3] = kAny;
  } else if (match.transport_protocol == facts.transport_protocol) {
    made[3] = 2;
  }
  made[4] = fit_application(match.application_protocols, facts.application_protocols);
  made[5] = fit_source_type(match.source_type, facts);
  made[6] = fit_cidrs(match.source, facts.source_ip);
  if (match.source_ports.empty()) {
    made[7] = kAny;
  } else if (std::ranges::find(match.source_ports, facts.source_port) != match.source_ports.end()) {
    made[7] = 2;
  }
  for (Fit fit : made) {
    if (fit == kNo) return std::nullopt;
  }
  return made;
}

}  // namespace

std::string to_string(const SocketAddr& address) {
  if (address.pipe) return "unix://" + address.host;
  bool v6 = address.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.host, address.port)
            : fmt::format("{}:{}", address.host, address.port);
}

std::string pack_ip(std::string_view text) {
  std::string terminated(text);
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return {};
}

bool Cidr::contains(std::string_view address) const {
  if (address.size() != bytes.size() || prefix_length > bytes.size() * 8) return false;
  std::size_t whole = prefix_length / 8;
  if (std::memcmp(address.data(), bytes.data(), whole) != 0) return false;
  int bits = prefix_length % 8;
  if (bits == 0) return true;
  auto mask = static_cast<unsigned char>(0xff << (8 - bits));
  return (static_cast<unsigned char>(address[whole]) & mask) ==
         (static_cast<unsigned char>(bytes[whole]) & mask);
}

bool Inspector::inspects(std::uint16_t port) const {
  return present && std::ranges::none_of(disabled_ports, [&](const PortRange& range) {
           return port >= range.start && port < range.end;
         });
}

const FilterChain* find_chain(const Listener& listener, const ConnectionFacts& facts) {
  const FilterChain* best = nullptr;
  Score best_score{};
  for (const auto& chain : listener.chains) {
    auto made = score(chain.match, facts);
    if (made && (!best || *made > best_score)) {
      best = &chain;
      best_score = *made;
    }
  }
  if (best) return best;
  return listener.default_chain ? &*listener.default_chain : nullptr;
}

}  // namespace mizzen::proxy
