#include "control/mesh/snapshot.h"

#include <algorithm>

namespace mizzen::control {
namespace {

// Which of the three scopes of a PeerAuthentication covers the workload.
enum class Reach : std::uint8_t { kNone, kMesh, kNamespace, kWorkload };

Reach reach_of(const PeerPolicy& policy, std::string_view name_space, const Labels& labels,
               std::string_view root_namespace) {
  if (policy.selector.empty()) {
    if (policy.name_space == name_space) return Reach::kNamespace;
    return policy.name_space == root_namespace ? Reach::kMesh : Reach::kNone;
  }
  // A selector works inside its own namespace only, in the root namespace too.
  if (policy.name_space != name_space) return Reach::kNone;
  return labels_match(policy.selector, labels) ? Reach::kWorkload : Reach::kNone;
}

}  // namespace

const Service* Snapshot::service(std::string_view host) const {
  const auto found = services.find(host);
  return found == services.end() ? nullptr : found->second.get();
}

MtlsMode Snapshot::mtls_mode(std::string_view name_space, const Labels& labels,
                             std::uint16_t port) const {
  const PeerPolicy* by_scope[4] = {};
  for (const PeerPolicy& policy : peer_policies) {
    const Reach scope = reach_of(policy, name_space, labels, mesh.root_namespace);
    if (scope == Reach::kNone) continue;
    const PeerPolicy*& held = by_scope[static_cast<std::size_t>(scope)];
    if (held == nullptr || policy.created < held->created ||
        (policy.created == held->created && policy.name < held->name)) {
      held = &policy;
    }
  }
  // In the root namespace the policy of the namespace is the mesh's own.
  if (const PeerPolicy* workload = by_scope[static_cast<std::size_t>(Reach::kWorkload)]) {
    const auto found = workload->ports.find(port);
    if (port != 0 && found != workload->ports.end() && found->second != MtlsMode::kUnset) {
      return found->second;
    }
  }
  for (const Reach scope : {Reach::kWorkload, Reach::kNamespace, Reach::kMesh}) {
    const PeerPolicy* policy = by_scope[static_cast<std::size_t>(scope)];
    if (policy != nullptr && policy->mode != MtlsMode::kUnset) return policy->mode;
  }
  return MtlsMode::kPermissive;
}

void Snapshot::index_instances() {
  auto index = std::make_shared<Instances>();
  const auto add = [&](const Service& service) {
    for (const Endpoint& endpoint : service.endpoints) {
      for (const ServicePort& port : service.ports) {
        if (port.name != endpoint.port_name) continue;
        (*index)[endpoint.address].push_back({&service, &port, endpoint.port});
      }
    }
  };
  for (const auto& [host, service] : services) add(*service);
  for (const auto& service : rivals) add(*service);
  instances = std::move(index);
}

const std::vector<Instance>* Snapshot::instances_at(const std::string& address) const {
  const auto found = instances->find(address);
  return found == instances->end() ? nullptr : &found->second;
}

bool exported_to(const std::vector<std::string>& export_to, std::string_view owner,
                 std::string_view name_space) {
  if (export_to.empty()) return true;
  return std::ranges::any_of(export_to, [&](const std::string& to) {
    return to == "*" || to == name_space || (to == "." && owner == name_space);
  });
}

}  // namespace mizzen::control
