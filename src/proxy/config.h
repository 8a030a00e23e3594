// The compiled configuration of a proxy: immutable plain structs. Made from xDS resources on the
// main thread (config_compile.h), read by the workers through shared_ptr<const Snapshot>. Parts
// that did not change are shared between snapshots, so that a pointer comparison says "unchanged".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "proxy/config_filters.h"
#include "proxy/config_tls.h"
#include "route/table.h"

namespace mizzen::proxy {

// --- Addresses -----------------------------------------------------------------------------------

struct SocketAddr {
  std::string host;  // an IP address, or a name for DNS clusters; a path when `pipe`
  std::uint16_t port = 0;
  bool pipe = false;
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

// --- Listeners -----------------------------------------------------------------------------------

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
  Duration transport_connect_timeout{};      // TLS handshake; 0: none
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
  bool proxy_protocol = false;
  Direction direction = Direction::kUnspecified;
  Inspector tls_inspector;
  Inspector http_inspector;
  std::optional<Duration> inspect_timeout = std::chrono::seconds(15);  // 0 in proto: none
  bool continue_on_inspect_timeout = false;
  std::uint32_t buffer_limit = 1 << 20;
  std::vector<FilterChain> chains;
  std::optional<FilterChain> default_chain;
  std::vector<AccessLog> access_logs;  // for connections that never reached a chain
  std::uint64_t version_hash = 0;      // of the wire bytes: equal means unchanged
};

// --- Clusters ------------------------------------------------------------------------------------

enum class LbPolicy : std::uint8_t {
  kRoundRobin, kLeastRequest, kRandom, kRingHash, kMaglev, kClusterProvided,
};

// envoy.config.cluster.v3.CircuitBreakers.Thresholds, Envoy's defaults.
struct Limits {
  std::uint32_t max_connections = 1024;
  std::uint32_t max_pending_requests = 1024;
  std::uint32_t max_requests = 1024;
  std::uint32_t max_retries = 3;
};

struct OutlierDetection {
  std::uint32_t consecutive_5xx = 5;             // 0: off
  std::uint32_t consecutive_gateway_failure = 5;
  std::uint32_t consecutive_local_origin_failure = 5;
  std::uint32_t enforcing_consecutive_5xx = 100;
  std::uint32_t enforcing_consecutive_gateway_failure = 0;
  std::uint32_t enforcing_consecutive_local_origin_failure = 100;
  bool split_local_origin = false;
  Duration interval = std::chrono::seconds(10);
  Duration base_ejection = std::chrono::seconds(30);
  Duration max_ejection = std::chrono::seconds(300);
  std::uint32_t max_ejection_percent = 10;
};

struct TcpKeepalive {
  std::uint32_t probes = 0;  // 0: the system's
  std::uint32_t time_seconds = 0;
  std::uint32_t interval_seconds = 0;
};

enum class UpstreamHttp : std::uint8_t { kHttp1, kHttp2, kAsDownstream };

// One of transport_socket_matches: the first whose `match` is contained in the endpoint's
// metadata `envoy.transport_socket_match` is taken.
struct TransportSocketMatch {
  std::string name;
  std::vector<std::pair<std::string, std::string>> match;
  std::shared_ptr<const UpstreamTls> tls;  // null: raw buffer
};

struct Cluster {
  std::string name;
  std::string stat_name;  // alt_stat_name, else name
  enum class Type : std::uint8_t { kStatic, kEds, kOriginalDst, kStrictDns, kLogicalDns };
  Type type = Type::kStatic;
  std::string eds_name;   // kEds: the name of the endpoints' resource
  LbPolicy lb = LbPolicy::kRoundRobin;
  std::uint64_t ring_min_size = 1024;
  std::uint64_t ring_max_size = 8388608;
  std::uint64_t maglev_table_size = 65537;
  std::uint32_t least_request_choices = 2;
  std::optional<Duration> slow_start_window;
  double slow_start_aggression = 1.0;
  double slow_start_min_percent = 10.0;
  double panic_threshold_percent = 50.0;  // 0: never panic
  bool locality_weighted = false;

  Duration connect_timeout = std::chrono::seconds(5);
  Limits limits;
  Limits high_priority_limits;
  std::optional<OutlierDetection> outlier;
  std::shared_ptr<const UpstreamTls> tls;             // of every endpoint, unless a match says else
  std::vector<TransportSocketMatch> socket_matches;   // in order
  std::optional<SocketAddr> bind_source;              // 127.0.0.6 of Istio's inbound clusters
  std::optional<TcpKeepalive> keepalive;
  std::uint32_t buffer_limit = 1 << 20;

  UpstreamHttp http = UpstreamHttp::kHttp1;
  std::optional<Duration> http_idle_timeout = std::chrono::hours(1);  // absent: none
  std::uint32_t max_requests_per_connection = 0;                      // 0: unlimited
  std::uint32_t max_concurrent_streams = 0;                           // 0: the peer's
  // Whether a DestinationRule set HTTP/1 limits (D5): such a cluster's HTTP/1 requests keep a
  // connection each, even between two Mizzens.
  bool http1_limits = false;

  Duration dns_refresh = std::chrono::seconds(5);
  bool dns_respect_ttl = false;

  std::string original_dst_header;  // kOriginalDst: use_http_header's header name, or empty

  // Metadata `istio`: for metrics and for people.
  std::string subset;
  std::string config_source;  // the DestinationRule's path
  struct Service {
    std::string host;
    std::string name;
    std::string name_space;
  };
  std::vector<Service> services;
  bool added_via_api = false;
  std::uint64_t version_hash = 0;
};

// --- Endpoints -----------------------------------------------------------------------------------

enum class Health : std::uint8_t { kUnknown, kHealthy, kUnhealthy, kDraining, kTimeout, kDegraded };

// The workload behind an endpoint, for the destination labels of metrics. From endpoint metadata
// istio.workload "name;namespace;canonical name;canonical revision;cluster", and istio.app,
// istio.version and istio.principal where the control plane tells them.
struct Workload {
  std::string name;
  std::string name_space;
  std::string canonical_name;
  std::string canonical_revision;
  std::string cluster;
  std::string app;
  std::string version;
  std::string principal;
};

struct Endpoint {
  SocketAddr address;
  std::string hostname;
  Health health = Health::kUnknown;
  std::uint32_t weight = 1;
  // Metadata envoy.transport_socket_match, sorted by key.
  std::vector<std::pair<std::string, std::string>> socket_match;
  std::shared_ptr<const Workload> workload;  // null when unknown
};

struct Locality {
  std::string region;
  std::string zone;
  std::string sub_zone;
  bool operator==(const Locality&) const = default;
};

struct LocalityEndpoints {
  Locality locality;
  std::uint32_t priority = 0;
  std::uint32_t weight = 0;  // 0: unset
  std::vector<Endpoint> endpoints;
};

// One ClusterLoadAssignment, localities ordered by priority.
struct Endpoints {
  std::string name;
  std::vector<LocalityEndpoints> localities;
  std::uint32_t overprovisioning_percent = 140;
  std::uint64_t version_hash = 0;
};

// --- The whole -----------------------------------------------------------------------------------

// A cluster with its endpoints and secrets as they stand together.
struct ClusterEntry {
  std::shared_ptr<const Cluster> cluster;
  std::shared_ptr<const Endpoints> endpoints;  // null for kOriginalDst
};

// Transparent hash, so that look-ups by string_view make no string.
struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const {
    return std::hash<std::string_view>{}(name);
  }
};
template <class T>
using ByName = std::unordered_map<std::string, T, NameHash, std::equal_to<>>;

struct Snapshot {
  std::uint64_t generation = 0;  // grows with every snapshot of this process
  std::vector<std::shared_ptr<const Listener>> listeners;  // only live (warmed) ones
  ByName<ClusterEntry> clusters;                           // only live (warmed) ones
  ByName<route::TableRef> routes;                          // RDS tables by name
  ByName<std::shared_ptr<const Secret>> secrets;

  const ClusterEntry* cluster(std::string_view name) const {
    auto found = clusters.find(name);
    return found == clusters.end() ? nullptr : &found->second;
  }
  // The table of a connection manager: its inline one, or the RDS one; null when not there (404).
  route::TableRef table(const HttpSettings& settings) const {
    if (settings.table) return settings.table;
    auto found = routes.find(settings.rds_name);
    return found == routes.end() ? nullptr : found->second;
  }
  const Secret* secret(std::string_view name) const {
    auto found = secrets.find(name);
    return found == secrets.end() ? nullptr : found->second.get();
  }
};
using SnapshotRef = std::shared_ptr<const Snapshot>;

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
