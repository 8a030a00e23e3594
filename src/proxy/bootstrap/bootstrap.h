// What a proxy starts with: an Envoy bootstrap (YAML or JSON, envoy.config.bootstrap.v3), or, in an
// injected pod, its environment.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "proxy/config/origin.h"
#include "proxy/config/snapshot.h"
#include "proxy/overload.h"
#include "xds/resource.h"

namespace mizzen::proxy {

// How to reach a control plane, and which variant of xDS it is spoken to in.
struct DiscoverySettings {
  std::string host;  // name, IP address or, for UNIX sockets, path
  std::uint16_t port = 0;
  bool pipe = false;
  bool tls = false;
  std::string sni;         // verified in the server's certificate
  std::string root_file;   // PEM of the roots that may sign it; read at each new connection
  std::string root_pem;    // instead of root_file
  std::string token_file;  // sent as "authorization: Bearer"; read at each new stream; may be empty
  std::vector<std::pair<std::string, std::string>> metadata;  // further request headers
  bool delta = true;
};

// dynamic_resources.cds_config or lds_config.
struct DynamicType {
  ConfigOrigin origin;
  // After that the proxy serves without (initial_fetch_timeout); 0: it waits.
  Duration fetch_timeout{};
};

// For the agent: who this workload is and where certificates come from. Only in injected pods.
struct WorkloadSettings {
  std::string trust_domain;
  std::string name_space;
  std::string service_account;
  std::string ca_host;
  std::uint16_t ca_port = 0;
  std::string root_file;
  std::string token_file;
  std::string app_probers_json;             // ISTIO_KUBE_APP_PROBERS
  std::string prometheus_annotations_json;  // ISTIO_PROMETHEUS_ANNOTATIONS
  std::uint16_t status_port = 15020;
  bool dns_capture = false;  // ISTIO_META_DNS_CAPTURE: the agent answers the workload's DNS queries
  std::vector<std::string> dns_names;         // further names wanted in the certificate
  std::optional<Duration> termination_drain;  // PROXY_CONFIG.terminationDrainDuration
};

struct Bootstrap {
  xds::NodeInfo node;
  std::vector<std::string> listeners;  // serialized protobufs
  std::vector<std::string> clusters;
  std::vector<std::string> secrets;
  std::optional<SocketAddr> admin;
  ConnectionLimits connection_limits;          // of layered_runtime
  std::optional<DiscoverySettings> discovery;  // of ADS
  std::optional<DynamicType> dynamic_clusters;
  std::optional<DynamicType> dynamic_listeners;
  std::optional<WorkloadSettings> workload;
  bool on_demand = false;  // asks the control plane for what is called (ON_DEMAND_SCOPE)
  std::optional<unsigned> concurrency;  // of PROXY_CONFIG; 0: one worker per core
  std::string wire;  // the whole as envoy.config.bootstrap.v3.Bootstrap, for config_dump
  std::vector<std::string> warnings;
};

// Flags that win over the file.
struct BootstrapFlags {
  std::string service_node;
  std::string service_cluster;
  std::string overlay;  // --config-yaml: merged over the file, as protobufs merge
};

// The static cluster that an origin of kind kGrpc names, as a control plane. `clusters`: of
// Bootstrap.
Result<DiscoverySettings> discovery_settings(const std::vector<std::string>& clusters,
                                             const ConfigOrigin& origin);

// `text`: YAML or JSON. Errors name the field.
Result<Bootstrap> parse_bootstrap(std::string_view text, const BootstrapFlags& flags = {});
Result<Bootstrap> load_bootstrap(const std::string& path, const BootstrapFlags& flags = {});

// Environment variables of an injected container (Istio's names), by name.
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();

// What `proxy sidecar` or `proxy router` starts with. `domain`: "default.svc.cluster.local".
// Files of the downward API that are missing are left out.
Result<Bootstrap> bootstrap_from_environment(const Environment& environment, std::string_view role,
                                             std::string_view domain);

// The bootstrap, as JSON, of a stock Envoy that stands beside `mizzen-proxy agent`: delta ADS by
// the UNIX socket `ads_socket`, secrets by `sds_socket`, admin on `made.admin`.
std::string envoy_bootstrap(const Bootstrap& made, const std::string& ads_socket,
                            const std::string& sds_socket);

// A YAML document (at most 16 MiB, 1,000,000 nodes, 64 levels). Plain scalars become
// booleans, numbers and null as YAML's core schema has it. Any further documents are refused.
Result<nlohmann::json> read_yaml(std::string_view text);

// `app="reviews"` lines of a downward API file to pairs.
std::map<std::string, std::string> parse_downward(std::string_view text);

}  // namespace mizzen::proxy
