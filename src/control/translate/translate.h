// Pure translation: a snapshot and a proxy in, the proxy's xDS resources out. Any thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "control/mesh/snapshot.h"
#include "xds/resource.h"

namespace mizzen::control {

using Resources = std::shared_ptr<const xds::ResourceMap>;

// envoy.config.listener.v3.Listener: capture listeners of a sidecar, servers of a gateway.
Resources translate_listeners(const Snapshot& snapshot, const Proxy& proxy);
// The two parts of the above: what a sidecar has in common with every sidecar of its namespace
// (with the same labels, if proxy_labels_matter()), and what is its own. A gateway's are all its
// own.
Resources translate_common_listeners(const Snapshot& snapshot, const Proxy& proxy);
void add_own_listeners(const Snapshot& snapshot, const Proxy& proxy, xds::ResourceMap* resources);
// Clusters by what they are made of: those that every proxy of a kind has, those of one service
// that the proxy sees, and what is the proxy's own.
Resources fixed_clusters(const Snapshot& snapshot, const Proxy& proxy);
Resources service_clusters(const Snapshot& snapshot, const Proxy& proxy, const Service& service);
void add_own_clusters(const Snapshot& snapshot, const Proxy& proxy, xds::ResourceMap* resources);

// Whether any rule tells callers apart by their labels.
bool proxy_labels_matter(const Snapshot& snapshot);

// What of a Gateway `proxy` (a gateway) does not serve, because an older one stands in its place:
// by "namespace/name", for people.
std::map<std::string, std::string> gateway_conflicts(const Snapshot& snapshot, const Proxy& proxy);

// envoy.config.route.v3.RouteConfiguration: every one that a listener of the proxy names.
Resources translate_routes(const Snapshot& snapshot, const Proxy& proxy);
// envoy.config.cluster.v3.Cluster
Resources translate_clusters(const Snapshot& snapshot, const Proxy& proxy);
// envoy.config.endpoint.v3.ClusterLoadAssignment: one per EDS cluster of translate_clusters.
Resources translate_endpoints(const Snapshot& snapshot, const Proxy& proxy);
// Those of one service that the proxy sees.
Resources service_endpoints(const Snapshot& snapshot, const Proxy& proxy, const Service& service);
// envoy.extensions.transport_sockets.tls.v3.Secret: what the servers of a gateway name.
Resources translate_secrets(const Snapshot& snapshot, const Proxy& proxy);

// istio.networking.nds.v1.NameTable: one resource with the hosts of ServiceEntries that have
// addresses, given to the proxy's agent. Names of Kubernetes' Services are the cluster's own to
// answer.
Resources translate_names(const Snapshot& snapshot, const Proxy& proxy);

}  // namespace mizzen::control
