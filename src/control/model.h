// The mesh as plain values: what the store makes of Kubernetes' and Istio's objects, and what
// translation reads. Nothing here changes once it is in a Snapshot.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/protocol.h"

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
};

struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
  std::string port_name;  // of the service's port
  bool ready = true;
  std::shared_ptr<const Workload> workload;  // null when no pod has the address
};

enum class Resolution : std::uint8_t { kEndpoints, kDns, kPassthrough };

struct Service {
  std::string host;  // full name
  std::string name;
  std::string name_space;
  std::vector<std::string> addresses;  // cluster IPs; empty when headless
  bool headless = false;
  std::string external_name;  // of an ExternalName service
  Resolution resolution = Resolution::kEndpoints;
  std::vector<ServicePort> ports;
  Labels selector;
  std::vector<std::string> export_to;  // empty is everywhere
  std::int64_t created = 0;            // seconds since 1970
  std::vector<Endpoint> endpoints;     // sorted by address and port name
  std::vector<std::string> accounts;   // SPIFFE ids of the endpoints, sorted, each once

  const ServicePort* port(std::uint16_t number) const;
  bool visible_to(std::string_view other_namespace) const;
};

// What the whole mesh has in common (ConfigMap `istio`, key `mesh`).
struct MeshConfig {
  std::string domain = "cluster.local";
  std::string trust_domain = "cluster.local";
  std::string root_namespace = "istio-system";
  std::string cluster_id = "Kubernetes";
  std::string mesh_id = "cluster.local";
  std::string access_log_file;    // empty: off
  std::string access_log_format;  // empty: Istio's own text format
  bool access_log_json = false;
  bool registry_only = false;  // outboundTrafficPolicy
  bool auto_mtls = true;
  std::int64_t connect_timeout_ms = 10'000;
  std::int64_t detection_timeout_ms = 0;  // protocolDetectionTimeout; 0 waits for the client
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
  std::string service_account;
  std::string cluster_id;
  std::string version;  // ISTIO_VERSION of the node's metadata
  bool capture = true;  // INTERCEPTION_MODE is not NONE
};

}  // namespace mizzen::control
