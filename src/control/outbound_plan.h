// Which listeners a sidecar opens towards the mesh, and which routes they need. Internal to
// control.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/snapshot.h"

namespace mizzen::control {

enum class OutboundKind : std::uint8_t {
  kHttpPort,       // one listener for every HTTP service of the port; route "<port>"
  kDetectService,  // one per service address: HTTP by route "<host>:<port>", else its cluster
  kTcpService,     // one per service address: bytes to its cluster
};

struct OutboundListener {
  OutboundKind kind = OutboundKind::kHttpPort;
  std::string address;  // "0.0.0.0" for kHttpPort
  std::uint16_t port = 0;
  const Service* service = nullptr;  // null for kHttpPort
  const ServicePort* service_port = nullptr;
};

// By listener name: "0.0.0.0_9080", "10.96.0.1_443".
using OutboundPlan = std::map<std::string, OutboundListener>;

OutboundPlan plan_outbound(const Snapshot& snapshot, const Proxy& proxy);

// "reviews.default.svc.cluster.local:9080"
std::string host_and_port(std::string_view host, std::uint16_t port);

}  // namespace mizzen::control
