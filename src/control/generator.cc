#include "control/generator.h"

#include <fmt/core.h>

#include <algorithm>

#include "api/names.h"
#include "base/clock.h"
#include "control/locality.h"
#include "control/scope.h"

namespace mizzen::control {
namespace {

template <class Rules>
bool same_rules(const Rules& a, const Rules& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return x.spec == y.spec; });
}

bool same_ports(const std::vector<ServicePort>& a, const std::vector<ServicePort>& b) {
  return std::ranges::equal(a, b, [](const ServicePort& x, const ServicePort& y) {
    return x.number == y.number && x.name == y.name && x.protocol == y.protocol &&
           x.target == y.target;
  });
}

// All of a service but its endpoints; a headless one is its endpoints.
bool same_service(const Service& a, const Service& b) {
  return &a == &b ||
         (!a.headless && !b.headless && a.addresses == b.addresses && a.export_to == b.export_to &&
          a.external_name == b.external_name && a.created == b.created && a.entry == b.entry &&
          a.resolution == b.resolution && a.auto_address == b.auto_address &&
          same_ports(a.ports, b.ports));
}

bool same_instances(const Snapshot& before, const Snapshot& now, const std::string& address) {
  const auto* a = before.instances_at(address);
  const auto* b = now.instances_at(address);
  if (a == nullptr || b == nullptr) return a == b;
  return std::ranges::equal(*a, *b, [](const Instance& x, const Instance& y) {
    return x.target == y.target && x.port->number == y.port->number &&
           x.service->host == y.service->host;
  });
}

bool same_policies(const std::vector<PeerPolicy>& a, const std::vector<PeerPolicy>& b) {
  return std::ranges::equal(a, b, [](const PeerPolicy& x, const PeerPolicy& y) {
    return x.name == y.name && x.name_space == y.name_space && x.selector == y.selector &&
           x.mode == y.mode && x.ports == y.ports && x.created == y.created;
  });
}

}  // namespace

bool same_configuration(const Snapshot& before, const Snapshot& now, const Proxy& proxy) {
  if (&before == &now) return true;
  if (before.mesh != now.mesh || !same_rules(before.virtual_services, now.virtual_services) ||
      !same_rules(before.destination_rules, now.destination_rules) ||
      !same_rules(before.gateways, now.gateways) || !same_rules(before.sidecars, now.sidecars) ||
      !same_policies(before.peer_policies, now.peer_policies) ||
      before.services.size() != now.services.size() ||
      !same_instances(before, now, proxy.address)) {
    return false;
  }
  return std::ranges::equal(before.services, now.services,
                            [](const auto& a, const auto& b) {
                              return a.first == b.first && same_service(*a.second, *b.second);
                            }) &&
         std::ranges::equal(before.rivals, now.rivals, [](const auto& a, const auto& b) {
           return a->host == b->host && a->name_space == b->name_space && same_service(*a, *b);
         });
}

Resources Generator::settle(const Resources& before, Resources now) {
  if (before == nullptr || before == now) return now;
  auto merged = std::make_shared<xds::ResourceMap>();
  bool same = before->size() == now->size();
  for (const auto& [name, resource] : *now) {
    const auto old = before->find(name);
    const bool kept = old != before->end() && old->second->version == resource->version;
    merged->emplace_hint(merged->end(), name, kept ? old->second : resource);
    same = same && kept;
  }
  return same ? before : merged;
}

Generator::Common& Generator::common(const Proxy& proxy) {
  Common& common = common_[{proxy.name_space, proxy.kind, proxy.auto_address,
                            labels_matter_ ? proxy.labels : Labels{},
                            localities_matter_ ? proxy.locality : std::string()}];
  if (common.snapshot == snapshot_->number) return common;
  common.snapshot = snapshot_->number;
  common.scope = scope_for(snapshot_, proxy);
  const Snapshot& scope = *common.scope;
  common.listeners = settle(common.listeners, translate_common_listeners(scope, proxy));
  if (proxy.kind == ProxyKind::kSidecar) {
    common.routes = settle(common.routes, translate_routes(scope, proxy));
  }
  common.clusters = settle(common.clusters, translate_common_clusters(scope, proxy));
  common.endpoints = settle(common.endpoints, translate_endpoints(scope, proxy));
  common.names = nullptr;
  return common;
}

std::shared_ptr<const xds::World> Generator::world(
    const std::shared_ptr<const Snapshot>& snapshot, const Proxy& proxy, bool with_secrets,
    const std::shared_ptr<const Snapshot>& before_snapshot,
    const std::shared_ptr<const xds::World>& before) {
  if (snapshot_ != snapshot) {
    // What nobody asked for under the last snapshot belongs to namespaces without proxies.
    std::erase_if(common_, [&](const auto& entry) {
      return snapshot_ != nullptr && entry.second.snapshot != snapshot_->number;
    });
    snapshot_ = snapshot;
    localities_matter_ = localities_matter(*snapshot);
    labels_matter_ =
        localities_matter_ || proxy_labels_matter(*snapshot) || scope_by_labels(*snapshot);
  }
  Common& shared = common(proxy);
  const Snapshot& scope = *shared.scope;
  const auto old = [&](std::string_view url) -> Resources {
    if (before == nullptr) return nullptr;
    const auto found = before->types.find(url);
    return found == before->types.end() ? nullptr : found->second;
  };
  auto world = std::make_shared<xds::World>();
  world->version = fmt::format("{}/{}", rfc3339(system_clock().wall()), snapshot->number);
  const auto set = [&](std::string_view url, Resources resources) {
    world->types[std::string(url)] = settle(old(url), std::move(resources));
  };
  // Nothing of the proxy's own changes with other workloads' endpoints.
  const bool keep = before != nullptr && before_snapshot != nullptr &&
                    same_configuration(*before_snapshot, *snapshot, proxy);
  auto clusters = std::make_shared<xds::ResourceMap>(*shared.clusters);
  add_own_clusters(scope, proxy, clusters.get());
  set(api::kClusterType, std::move(clusters));
  set(api::kEndpointType, shared.endpoints);
  if (keep) {
    set(api::kListenerType, old(api::kListenerType));
    set(api::kRouteType, old(api::kRouteType));
  } else {
    auto listeners = std::make_shared<xds::ResourceMap>(*shared.listeners);
    add_own_listeners(scope, proxy, listeners.get());
    set(api::kListenerType, std::move(listeners));
    set(api::kRouteType, shared.routes ? shared.routes : translate_routes(scope, proxy));
  }
  if (proxy.dns_capture) {
    if (shared.names == nullptr) shared.names = translate_names(scope, proxy);
    set(api::kNameTableType, shared.names);
  }
  set(api::kSecretType,
      with_secrets ? translate_secrets(scope, proxy) : std::make_shared<const xds::ResourceMap>());
  return world;
}

}  // namespace mizzen::control
