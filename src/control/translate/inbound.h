// The workload's own ports, as its sidecar serves them. Internal to control.
#pragma once

#include <cstdint>
#include <map>

#include "control/mesh/snapshot.h"

namespace mizzen::schema {
class IstioIngressListener;
class ServerTLSSettings;
}  // namespace mizzen::schema

namespace mizzen::control {

struct InboundPort {
  const Service* service = nullptr;  // the oldest that has the port; null when a Sidecar alone does
  const ServicePort* port = nullptr;
  Protocol protocol = Protocol::kDetect;
  MtlsMode mode = MtlsMode::kPermissive;
  const schema::IstioIngressListener* ingress = nullptr;  // of the proxy's Sidecar
  // A socket of its own instead of the captured connections.
  bool bound() const;
  // TLS that ends here for callers outside the mesh; null without, and where the mesh's own mutual
  // TLS is not switched off for the port.
  const schema::ServerTLSSettings* tls() const;
};

// By the port on which the workload listens; what a Sidecar says of ingress goes before services.
std::map<std::uint16_t, InboundPort> inbound_ports(const Snapshot& snapshot, const Proxy& proxy);

}  // namespace mizzen::control
