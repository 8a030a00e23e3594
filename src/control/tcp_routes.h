// tcp and tls routes of VirtualServices. Internal to control.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "control/schema_types.h"
#include "control/xds_parts.h"

namespace mizzen::control {

// Where a connection goes: clusters with weights; one alone has weight 0.
using Destinations = std::vector<std::pair<std::string, std::uint32_t>>;

struct TlsRoute {
  std::vector<std::string> sni_hosts;
  Destinations destinations;
};

// Routes of `rule` for connections to `port`, met through `gateway` ("mesh" or "namespace/name").
std::vector<TlsRoute> tls_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway);
// The first that fits; empty when none does.
Destinations tcp_route(const View& view, const VirtualServiceRule& rule, std::uint16_t port,
                       std::string_view gateway);

// A chain that carries bytes to `destinations`.
void add_weighted_tcp_proxy(const MeshConfig& mesh, const Destinations& destinations,
                            envoy::config::listener::v3::FilterChain* chain);

}  // namespace mizzen::control
