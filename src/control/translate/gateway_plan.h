// Which servers a gateway proxy runs, from the Gateways that select it. Internal to control.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/mesh/schema_types.h"
#include "control/mesh/snapshot.h"

namespace mizzen::control {

struct GatewayServer {
  const GatewayRule* gateway = nullptr;
  const ServerSpec* server = nullptr;
  std::uint16_t port = 0;  // as the Gateway has it
  Protocol protocol = Protocol::kHttp;
  std::string route_name;         // empty: not HTTP
  std::string full_name() const;  // "namespace/name" of the Gateway
  bool terminates_tls() const;
};

// Where a gateway listens: the port of its pod, and an address when the server has `bind`.
struct GatewayPort {
  std::uint16_t number = 0;
  std::string bind;
  auto operator<=>(const GatewayPort&) const = default;
};

// Oldest Gateway first. A port's servers are all of HTTP, or all of TLS and HTTPS under different
// host names, or one of TCP: what does not fit the first is left out, and is a conflict.
using GatewayPlan = std::map<GatewayPort, std::vector<GatewayServer>>;

struct GatewayConflict {
  const GatewayRule* gateway = nullptr;
  std::string message;  // names the server, what it collides with, and the way out
};

// `conflicts` may be null.
GatewayPlan plan_gateway(const Snapshot& snapshot, const Proxy& proxy,
                         std::vector<GatewayConflict>* conflicts = nullptr);

// What of `host` (of a VirtualService in `name_space`) the server lets in: the host itself, or
// those of the server's that it covers. Server hosts may read "namespace/host" with "." and "*".
std::vector<std::string> admitted_hosts(const GatewayServer& server, std::string_view host,
                                        std::string_view name_space);

// A server's host without the namespace before it.
std::string_view bare_host(std::string_view server_host);

}  // namespace mizzen::control
