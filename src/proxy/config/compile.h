// From the wire bytes of xDS resources to the plain structs of snapshot.h. Pure; any thread. Errors
// name the field's path and what is wrong with it; the caller adds the resource's name and NACKs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proxy/config/origin.h"
#include "proxy/config/snapshot.h"

namespace mizzen::proxy {

// Fields that are set but have no effect here ("path: why"). May be null.
using Warnings = std::vector<std::string>;

// What a resource needs before it can go live.
struct Needs {
  std::set<std::string> routes;   // RDS names
  std::set<std::string> secrets;  // SDS names
  // Where those come from that do not come by ADS, and the endpoints (by their name) likewise. By
  // type URL and name.
  std::map<std::pair<std::string, std::string>, ConfigOrigin> origins;
  // initial_fetch_timeout, the longest of them; 0: without end. Absent: kWarmingLimit.
  std::optional<Duration> fetch_timeout;
  // Files whose text is part of it, with fnv1a() of that: certificates, keys, trust, revocations.
  std::map<std::string, std::uint64_t> files;
};

struct CompiledListener {
  std::shared_ptr<const Listener> listener;
  Needs needs;
};
struct CompiledCluster {
  std::shared_ptr<const Cluster> cluster;
  std::shared_ptr<const Endpoints> endpoints;  // inline load_assignment, or null
  Needs needs;
};

// `bytes`: a serialized envoy.config.listener.v3.Listener.
Result<CompiledListener> compile_listener(std::string_view bytes, Warnings* warnings);
// envoy.config.cluster.v3.Cluster
Result<CompiledCluster> compile_cluster(std::string_view bytes, Warnings* warnings);
// envoy.config.endpoint.v3.ClusterLoadAssignment
Result<std::shared_ptr<const Endpoints>> compile_endpoints(std::string_view bytes,
                                                           Warnings* warnings);
// envoy.config.route.v3.RouteConfiguration
Result<route::TableRef> compile_routes(std::string_view bytes, Warnings* warnings);
// envoy.extensions.transport_sockets.tls.v3.Secret
Result<std::shared_ptr<const Secret>> compile_secret(std::string_view bytes, Warnings* warnings);

}  // namespace mizzen::proxy
