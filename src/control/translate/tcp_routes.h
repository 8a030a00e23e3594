// tcp and tls routes of VirtualServices. Internal to control.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "control/translate/outbound_plan.h"
#include "control/translate/policy.h"
#include "control/translate/xds_parts.h"

namespace mizzen::control {

// Where a connection goes: clusters with weights; one alone has weight 0. The traffic policy of the
// first says how long the connection may live and idle.
struct TcpTarget {
  std::vector<std::pair<std::string, std::uint32_t>> clusters;
  Policy policy;
};

struct TcpRoute {
  std::vector<std::string> sni_hosts;  // of tls routes; empty: any
  std::vector<std::string> subnets;    // of the destination; empty: any
  std::vector<std::string> sources;    // subnets of the client; empty: any
  TcpTarget target;
};

// Routes of `rule` for connections to `port`, met through `gateway` ("mesh" or "namespace/name").
std::vector<TcpRoute> tls_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway);
// In their order, none after one that takes every connection.
std::vector<TcpRoute> tcp_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway);

// The service itself, where no route speaks of it.
TcpTarget service_target(const View& view, const Service& service, std::uint16_t port);
// Where the bytes of a port go whose protocol is found out: the first tcp route that takes every
// connection, else the service.
TcpTarget any_tcp_target(const View& view, const OutboundListener& outbound);

// A chain that carries bytes to `target`.
void add_target(const MeshConfig& mesh, const TcpTarget& target,
                envoy::config::listener::v3::FilterChain* chain);
// Makes the chain match what the route names.
void match_route(const TcpRoute& route, envoy::config::listener::v3::FilterChain* chain);

}  // namespace mizzen::control
