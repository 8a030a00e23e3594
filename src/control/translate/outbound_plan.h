// Which listeners a sidecar opens towards the mesh, and which routes they need. Internal to
// control.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/mesh/snapshot.h"

namespace mizzen::control {

enum class OutboundKind : std::uint8_t {
  kPort,           // one listener for services of the port that no address tells apart
  kDetectService,  // one per service address: HTTP by route "<host>:<port>", else its cluster
  kTcpService,     // one per service address: bytes to its cluster
};

// A service that a listener carries as bytes.
struct OutboundTarget {
  const Service* service = nullptr;
  const ServicePort* port = nullptr;
  std::vector<std::string> ranges;  // connections to these alone; empty: to any address
};

struct OutboundListener {
  OutboundKind kind = OutboundKind::kPort;
  std::string address;  // of kPort "0.0.0.0", or where a Sidecar binds
  std::uint16_t port = 0;
  bool bind_to_port = false;
  bool http = false;                    // of kPort: HTTP by route "<port>"
  bool tls = false;                     // of kPort: server names count, of services not there too
  std::vector<OutboundTarget> targets;  // oldest first; kDetectService has one

  bool has_route() const { return kind == OutboundKind::kDetectService || http; }
};

// By listener name: "0.0.0.0_9080", "10.96.0.1_443".
using OutboundPlan = std::map<std::string, OutboundListener>;

// `snapshot` as the proxy sees it.
OutboundPlan plan_outbound(const Snapshot& snapshot, const Proxy& proxy);

// The single addresses at which the proxy's workload may call the service.
std::vector<std::string> call_addresses(const Service& service, const Proxy& proxy);

// "reviews.default.svc.cluster.local:9080"
std::string host_and_port(std::string_view host, std::uint16_t port);

}  // namespace mizzen::control
