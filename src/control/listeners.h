// Parts of the listener translation, one file each. Internal to control.
#pragma once

#include <vector>

#include "control/outbound_plan.h"
#include "control/xds_parts.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace mizzen::control {

// `virtualInbound` of a sidecar: mutual TLS and plain chains for each of the workload's ports, and
// for ports that no service names.
envoy::config::listener::v3::Listener inbound_listener(const View& view);

// The servers of every Gateway that selects the proxy.
std::vector<envoy::config::listener::v3::Listener> gateway_listeners(const View& view);

// Filter chains that VirtualServices' tcp and tls routes make for a service port, by SNI where
// they say so. Without any: one chain to the service's own cluster.
void add_tcp_chains(const View& view, const OutboundListener& outbound,
                    envoy::config::listener::v3::Listener* listener);

}  // namespace mizzen::control
