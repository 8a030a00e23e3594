// A TCP connection as the body of an HTTP request to the cluster (tunneling_config of Envoy's TCP
// proxy): CONNECT, or POST with the answer's body as the other direction.
#pragma once

#include <expected>
#include <memory>

#include "io/loop.h"
#include "proxy/config/filters.h"
#include "proxy/upstream.h"

namespace mizzen::proxy {

// Asks the cluster for `tunnel.target`. An answer of 2xx is the connection, told by
// on_tcp_connected(); any other is a failure to connect. Destroying the call ends the request, or
// what is left of it. Worker's thread.
std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> dial_through_http(
    io::Loop& loop, Upstream& upstream, const UpstreamAsk& ask, const TcpSettings::Tunnel& tunnel,
    TcpEvents& events);

}  // namespace mizzen::proxy
