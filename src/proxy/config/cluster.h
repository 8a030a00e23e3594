// Clusters and endpoints of the compiled configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "proxy/config/address.h"
#include "proxy/config/filters.h"
#include "proxy/config/tls.h"
#include "proxy/tcp/proxy_protocol.h"

namespace mizzen::proxy {

enum class LbPolicy : std::uint8_t {
  kRoundRobin,
  kLeastRequest,
  kRandom,
  kRingHash,
  kMaglev,
  kClusterProvided,
};

// CircuitBreakers.Thresholds.RetryBudget.
struct RetryBudget {
  double percent = 20.0;  // of the requests that are active or pending
  std::uint32_t min_concurrency = 3;
};

// envoy.config.cluster.v3.CircuitBreakers.Thresholds, Envoy's defaults.
struct Limits {
  std::uint32_t max_connections = 1024;
  std::uint32_t max_pending_requests = 1024;
  std::uint32_t max_requests = 1024;
  std::uint32_t max_retries = 3;
  // Takes the place of max_retries.
  std::optional<RetryBudget> retry_budget{};
};

// Whose TLS opens the tunnels to such endpoints; Istio's name.
inline constexpr std::string_view kHboneCluster = "connect_originate";

struct OutlierDetection {
  std::uint32_t consecutive_5xx = 5;  // 0: off
  std::uint32_t consecutive_gateway_failure = 5;
  std::uint32_t consecutive_local_origin_failure = 5;
  std::uint32_t enforcing_consecutive_5xx = 100;
  std::uint32_t enforcing_consecutive_gateway_failure = 0;
  std::uint32_t enforcing_consecutive_local_origin_failure = 100;
  bool split_local_origin = false;
  std::uint32_t success_rate_minimum_hosts = 5;
  std::uint32_t success_rate_request_volume = 100;
  std::uint32_t success_rate_stdev_factor = 1900;  // thousandths
  std::uint32_t enforcing_success_rate = 100;
  std::uint32_t enforcing_local_origin_success_rate = 100;
  std::uint32_t failure_percentage_threshold = 85;
  std::uint32_t failure_percentage_minimum_hosts = 5;
  std::uint32_t failure_percentage_request_volume = 50;
  std::uint32_t enforcing_failure_percentage = 0;
  std::uint32_t enforcing_failure_percentage_local_origin = 0;
  Duration interval = std::chrono::seconds(10);
  Duration base_ejection = std::chrono::seconds(30);
  Duration max_ejection = std::chrono::seconds(300);
  Duration max_ejection_jitter{};
  std::uint32_t max_ejection_percent = 10;
  // One host may always go, unless this is said to be false: clusters of less than ten hosts would
  // never eject any otherwise.
  bool always_eject_one_host = true;
};

enum class RingHash : std::uint8_t { kXxHash, kMurmur2 };
enum class DnsFamily : std::uint8_t { kAuto, kV4Only, kV6Only, kV4Preferred, kAll };

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
  std::string eds_name;  // kEds: the name of the endpoints' resource
  LbPolicy lb = LbPolicy::kRoundRobin;
  std::uint64_t ring_min_size = 1024;
  std::uint64_t ring_max_size = 8388608;
  RingHash ring_hash = RingHash::kXxHash;
  std::uint64_t maglev_table_size = 65537;
  bool hash_hostnames = false;  // the tables are made of the endpoints' host names
  std::uint32_t least_request_choices = 2;
  double active_request_bias = 1.0;  // of least request, when weights differ
  std::optional<Duration> slow_start_window;
  double slow_start_aggression = 1.0;
  double slow_start_min_percent = 10.0;
  double panic_threshold_percent = 50.0;  // 0: never panic
  bool locality_weighted = false;

  Duration connect_timeout = std::chrono::seconds(5);
  Limits limits;
  Limits high_priority_limits;
  std::optional<OutlierDetection> outlier;
  std::shared_ptr<const UpstreamTls> tls;            // of every endpoint, unless a match says else
  std::vector<TransportSocketMatch> socket_matches;  // in order
  std::optional<SocketAddr> bind_source;             // 127.0.0.6 of Istio's inbound clusters
  std::optional<TcpKeepalive> keepalive;

  UpstreamHttp http = UpstreamHttp::kHttp1;
  http::HeaderCase header_case = http::HeaderCase::kLower;
  http::Limits http_limits;
  std::optional<KeepAliveSettings> h2_keep_alive;
  std::optional<ProxyHeaderVersion> proxy_header;                     // written ahead of all else
  std::optional<Duration> http_idle_timeout = std::chrono::hours(1);  // absent: none
  std::uint32_t max_requests_per_connection = 0;                      // 0: unlimited
  std::optional<Duration> max_connection_duration;                    // absent: none
  std::uint32_t max_concurrent_streams = 0;                           // 0: the peer's
  // Whether a DestinationRule set HTTP/1 limits: such a cluster's HTTP/1 requests keep a
  // connection each, even between two Mizzens.
  bool http1_limits = false;

  Duration dns_refresh = std::chrono::seconds(5);
  bool dns_respect_ttl = false;
  DnsFamily dns_family = DnsFamily::kAuto;
  // After a failure: first and longest wait; absent: dns_refresh.
  std::optional<std::pair<Duration, Duration>> dns_failure_refresh;

  std::string original_dst_header;      // kOriginalDst: use_http_header's header name, or empty
  std::uint16_t original_dst_port = 0;  // kOriginalDst: instead of the destination's own; 0: none

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
  // Not 0: reached through an HBONE tunnel to this port, by the TLS of cluster kHboneCluster.
  std::uint16_t tunnel_port = 0;
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

}  // namespace mizzen::proxy
