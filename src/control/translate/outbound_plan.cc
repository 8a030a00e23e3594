#include "control/translate/outbound_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "api/names.h"

namespace mizzen::control {
namespace {

bool is_capture_port(std::uint16_t port) {
  return port == api::kOutboundCapturePort || port == api::kInboundCapturePort;
}

bool is_range(std::string_view address) { return address.find('/') != std::string_view::npos; }

class Planner {
 public:
  Planner(const Snapshot& snapshot, const Proxy& proxy) : snapshot_(snapshot), proxy_(proxy) {}
  void add(const Service& service, const ServicePort& port);
  void add(std::uint16_t port, const SharedPort& asked);
  OutboundPlan take();

 private:
  // The port's listener that services without an address of their own share.
  OutboundListener& shared(std::uint16_t port);
  OutboundListener& at(const std::string& address, std::uint16_t port, OutboundKind kind);
  EgressListener binding(std::uint16_t port) const;

  const Snapshot& snapshot_;
  const Proxy& proxy_;
  OutboundPlan plan_;
};

EgressListener Planner::binding(std::uint16_t port) const {
  auto found = snapshot_.egress.find(port);
  if (found == snapshot_.egress.end()) found = snapshot_.egress.find(0);
  return found == snapshot_.egress.end() ? EgressListener{} : found->second;
}

OutboundListener& Planner::at(const std::string& address, std::uint16_t port, OutboundKind kind) {
  const auto [found, made] = plan_.try_emplace(fmt::format("{}_{}", address, port));
  OutboundListener& listener = found->second;
  if (made) {
    listener.kind = kind;
    listener.address = address;
    listener.port = port;
  }
  return listener;
}

OutboundListener& Planner::shared(std::uint16_t port) {
  const EgressListener binding = this->binding(port);
  OutboundListener& listener =
      at(binding.bind.empty() ? "0.0.0.0" : binding.bind, port, OutboundKind::kPort);
  listener.bind_to_port = binding.bind_to_port;
  return listener;
}

void Planner::add(const Service& service, const ServicePort& port) {
  if (port.protocol == Protocol::kUdp || is_capture_port(port.number) || !port.listened) return;
  const bool detect = port.protocol == Protocol::kDetect;
  if (is_http(port.protocol) || (detect && service.headless)) {
    shared(port.number).http = true;
    return;
  }
  std::vector<std::string> addresses = call_addresses(service, proxy_);
  std::vector<std::string> ranges;
  if (service.headless) {  // called at its endpoints
    for (const Endpoint& endpoint : service.endpoints) {
      if (endpoint.port_name == port.name && endpoint.ready) addresses.push_back(endpoint.address);
    }
    if (addresses.empty()) return;
  }
  std::ranges::copy_if(service.addresses, std::back_inserter(ranges), is_range);
  const bool bound = !binding(port.number).bind.empty();
  if (bound || !ranges.empty() || addresses.empty()) {
    OutboundListener& listener = shared(port.number);
    listener.http = listener.http || detect;
    listener.targets.push_back({&service, &port, std::move(ranges)});
    if (bound) return;
  }
  for (const std::string& address : addresses) {
    OutboundListener& listener =
        at(address, port.number, detect ? OutboundKind::kDetectService : OutboundKind::kTcpService);
    const bool alone = listener.kind == OutboundKind::kDetectService || detect;
    if (alone && !listener.targets.empty()) continue;  // the first of two keeps the address
    listener.targets.push_back({&service, &port, {}});
  }
}

void Planner::add(std::uint16_t port, const SharedPort& asked) {
  OutboundListener& listener = shared(port);
  listener.http = listener.http || asked.http;
  listener.tls = asked.tls;
}

OutboundPlan Planner::take() {
  for (auto& [name, listener] : plan_) {
    std::ranges::stable_sort(listener.targets, {},
                             [](const OutboundTarget& target) { return target.service->created; });
  }
  return std::move(plan_);
}

}  // namespace

std::string host_and_port(std::string_view host, std::uint16_t port) {
  return fmt::format("{}:{}", host, port);
}

std::vector<std::string> call_addresses(const Service& service, const Proxy& proxy) {
  std::vector<std::string> addresses;
  std::ranges::remove_copy_if(service.addresses, std::back_inserter(addresses), is_range);
  if (proxy.auto_address && !service.auto_address.empty()) {
    addresses.push_back(service.auto_address);
  }
  return addresses;
}

OutboundPlan plan_outbound(const Snapshot& snapshot, const Proxy& proxy) {
  Planner planner(snapshot, proxy);
  for (const auto& [host, service] : snapshot.services) {
    if (!service->visible_to(proxy.name_space) || !service->external_name.empty()) continue;
    for (const ServicePort& port : service->ports) planner.add(*service, port);
  }
  for (const auto& [port, asked] : snapshot.shared_ports) planner.add(port, asked);
  return planner.take();
}

}  // namespace mizzen::control
