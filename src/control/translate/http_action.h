// What a VirtualService's HTTP route does with a request. Internal to control.
#pragma once

#include <string>

#include "control/mesh/schema_types.h"
#include "control/translate/http_route.h"

namespace envoy::config::route::v3 {
class RouteAction;
}

namespace mizzen::control {

// Fills action, headers, faults and CORS of `route`, whose match is there. `path` names the span.
void fill_action(const RouteContext& context, const HttpRouteSpec& http, const std::string& path,
                 envoy::config::route::v3::Route* route);

// Retries as `said`, else as the mesh says of every route, else as Istio does. `hashed`: by a
// consistent hash, which tries the same host again.
void fill_retries(const MeshConfig& mesh, const RetrySpec* said, bool hashed,
                  envoy::config::route::v3::RouteAction* action);

// The cluster of a destination as a VirtualService of `name_space` writes it: the port it names,
// else the service's only one, else the listener's.
std::string destination_cluster(const View& view, std::string_view name_space,
                                const DestinationSpec& destination, std::uint16_t listener_port);

}  // namespace mizzen::control
