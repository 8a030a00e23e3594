#include "control/outbound_plan.h"

#include <fmt/core.h>

#include "api/names.h"

namespace mizzen::control {
namespace {

bool is_capture_port(std::uint16_t port) {
  return port == api::kOutboundCapturePort || port == api::kInboundCapturePort;
}

// The addresses at which a service is called; a headless one is called at its endpoints.
std::vector<std::string> listen_addresses(const Service& service, const ServicePort& port) {
  if (!service.headless) return service.addresses;
  std::vector<std::string> addresses;
  for (const Endpoint& endpoint : service.endpoints) {
    if (endpoint.port_name == port.name && endpoint.ready) addresses.push_back(endpoint.address);
  }
  return addresses;
}

void plan_port(const Service& service, const ServicePort& port, OutboundPlan* plan) {
  if (port.protocol == Protocol::kUdp || is_capture_port(port.number)) return;
  const bool detect = port.protocol == Protocol::kDetect;
  if (is_http(port.protocol) || (detect && service.headless)) {
    plan->try_emplace(
        fmt::format("0.0.0.0_{}", port.number),
        OutboundListener{OutboundKind::kHttpPort, "0.0.0.0", port.number, nullptr, nullptr});
    return;
  }
  for (const std::string& address : listen_addresses(service, port)) {
    plan->try_emplace(
        fmt::format("{}_{}", address, port.number),
        OutboundListener{detect ? OutboundKind::kDetectService : OutboundKind::kTcpService, address,
                         port.number, &service, &port});
  }
}

}  // namespace

std::string host_and_port(std::string_view host, std::uint16_t port) {
  return fmt::format("{}:{}", host, port);
}

OutboundPlan plan_outbound(const Snapshot& snapshot, const Proxy& proxy) {
  OutboundPlan plan;
  for (const auto& [host, service] : snapshot.services) {
    if (!service->visible_to(proxy.name_space) || !service->external_name.empty()) continue;
    for (const ServicePort& port : service->ports) plan_port(*service, port, &plan);
  }
  return plan;
}

}  // namespace mizzen::control
