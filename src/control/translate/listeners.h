// Parts of the listener translation, one file each. Internal to control.
#pragma once

#include <vector>

#include "control/translate/outbound_plan.h"
#include "control/translate/xds_parts.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace mizzen::control {

// `virtualInbound` of a sidecar: mutual TLS and plain chains for each of the workload's ports, and
// for ports that no service names; then those that its Sidecar binds.
std::vector<envoy::config::listener::v3::Listener> inbound_listeners(const View& view);

// The servers of every Gateway that selects the proxy.
std::vector<envoy::config::listener::v3::Listener> gateway_listeners(const View& view);

// Filter chains that VirtualServices' tcp and tls routes make for the services of a listener, by
// destination range and SNI where they say so; what they leave goes to the services themselves. Of
// several services the first that nothing tells apart takes the rest, by the default chain.
void add_tcp_chains(const View& view, const OutboundListener& outbound,
                    envoy::config::listener::v3::Listener* listener);

}  // namespace mizzen::control
