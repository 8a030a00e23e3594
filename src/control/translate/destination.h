// What a DestinationRule says about one port of a service, applied to its cluster. Internal to
// control.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/translate/xds_parts.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::route::v3 {
class RouteAction;
}
namespace mizzen::schema {
class ConnectionPoolSettings;
class TrafficPolicy;
}  // namespace mizzen::schema

namespace mizzen::control {

struct SubsetView {
  std::string name;  // empty: the service itself
  Labels labels;     // what its endpoints carry
};

// The subsets of the rule that `host` obeys, the service itself first.
std::vector<SubsetView> subsets_of(const DestinationRuleRule* rule);

// Fills load balancing, pools, outlier detection and TLS as the rule (which may be null) says for
// `subset` and `port`; `cluster` has its name and type already.
void apply_destination_rule(const View& view, const DestinationRuleRule* rule,
                            const SubsetView& subset, const Service& service,
                            const ServicePort& port, envoy::config::cluster::v3::Cluster* cluster);

// The names of the secrets that the clusters of this proxy use.
std::vector<std::string> client_credentials(const View& view);

// Limits, keep-alive and HTTP options of one pool, on a cluster with thresholds.
void apply_connection_pool(const schema::ConnectionPoolSettings& pool, Protocol protocol,
                           envoy::config::cluster::v3::Cluster* cluster);

// The ready endpoints of the port that belong to the subset, by locality.
// In the order that `rule` (which may be null) asks for.
envoy::config::endpoint::v3::ClusterLoadAssignment assign_endpoints(const View& view,
                                                                    const DestinationRuleRule* rule,
                                                                    const Service& service,
                                                                    const ServicePort& port,
                                                                    const SubsetView& subset);

// Whether connections to the endpoint are to be mutual TLS: its pod has a proxy, and no policy of
// its own says otherwise.
bool speaks_mutual_tls(const Snapshot& snapshot, const Endpoint& endpoint);

// The consistent hash that the rule of `host` asks for. False (and nothing done) without one.
bool add_hash_policy(const View& view, std::string_view host, std::string_view subset,
                     std::uint16_t port, envoy::config::route::v3::RouteAction* action);

}  // namespace mizzen::control
