// The mesh as plain values: what the store makes of Kubernetes' and Istio's objects, and what
// translation reads. Nothing here changes once it is in a Snapshot.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/mesh/protocol.h"

namespace mizzen::control {

using Labels = std::map<std::string, std::string, std::less<>>;

// True when every pair of `wanted` is in `have`. An empty `wanted` matches everything.
bool labels_match(const Labels& wanted, const Labels& have);

// A pod, as far as the mesh cares.
struct Workload {
  std::string name;  // of the pod
  std::string name_space;
  std::string address;  // empty until it has one
  Labels labels;
  std::string service_account;
  std::string node;
  std::string locality;    // "region/zone/subzone", parts may be empty
  std::string owner_name;  // of the Deployment, or what else made it: the metrics' workload
  std::string owner_kind;  // "Deployment", ...
  bool host_network = false;
  bool tls = false;  // label security.istio.io/tlsMode: istio
  bool ready = true;
  bool over = false;  // it has ended: the address is no longer its own
  std::string uid;

  std::string canonical_name() const;
  std::string canonical_revision() const;  // "latest" when nothing says
  std::string spiffe_id(std::string_view trust_domain) const;
};

struct ServicePort {
  std::string name;
  std::uint16_t number = 0;
  std::string target;  // a number, or the name of a container port; empty is the same number
  std::uint16_t node_port = 0;
  Protocol protocol = Protocol::kDetect;
  // False where a Sidecar has given the port's listener to other services: clusters alone.
  bool listened = true;
};

struct Endpoint {
  std::string address;  // of a DNS service a name, of a socket on the workload's disk "unix:///..."
  std::uint16_t port = 0;
  std::string port_name;  // of the service's port
  bool ready = true;
  std::shared_ptr<const Workload> workload;  // null when neither pod nor entry has the address
  std::uint32_t weight = 1;
};

// kDns keeps every address that a name has, kDnsRoundRobin connects to the one that it has now,
// kPassthrough goes where the caller wanted to go.
enum class Resolution : std::uint8_t { kEndpoints, kDns, kDnsRoundRobin, kPassthrough };

// A Service of Kubernetes, or one host of a ServiceEntry.
struct Service {
  std::string host;  // full name
  std::string name;
  std::string name_space;
  std::vector<std::string> addresses;  // cluster IPs; empty when headless; ranges of an entry too
  bool headless = false;
  std::string external_name;      // of an ExternalName service
  bool entry = false;             // of a ServiceEntry
  bool external = false;          // of location MESH_EXTERNAL: never automatic mutual TLS
  std::string auto_address;       // of an entry without one: for proxies whose agent answers DNS
  std::vector<std::string> sans;  // subjectAltNames of an entry
  Resolution resolution = Resolution::kEndpoints;
  std::vector<ServicePort> ports;
  Labels selector;
  std::vector<std::string> export_to;  // empty is everywhere
  std::int64_t created = 0;            // seconds since 1970
  std::vector<Endpoint> endpoints;     // sorted by address and port name
  std::vector<std::string> accounts;   // SPIFFE ids of the endpoints, sorted, each once

  const ServicePort* port(std::uint16_t number) const;
  bool is_dns() const {
    return resolution == Resolution::kDns || resolution == Resolution::kDnsRoundRobin;
  }
  bool visible_to(std::string_view other_namespace) const;
};

// A Kubernetes label selector: all of it must hold.
struct NamespaceSelector {
  struct Expression {
    std::string key;
    std::string op;  // In, NotIn, Exists or DoesNotExist
    std::vector<std::string> values;
    bool operator==(const Expression&) const = default;
  };
  Labels labels;
  std::vector<Expression> expressions;
  bool matches(const Labels& have) const;
  bool operator==(const NamespaceSelector&) const = default;
};

struct Keepalive {  // 0: the system's own
  std::uint32_t probes = 0;
  std::uint32_t time_s = 0;
  std::uint32_t interval_s = 0;
  bool operator==(const Keepalive&) const = default;
};

// How paths are normalised before they are matched (pathNormalization).
enum class PathRule : std::uint8_t { kBase, kNone, kMergeSlashes, kDecodeAndMergeSlashes };

// What the whole mesh has in common (ConfigMap `istio`, key `mesh`).
struct MeshConfig {
  std::string domain = "cluster.local";
  std::string trust_domain = "cluster.local";
  std::string root_namespace = "istio-system";
  std::string cluster_id = "Kubernetes";
  std::string mesh_id = "cluster.local";
  std::string access_log_file;    // empty: off
  std::string access_log_format;  // empty: Istio's own text format
  bool access_log_json = false;   // then the format, if there is one, is a JSON object
  bool registry_only = false;     // outboundTrafficPolicy
  std::string egress_proxy;       // cluster for what nobody knows; empty: where it wants to go
  bool auto_mtls = true;
  std::int64_t connect_timeout_ms = 10'000;
  std::int64_t detection_timeout_ms = 0;  // protocolDetectionTimeout; 0 waits for the client
  std::int64_t dns_refresh_ms = 60'000;
  std::vector<std::string> trust_domain_aliases;
  std::optional<Keepalive> keepalive;
  bool has_default_retries = false;
  std::string default_retries;  // wire bytes of an HTTPRetry, for routes that do not say
  PathRule path_rule = PathRule::kBase;
  bool h2_upgrade = false;
  bool tls13_only = false;
  bool prometheus_merge = true;
  std::string default_proxy_config;                    // JSON of a ProxyConfig; empty: nothing said
  std::vector<NamespaceSelector> discovery_selectors;  // empty: every namespace
  // Who sees objects that do not say it themselves; empty is everywhere.
  std::vector<std::string> service_export_to;
  std::vector<std::string> virtual_service_export_to;
  std::vector<std::string> destination_rule_export_to;
  bool operator==(const MeshConfig&) const = default;
};

enum class ProxyKind : std::uint8_t { kSidecar, kGateway };

// A connected proxy, from its xDS node and its pod.
struct Proxy {
  ProxyKind kind = ProxyKind::kSidecar;
  std::string id;    // the node id as it came
  std::string name;  // "pod.namespace"
  std::string pod;
  std::string name_space;
  std::string address;
  Labels labels;
  std::string locality;  // of its pod, "region/zone/subzone"
  std::string service_account;
  std::string cluster_id;
  std::string version;        // ISTIO_VERSION of the node's metadata
  std::string group;          // the WorkloadGroup that it registers itself in
  std::string network;        // of the node's metadata
  bool capture = true;        // INTERCEPTION_MODE is not NONE
  bool dns_capture = false;   // its agent answers the workload's DNS queries
  bool auto_address = false;  // and gives entries without an address their own
  bool on_demand = false;     // it asks for what it calls, and is told that alone
};

}  // namespace mizzen::control
