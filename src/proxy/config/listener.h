// Listeners of the compiled configuration, and the choice of a filter chain.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "proxy/config/address.h"
#include "proxy/config/filters.h"
#include "proxy/config/tls.h"

namespace mizzen::proxy {

enum class Direction : std::uint8_t { kUnspecified, kInbound, kOutbound };

// envoy.config.listener.v3.FilterChainMatch. Empty fields match everything; the most specific
// chain wins in the order: port, destination IP, SNI, transport protocol, ALPN, source type,
// source IP, source port.
struct FilterChainMatch {
  std::optional<std::uint16_t> destination_port;
  std::vector<Cidr> destination;
  std::vector<std::string> server_names;           // "a.b", "*.b"; lower case
  std::string transport_protocol;                  // "", "tls" or "raw_buffer"
  std::vector<std::string> application_protocols;  // "http/1.1", "h2c", ALPNs
  enum class Source : std::uint8_t { kAny, kSameIpOrLoopback, kExternal };
  Source source_type = Source::kAny;
  std::vector<Cidr> source;
  std::vector<std::uint16_t> source_ports;
};

struct FilterChain {
  std::string name;
  FilterChainMatch match;
  std::shared_ptr<const DownstreamTls> tls;  // null: plaintext
  std::vector<NetworkFilter> before;         // network filters ahead of the terminal one (RBAC)
  bool sni_cluster = false;                  // the SNI names the cluster (sni_cluster filter)
  std::variant<std::shared_ptr<const HttpSettings>, std::shared_ptr<const TcpSettings>> terminal;
  Duration transport_connect_timeout{};  // TLS handshake; 0: none
};

// When a listener filter (an inspector) must not look: by the original destination port, for
// server-first protocols. A range is [start, end).
struct PortRange {
  std::uint32_t start = 0;
  std::uint32_t end = 0;
};
struct Inspector {
  bool present = false;
  std::vector<PortRange> disabled_ports;
  bool inspects(std::uint16_t port) const;
};

struct Listener {
  std::string name;
  std::vector<SocketAddr> addresses;  // the first is the address, the rest additional_addresses
  bool bind = true;                   // false: reached only through another listener's hand-off
  bool use_original_dst = false;      // hands connections to the listener of their destination
  bool original_dst_filter = false;   // restores the destination (SO_ORIGINAL_DST)
  bool transparent = false;
  bool on_demand = false;  // destinations that it does not know are to be asked for
  bool proxy_protocol = false;
  bool proxy_protocol_optional = false;  // connections without the header are taken as they are
  Direction direction = Direction::kUnspecified;
  Inspector tls_inspector;
  Inspector http_inspector;
  std::optional<Duration> inspect_timeout = std::chrono::seconds(15);  // 0 in proto: none
  bool continue_on_inspect_timeout = false;
  bool ignores_global_limit = false;  // ConnectionLimits::all does not hold for it
  bool bypasses_overload = false;     // goes on when descriptors run short
  std::vector<FilterChain> chains;
  std::optional<FilterChain> default_chain;
  std::vector<AccessLog> access_logs;  // for connections that never reached a chain
  std::uint64_t version_hash = 0;      // of the wire bytes: equal means unchanged
};

// The chain for a connection, by Envoy's rules of specificity; the default chain, or null.
struct ConnectionFacts {
  std::string_view destination_ip;  // packed
  std::uint16_t destination_port = 0;
  std::string_view server_name;         // lower case
  std::string_view transport_protocol;  // "tls" or "raw_buffer"
  std::vector<std::string_view> application_protocols;
  std::string_view source_ip;  // packed
  std::uint16_t source_port = 0;
};
const FilterChain* find_chain(const Listener& listener, const ConnectionFacts& facts);

}  // namespace mizzen::proxy
