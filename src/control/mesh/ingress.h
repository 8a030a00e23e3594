// Kubernetes Ingress objects of class `istio`, as the Gateways and VirtualServices that they stand
// for. Internal to control.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "control/mesh/snapshot.h"
#include "object/json.h"

namespace mizzen::control {

inline constexpr std::string_view kIngressController = "istio.io/ingress-controller";

// Whether this mesh serves it: spec.ingressClassName, or the older annotation, names one of
// `classes`.
bool serves_ingress(const object::Json& ingress, const std::set<std::string>& classes);

struct IngressRules {
  GatewayRule gateway;
  std::vector<VirtualServiceRule> routes;
  bool names_ports = false;  // by name: the numbers may change with the services
};

// `port_number` finds the number of a service's named port (full host name, port name); 0 when it
// is not known (yet).
using PortNumber = std::function<std::uint16_t(const std::string& host, const std::string& port)>;
IngressRules read_ingress(const object::Json& ingress, const MeshConfig& mesh,
                          const PortNumber& port_number);

}  // namespace mizzen::control
