// Streams into pods over SPDY/3.1 and WebSocket.
#pragma once

#include <memory>

#include "io/loop.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/pod_access.h"
#include "net/http_server.h"

namespace mizzen::local {

class Upgraded;

// The first of `ours` that the client offers in a header's list; "" for none.
std::string offered_protocol(const net::Exchange& exchange, std::string_view header,
                             std::initializer_list<std::string_view> ours);
// Accepts the upgrade; null when the request cannot be upgraded.
std::shared_ptr<Upgraded> accept_websocket(net::Exchange& exchange, const std::string& protocol);
std::shared_ptr<Upgraded> accept_spdy(net::Exchange& exchange, const std::string& protocol);

// exec and attach: remotecommand over WebSocket (v5.channel.k8s.io, v4.channel.k8s.io) or SPDY/3.1
// (v4.channel.k8s.io and older).
void serve_exec(io::Loop& loop, PodAccess& pods, const ContainerRef& where, const Target& target,
                std::shared_ptr<net::Exchange> exchange);

// port-forward: SPDY/3.1 (portforward.k8s.io), bare or inside a WebSocket
// (SPDY/3.1+portforward.k8s.io).
void serve_port_forward(io::Loop& loop, PodAccess& pods, const Target& target,
                        std::shared_ptr<net::Exchange> exchange);

// HTTP to a pod's port, or to a Service's: /proxy/PATH.
void serve_proxy(io::Loop& loop, Store& store, PodAccess& pods, const Target& target,
                 std::shared_ptr<net::Exchange> exchange);

}  // namespace mizzen::local
