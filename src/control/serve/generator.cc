#include "control/serve/generator.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "api/names.h"
#include "base/clock.h"
#include "control/serve/scope.h"
#include "control/translate/locality.h"

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
          a.resolution == b.resolution && a.auto_address == b.auto_address && a.sans == b.sans &&
          a.external == b.external && same_ports(a.ports, b.ports));
}

// Its clusters name the accounts of its endpoints, and entries resolved by DNS the endpoints.
bool same_cluster(const Service& a, const Service& b) {
  return same_service(a, b) && a.accounts == b.accounts && !a.is_dns();
}

bool same_instances(const Snapshot& before, const Snapshot& now, const std::string& address) {
  const auto* a = before.instances_at(address);
  const auto* b = now.instances_at(address);
  if (a == nullptr || b == nullptr) return a == b;
  return std::ranges::equal(*a, *b, [](const Instance& x, const Instance& y) {
    return x.target == y.target && x.port->number == y.port->number &&
           x.service->host == y.service->host && same_service(*x.service, *y.service);
  });
}

bool same_policies(const std::vector<PeerPolicy>& a, const std::vector<PeerPolicy>& b) {
  return std::ranges::equal(a, b, [](const PeerPolicy& x, const PeerPolicy& y) {
    return x.name == y.name && x.name_space == y.name_space && x.selector == y.selector &&
           x.mode == y.mode && x.ports == y.ports && x.created == y.created;
  });
}

bool same_secrets(const Snapshot& a, const Snapshot& b) {
  return std::ranges::equal(a.tls_secrets, b.tls_secrets, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.certificate == y.second.certificate &&
           x.second.key == y.second.key && x.second.ca == y.second.ca &&
           x.second.crl == y.second.crl;
  });
}

// `now`, or `before` when they say the same; resources that did not change are shared with it.
Resources settle(const Resources& before, Resources now) {
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

bool same_versions(const xds::ResourceMap& a, const xds::ResourceMap& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.second == y.second || (x.first == y.first && x.second->version == y.second->version);
  });
}

// Both sorted.
bool meet(const std::vector<std::string>& hosts, const std::set<std::string>& changed) {
  if (changed.size() > hosts.size()) {
    return std::ranges::any_of(hosts, [&](const auto& host) { return changed.contains(host); });
  }
  return std::ranges::any_of(
      changed, [&](const std::string& host) { return std::ranges::binary_search(hosts, host); });
}

}  // namespace

Difference difference(const Snapshot& before, const Snapshot& now) {
  Difference out;
  out.rules =
      before.mesh != now.mesh || !same_rules(before.virtual_services, now.virtual_services) ||
      !same_rules(before.destination_rules, now.destination_rules) ||
      !same_rules(before.gateways, now.gateways) || !same_rules(before.sidecars, now.sidecars) ||
      !same_policies(before.peer_policies, now.peer_policies) || !same_secrets(before, now) ||
      !std::ranges::equal(before.rivals, now.rivals);
  auto a = before.services.begin();
  auto b = now.services.begin();
  while (a != before.services.end() || b != now.services.end()) {
    const bool only_a =
        b == now.services.end() || (a != before.services.end() && a->first < b->first);
    const bool only_b = !only_a && (a == before.services.end() || b->first < a->first);
    if (only_a || only_b) {
      out.configured.insert(only_a ? (a++)->first : (b++)->first);
      continue;
    }
    if (a->second != b->second) {
      (same_cluster(*a->second, *b->second) ? out.endpoints : out.configured).insert(a->first);
    }
    ++a;
    ++b;
  }
  return out;
}

void Generator::take(const std::shared_ptr<const Snapshot>& snapshot) {
  if (snapshot_ == snapshot) return;
  // What nobody asked for under the last snapshot belongs to proxies that are gone.
  std::erase_if(common_, [&](const auto& entry) {
    return snapshot_ != nullptr && entry.second.snapshot != snapshot_->number;
  });
  difference_ = Difference{.rules = true};
  before_ = 0;
  if (snapshot_ != nullptr) {
    for (auto& [key, common] : common_) {
      std::erase_if(common.parts,
                    [&](const auto& part) { return part.second.snapshot != snapshot_->number; });
    }
    difference_ = difference(*snapshot_, *snapshot);
    before_ = snapshot_->number;
  }
  snapshot_ = snapshot;
  version_ = fmt::format("{}/{}", rfc3339(system_clock().wall()), snapshot->number);
  if (difference_.rules) rules_changed_ = snapshot->number;
  if (difference_.rules || !difference_.configured.empty()) config_changed_ = snapshot->number;
  if (!difference_.rules) return;
  localities_matter_ = localities_matter(*snapshot);
  labels_matter_ =
      localities_matter_ || proxy_labels_matter(*snapshot) || scope_by_labels(*snapshot);
}

Generator::Common& Generator::common(const Proxy& proxy) {
  Common& common = common_[{proxy.name_space, proxy.kind, proxy.auto_address,
                            labels_matter_ ? proxy.labels : Labels{},
                            localities_matter_ ? proxy.locality : std::string()}];
  if (common.snapshot == snapshot_->number) return common;
  if (common.snapshot != before_ || difference_.rules) {
    common.clusters.clear();
    common.endpoints.clear();
    common.directory.reset();
  }
  for (const std::string& host : difference_.configured) {
    common.clusters.erase(host);
    common.endpoints.erase(host);
    common.directory.reset();
  }
  for (const std::string& host : difference_.endpoints) common.endpoints.erase(host);
  common.snapshot = snapshot_->number;
  common.scope = scope_for(snapshot_, proxy);
  common.names = nullptr;
  return common;
}

const Resources& Generator::clusters_of(Common& common, const Proxy& proxy,
                                        const Service& service) {
  Resources& made = common.clusters[service.host];
  if (made == nullptr) made = service_clusters(*common.scope, proxy, service);
  return made;
}

const Resources& Generator::endpoints_of(Common& common, const Proxy& proxy,
                                         const Service& service) {
  Resources& made = common.endpoints[service.host];
  if (made == nullptr) made = service_endpoints(*common.scope, proxy, service);
  return made;
}

void Generator::translate_endpoints(Common& common, const Proxy& proxy, Part* part) {
  auto endpoints = std::make_shared<xds::ResourceMap>();
  for (const std::string& host : part->hosts) {
    const Service* service = common.scope->service(host);
    if (service == nullptr) continue;
    const Resources& own = endpoints_of(common, proxy, *service);
    endpoints->insert(own->begin(), own->end());
  }
  // Of what did not change, the resources are the same ones: those of other hosts are kept.
  const bool same = part->endpoints != nullptr && same_versions(*part->endpoints, *endpoints);
  if (!same) part->endpoints = std::move(endpoints);
}

void Generator::translate(Common& common, const Proxy& proxy, const Snapshot& scope, Part* part) {
  part->hosts.clear();
  auto clusters = std::make_shared<xds::ResourceMap>(*fixed_clusters(scope, proxy));
  for (const auto& [host, service] : scope.services) {
    if (!service->visible_to(proxy.name_space)) continue;
    part->hosts.push_back(host);
    const Resources& own = clusters_of(common, proxy, *service);
    clusters->insert(own->begin(), own->end());
  }
  part->clusters = settle(part->clusters, std::move(clusters));
  part->listeners = settle(part->listeners, translate_common_listeners(scope, proxy));
  if (proxy.kind == ProxyKind::kSidecar) {
    part->routes = settle(part->routes, translate_routes(scope, proxy));
    part->secrets = settle(part->secrets, translate_secrets(scope, proxy));
  }
  translate_endpoints(common, proxy, part);
}

const Part& Generator::part_for(Common& common, const Proxy& proxy, bool learns, Served* served) {
  const std::uint64_t now = snapshot_->number;
  // take() lets go of what nobody asked for under the last snapshot.
  const bool known =
      !difference_.rules && (served->part_snapshot == now || served->part_snapshot == before_);
  if (!known) served->part = nullptr;
  if (served->part == nullptr) {
    served->part = learns ? &common.parts[served->wanted] : &common.whole;
  }
  served->part_snapshot = now;
  if (served->part->snapshot != now) update(common, proxy, learns, served->wanted, served->part);
  return *served->part;
}

void Generator::update(Common& common, const Proxy& proxy, bool learns, const Wanted& wanted,
                       Part* part) {
  const bool follows = part->snapshot != 0 && part->snapshot == before_;
  part->snapshot = snapshot_->number;
  bool fresh = !follows || difference_.rules;
  std::shared_ptr<const Snapshot> scope = common.scope;
  if (learns && (fresh || !difference_.configured.empty())) {
    scope = common.directory->narrow(common.scope, wanted);
    fresh = fresh || part->outside || part->shared_ports != scope->shared_ports;
    part->shared_ports = scope->shared_ports;
    part->outside =
        !wanted.rules.empty() || std::ranges::any_of(scope->virtual_services, [](const auto& rule) {
          return rule.spec->hosts_size() > 1 || rule.spec->hosts(0).starts_with('*');
        });
  } else if (!learns) {
    fresh = fresh || !difference_.configured.empty();
  }
  if (fresh || meet(part->hosts, difference_.configured)) {
    translate(common, proxy, *scope, part);
  } else if (meet(part->hosts, difference_.endpoints)) {
    translate_endpoints(common, proxy, part);
  }
}

void Generator::resolve(Common& common, const Proxy& proxy, const std::vector<std::string>& names,
                        Served* served) {
  if (common.directory == nullptr) {
    common.directory = std::make_unique<Directory>(*common.scope, proxy);
    common.directory_number = ++last_directory_;
  }
  if (!served->asked && served->directory == common.directory_number) return;
  served->asked = false;
  served->directory = common.directory_number;
  served->wanted = Wanted();
  served->part = nullptr;
  static const auto kThere = [](const std::string& name) {
    return std::make_shared<const xds::Resource>(xds::Resource{name, "1", {}, {}});
  };
  auto found = std::make_shared<xds::ResourceMap>();
  for (const std::string& name : names) {
    const auto need = parse_need(name);
    if (!need || !common.directory->find(*need, *common.scope, &served->wanted)) continue;
    found->emplace(name, kThere(name));
  }
  served->destinations = settle(served->destinations, std::move(found));
}

// Whether listeners and clusters that are the proxy's own are as they were.
bool Generator::keeps_own(const Proxy& proxy, const Snapshot& snapshot,
                          const Served& served) const {
  if (served.world == nullptr) return false;
  if (proxy.kind == ProxyKind::kGateway) return served.snapshot->number >= config_changed_;
  return served.snapshot->number >= rules_changed_ &&
         same_instances(*served.snapshot, snapshot, proxy.address);
}

void Generator::serve(const std::shared_ptr<const Snapshot>& snapshot, const Proxy& asking,
                      bool with_secrets, const std::vector<std::string>& names, Served* served) {
  take(snapshot);
  Common& shared = common(asking);
  const Snapshot& scope = *shared.scope;
  // Copied where it is another than it says alone: this runs for every proxy at every change.
  const bool learns = learns_scope(scope, asking);
  std::optional<Proxy> told;
  if (learns != asking.on_demand) told.emplace(asking).on_demand = learns;
  const Proxy& proxy = told ? *told : asking;
  if (learns) resolve(shared, proxy, names, served);
  const Part& part = part_for(shared, proxy, learns, served);
  const bool keep = keeps_own(proxy, *snapshot, *served);
  served->snapshot = snapshot;

  static const Resources kNever;
  const auto old = [&](std::string_view url) -> const Resources& {
    if (served->world == nullptr) return kNever;
    const auto found = served->world->types.find(url);
    return found == served->world->types.end() ? kNever : found->second;
  };
  const bool untouched = keep && learns && served->listeners == part.listeners &&
                         served->clusters == part.clusters && !proxy.dns_capture &&
                         old(api::kRouteType) == part.routes &&
                         old(api::kDestinationType) == served->destinations &&
                         (!with_secrets || old(api::kSecretType) == part.secrets);
  if (untouched) {
    if (old(api::kEndpointType) == part.endpoints) return;
    auto world = std::make_shared<xds::World>(*served->world);
    world->types[api::kEndpointType] = part.endpoints;
    world->version = version_;
    served->world = std::move(world);
    return;
  }
  auto world = std::make_shared<xds::World>();
  bool same = served->world != nullptr;
  const auto set = [&](std::string_view url, Resources resources) {
    const Resources before = old(url);
    Resources now = settle(before, std::move(resources));
    same = same && now == before;
    world->types[url] = std::move(now);
  };
  // What is shared, with what is the proxy's own.
  const auto set_with = [&](std::string_view url, const Resources& common, Resources* basis,
                            auto add_own) {
    if (keep && *basis == common) return set(url, old(url));
    auto all = std::make_shared<xds::ResourceMap>(*common);
    add_own(scope, proxy, all.get());
    *basis = common;
    set(url, std::move(all));
  };
  set_with(api::kClusterType, part.clusters, &served->clusters, add_own_clusters);
  set(api::kEndpointType, part.endpoints);
  set_with(api::kListenerType, part.listeners, &served->listeners, add_own_listeners);
  if (part.routes != nullptr) {
    set(api::kRouteType, part.routes);
  } else {
    set(api::kRouteType, keep ? old(api::kRouteType) : translate_routes(scope, proxy));
  }
  if (proxy.dns_capture) {
    if (shared.names == nullptr) shared.names = translate_names(scope, proxy);
    set(api::kNameTableType, shared.names);
  }
  static const auto kNone = std::make_shared<const xds::ResourceMap>();
  set(api::kSecretType, !with_secrets  ? kNone
                        : part.secrets ? part.secrets
                                       : translate_secrets(scope, proxy));
  set(api::kDestinationType, learns ? served->destinations : kNone);
  if (same) return;
  world->version = version_;
  served->world = std::move(world);
}

}  // namespace mizzen::control
