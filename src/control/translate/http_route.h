// One HTTP route of a VirtualService becomes Envoy routes. Internal to control.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "control/translate/xds_parts.h"

namespace envoy::config::route::v3 {
class HeaderMatcher;
class RetryPolicy;
class Route;
class RouteMatch;
class VirtualHost;
}  // namespace envoy::config::route::v3

namespace mizzen::control {

struct RouteContext {
  const View& view;
  const VirtualServiceRule& rule;
  std::uint16_t port = 0;    // of the listener, or of the gateway's server
  std::string_view gateway;  // "mesh", or "namespace/name"
  bool tls = false;          // the server of the gateway has TLS
};

// Appends what the VirtualService says for this proxy, port and gateway, in its order; nothing
// after a route that takes every request. False when it says nothing for them.
bool add_routes(const RouteContext& context, envoy::config::route::v3::VirtualHost* host);

// Routes that take every request go behind all others: several VirtualServices may share a host of
// a gateway, and none of them hides another.
void put_catch_all_last(envoy::config::route::v3::VirtualHost* host);

// The default for a service that no VirtualService speaks of.
void add_default_route(const View& view, const Service& service, std::uint16_t port,
                       envoy::config::route::v3::VirtualHost* host);

// Whether the rule is bound to `gateway` ("mesh" or "namespace/name").
bool bound_to(const VirtualServiceRule& rule, std::string_view gateway);

// Whether exportTo of the rule lets the proxy see it.
bool reaches(const VirtualServiceRule& rule, const Proxy& proxy);

// What retries look like when nothing is configured. `previous_hosts` false under consistent hash.
void default_retries(bool previous_hosts, envoy::config::route::v3::RetryPolicy* policy);

}  // namespace mizzen::control
