// The workload's own ports, as its sidecar serves them. Internal to control.
#pragma once

#include <cstdint>
#include <map>

#include "control/snapshot.h"

namespace mizzen::control {

struct InboundPort {
  const Service* service = nullptr;  // the oldest that has the port
  const ServicePort* port = nullptr;
  MtlsMode mode = MtlsMode::kPermissive;
};

// By the port on which the workload listens.
std::map<std::uint16_t, InboundPort> inbound_ports(const Snapshot& snapshot, const Proxy& proxy);

}  // namespace mizzen::control
