// Clusters of a gateway that passes mutual TLS on between meshes (AUTO_PASSTHROUGH): each has the
// name that a client's proxy sends as server name. Internal to control.
#pragma once

#include <string>
#include <vector>

#include "control/translate/gateway_plan.h"
#include "control/translate/xds_parts.h"

namespace mizzen::control {

// "outbound_.9080_.v1_.reviews.default.svc.cluster.local" of every service and subset that the
// server's hosts cover.
std::vector<std::string> sni_cluster_names(const View& view, const GatewayServer& server);

// The clusters for all such servers of the gateway; nothing for other proxies.
void add_sni_clusters(const View& view, xds::ResourceMap* resources);

}  // namespace mizzen::control
