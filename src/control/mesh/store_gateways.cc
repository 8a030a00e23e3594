// What the store keeps for gateways beside their own kind: Ingress objects, and who is in whose
// way.
#include <algorithm>

#include "control/mesh/ingest.h"
#include "control/mesh/store.h"
#include "control/translate/translate.h"
#include "istio/networking.pb.h"

namespace mizzen::control {

using object::Json;

Change Store::apply_ingress(const Json& object) {
  ingresses_[read_key(object)] = {object, {}, true};
  dirty_ = true;
  return Change::kConfig;
}

Change Store::apply_ingress_class(const Json& object, bool removed) {
  const std::string name = object::string_at(object, {"metadata", "name"});
  const bool ours =
      !removed && object::string_at(object, {"spec", "controller"}) == kIngressController;
  const bool known = ingress_classes_.contains(name);
  if (name == "istio" || ours == known) return Change::kNone;
  if (ours) {
    ingress_classes_.insert(name);
  } else {
    ingress_classes_.erase(name);
  }
  dirty_ = true;
  return Change::kConfig;
}

void Store::add_ingresses(Snapshot* next) {
  const PortNumber port_number = [next](const std::string& host, const std::string& name) {
    const Service* service = next->service(host);
    if (service == nullptr) return std::uint16_t{0};
    const auto port = std::ranges::find(service->ports, name, &ServicePort::name);
    return port == service->ports.end() ? std::uint16_t{0} : port->number;
  };
  for (auto& [key, ingress] : ingresses_) {
    if (!serves_ingress(ingress.object, ingress_classes_)) continue;
    if (ingress.stale || ingress.rules.names_ports) {
      ingress.rules = read_ingress(ingress.object, mesh_, port_number);
      ingress.stale = false;
    }
    next->gateways.push_back(ingress.rules.gateway);
    next->virtual_services.insert(next->virtual_services.end(), ingress.rules.routes.begin(),
                                  ingress.rules.routes.end());
  }
}

bool Store::serves(const Json& ingress) const { return serves_ingress(ingress, ingress_classes_); }

std::map<std::string, std::string> Store::gateway_conflicts() {
  const auto now = snapshot();
  std::set<std::pair<std::string, Labels>> seen;  // replicas are alike
  std::map<std::string, std::string> out;
  for (const auto& [key, pod] : pods_) {
    Proxy proxy;
    proxy.kind = ProxyKind::kGateway;
    proxy.name_space = pod->name_space;
    proxy.address = pod->address;
    proxy.labels = pod->labels;
    proxy.labels.erase("pod-template-hash");
    const bool selected = std::ranges::any_of(now->gateways, [&](const GatewayRule& gateway) {
      const auto& selector = gateway.spec->selector();
      return !selector.empty() && std::ranges::all_of(selector, [&](const auto& label) {
        const auto found = proxy.labels.find(label.first);
        return found != proxy.labels.end() && found->second == label.second;
      });
    });
    if (!selected || !seen.emplace(proxy.name_space, proxy.labels).second) continue;
    for (auto& [name, text] : control::gateway_conflicts(*now, proxy)) {
      out.try_emplace(name, std::move(text));
    }
  }
  return out;
}

}  // namespace mizzen::control
