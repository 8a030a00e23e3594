// Faults and CORS of a VirtualService's HTTP route, as configuration of Envoy's filters for that
// route. Internal to control.
#pragma once

#include "control/mesh/schema_types.h"

namespace envoy::config::route::v3 {
class Route;
}

namespace mizzen::control {

void fill_route_filters(const HttpRouteSpec& http, envoy::config::route::v3::Route* route);

}  // namespace mizzen::control
