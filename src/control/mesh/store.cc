#include "control/mesh/store.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "api/names.h"
#include "base/strings.h"
#include "config/kinds.h"
#include "config/validate.h"
#include "control/mesh/delegates.h"
#include "control/mesh/ingest.h"
#include "control/translate/policy.h"
#include "control/translate/xds_parts.h"
#include "istio/networking.pb.h"
#include "istio/security.pb.h"
#include "object/walker.h"

namespace mizzen::control {

using object::Json;

namespace {

// Oldest first, then by namespace and name: the order in which rules win.
template <class Spec>
std::vector<Rule<Spec>> in_order(const std::map<std::string, Rule<Spec>>& rules) {
  std::vector<Rule<Spec>> out;
  out.reserve(rules.size());
  for (const auto& [key, rule] : rules) out.push_back(rule);
  std::ranges::stable_sort(out, {}, &Rule<Spec>::created);
  return out;
}

MtlsMode mode_of(schema::PeerAuthentication::MutualTLS::Mode mode) {
  switch (mode) {
    case schema::PeerAuthentication::MutualTLS::DISABLE:
      return MtlsMode::kDisable;
    case schema::PeerAuthentication::MutualTLS::PERMISSIVE:
      return MtlsMode::kPermissive;
    case schema::PeerAuthentication::MutualTLS::STRICT:
      return MtlsMode::kStrict;
    default:
      return MtlsMode::kUnset;
  }
}

// Rules that do not say who sees them are seen by whom the mesh says.
template <class Spec>
std::vector<Rule<Spec>> exported_by_default(std::vector<Rule<Spec>> rules,
                                            const std::vector<std::string>& export_to) {
  if (export_to.empty()) return rules;
  for (Rule<Spec>& rule : rules) {
    if (!rule.spec->export_to().empty()) continue;
    auto spec = std::make_shared<Spec>(*rule.spec);
    for (const std::string& name : export_to) spec->add_export_to(name);
    rule.spec = std::move(spec);
  }
  return rules;
}

std::string secret_data(const Json& object, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    const std::string text = object::string_at(object, {"data", key});
    if (text.empty()) continue;
    if (auto bytes = base64_decode(text)) return std::move(*bytes);
  }
  return {};
}

}  // namespace

Store::Store(MeshConfig mesh) : default_mesh_(mesh), mesh_(std::move(mesh)) {}

void Store::note(const Json& object, const std::vector<object::FieldError>& errors) {
  for (const object::FieldError& error : errors) {
    errors_.push_back(fmt::format("{} {}: {}", object::string_at(object, {"kind"}),
                                  read_key(object), object::to_string(error)));
  }
}

std::vector<std::string> Store::take_errors() { return std::exchange(errors_, {}); }

template <class Spec>
Change Store::apply_rule(const Json& object, Rules<Spec>* rules) {
  auto spec = std::make_shared<Spec>();
  Json current = object;
  if (const auto kind = config::kind_for(object)) config::modernise(**kind, current);
  const Json* json = object::find(current, {"spec"});
  if (json != nullptr) note(object, object::decode(*json, spec.get(), {.root = "spec"}));
  Rule<Spec> rule;
  rule.name = object::string_at(object, {"metadata", "name"});
  rule.name_space = object::string_at(object, {"metadata", "namespace"});
  rule.created = read_created(object);
  const std::string key = read_key(object);
  const auto known = rules->find(key);
  // A new status, label or annotation says nothing to proxies.
  if (known != rules->end() && known->second.created == rule.created &&
      deterministic_bytes(*known->second.spec) == deterministic_bytes(*spec)) {
    return Change::kNone;
  }
  rule.spec = std::move(spec);
  (*rules)[key] = std::move(rule);
  dirty_ = true;
  return Change::kConfig;
}

Change Store::apply_peer_policy(const Json& object) {
  schema::PeerAuthentication spec;
  if (const Json* json = object::find(object, {"spec"})) {
    note(object, object::decode(*json, &spec, {.root = "spec"}));
  }
  PeerPolicy policy;
  policy.name = object::string_at(object, {"metadata", "name"});
  policy.name_space = object::string_at(object, {"metadata", "namespace"});
  policy.created = read_created(object);
  for (const auto& [key, value] : spec.selector().match_labels()) policy.selector[key] = value;
  policy.mode = mode_of(spec.mtls().mode());
  for (const auto& [port, mtls] : spec.port_level_mtls()) {
    policy.ports[static_cast<std::uint16_t>(port)] = mode_of(mtls.mode());
  }
  peer_policies_[read_key(object)] = std::move(policy);
  dirty_ = true;
  return Change::kConfig;
}

bool Store::select_by_entries(std::string_view name_space) {
  const bool any = std::ranges::any_of(service_entries_, [&](const auto& entry) {
    return entry.second.name_space == name_space && entry.second.spec->has_workload_selector();
  });
  dirty_entries_ = dirty_entries_ || any;
  return any;
}

// Services and entries of the namespace may select it.
Change Store::select_again(Change change, const std::string& key) {
  if (change == Change::kNone) return change;
  const std::string name_space = key.substr(0, key.find('/'));
  bool used = select_by_entries(name_space);
  for (const auto& [service_key, service] : services_) {
    if (service.name_space != name_space || service.selector.empty()) continue;
    dirty_services_.insert(service_key);
    used = true;
  }
  return used ? Change::kEndpoints : Change::kNone;
}

Change Store::apply_service(const Json& object) {
  const std::string key = read_key(object);
  services_[key] = read_service(object, mesh_);
  dirty_services_.insert(key);
  dirty_ = true;
  return Change::kConfig;
}

Change Store::apply_slice(const Json& object) {
  const std::string service =
      object::string_at(object, {"metadata", "labels", "kubernetes.io/service-name"});
  if (service.empty()) return Change::kNone;
  const std::string key = object::string_at(object, {"metadata", "namespace"}) + "/" + service;
  std::vector<std::pair<std::string, std::uint16_t>> ports;
  if (const Json* list = object::find(object, {"ports"}); list && list->is_array()) {
    for (const Json& port : *list) {
      ports.emplace_back(object::string_at(port, {"name"}),
                         static_cast<std::uint16_t>(object::int_at(port, {"port"})));
    }
  }
  std::vector<SliceEndpoint> endpoints;
  if (const Json* list = object::find(object, {"endpoints"}); list && list->is_array()) {
    for (const Json& endpoint : *list) {
      const Json* addresses = object::find(endpoint, {"addresses"});
      if (addresses == nullptr || !addresses->is_array()) continue;
      for (const Json& address : *addresses) {
        if (!address.is_string()) continue;
        endpoints.push_back({address.get<std::string>(),
                             object::string_at(endpoint, {"targetRef", "name"}),
                             object::bool_at(endpoint, {"conditions", "ready"}, true), ports});
      }
    }
  }
  slices_[key][object::string_at(object, {"metadata", "name"})] = std::move(endpoints);
  dirty_services_.insert(key);
  dirty_ = true;
  return Change::kEndpoints;
}

std::string Store::locality_of(const std::string& node, const Labels& labels) const {
  if (const auto own = labels.find("istio-locality"); own != labels.end()) {
    std::string text = own->second;  // a label cannot hold slashes
    std::ranges::replace(text, '.', '/');
    return text;
  }
  const auto found = node_localities_.find(node);
  return found == node_localities_.end() ? std::string() : found->second;
}

void Store::forget_pod(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  const auto by_address = pod_by_address_.find(found->second->address);
  if (by_address != pod_by_address_.end() && by_address->second == key) {
    pod_by_address_.erase(by_address);
  }
  pods_.erase(found);
}

Change Store::apply_pod(const Json& object) {
  const std::string key = read_key(object);
  auto pod = std::make_shared<Workload>(read_pod(object));
  pod->locality = locality_of(pod->node, pod->labels);
  const auto known = pods_.find(key);
  if (known != pods_.end()) {
    const Workload& old = *known->second;
    if (old.address == pod->address && old.labels == pod->labels && old.locality == pod->locality &&
        old.service_account == pod->service_account && old.over == pod->over) {
      if (old.ready == pod->ready) return Change::kNone;
      // Slices tell of readiness; entries that select pods look here.
      known->second = pod;
      dirty_ = true;
      return select_by_entries(pod->name_space) ? Change::kEndpoints : Change::kNone;
    }
  }
  forget_pod(key);
  // A pod that has ended gives its address back.
  if (!pod->address.empty() && !pod->host_network && !pod->over) {
    pod_by_address_[pod->address] = key;
  }
  const std::string name_space = pod->name_space + "/";
  const std::string address = pod->address;
  const std::string name = pod->name;
  pods_[key] = std::move(pod);
  bool used = false;
  for (const auto& [service, slices] : slices_) {
    if (!service.starts_with(name_space)) continue;
    for (const auto& [slice, endpoints] : slices) {
      const bool here = std::ranges::any_of(endpoints, [&](const SliceEndpoint& endpoint) {
        return endpoint.pod == name || endpoint.address == address;
      });
      if (here) used = dirty_services_.insert(service).second || used;
    }
  }
  dirty_ = true;
  return select_by_entries(name_space.substr(0, name_space.size() - 1)) || used ? Change::kEndpoints
                                                                                : Change::kNone;
}

Change Store::apply_node(const Json& object) {
  const std::string name = object::string_at(object, {"metadata", "name"});
  const std::string locality =
      read_locality(read_labels(object::find(object, {"metadata", "labels"})));
  std::string& held = node_localities_[name];
  if (held == locality) return Change::kNone;
  held = locality;
  for (auto& [key, pod] : pods_) {
    if (pod->node != name) continue;
    auto changed = std::make_shared<Workload>(*pod);
    changed->locality = locality_of(name, changed->labels);
    pod = std::move(changed);
  }
  for (const auto& [key, service] : services_) dirty_services_.insert(key);
  dirty_ = true;
  return Change::kConfig;
}

Change Store::apply_secret(const Json& object) {
  TlsSecret secret{
      secret_data(object, {"tls.crt", "cert"}), secret_data(object, {"tls.key", "key"}),
      secret_data(object, {"ca.crt", "cacert"}), secret_data(object, {"ca.crl", "crl"})};
  const std::string key = read_key(object);
  if (secret.certificate.empty() && secret.ca.empty()) {
    if (tls_secrets_.erase(key) == 0) return Change::kNone;
  } else {
    tls_secrets_[key] = std::move(secret);
  }
  dirty_ = true;
  return Change::kConfig;
}

Change Store::apply_mesh(const Json& object) {
  if (read_key(object) != mesh_.root_namespace + "/" + std::string(api::kMeshConfigMap)) {
    return Change::kNone;
  }
  std::vector<std::string> problems;
  set_mesh(
      parse_mesh_config(object::string_at(object, {"data", "mesh"}), default_mesh_, &problems));
  for (const std::string& problem : problems) {
    errors_.push_back(fmt::format("ConfigMap {}: mesh: {}", read_key(object), problem));
  }
  return Change::kConfig;
}

void Store::set_mesh(MeshConfig mesh) {
  mesh_ = std::move(mesh);
  for (const auto& [key, service] : services_) dirty_services_.insert(key);
  dirty_entries_ = true;
  dirty_ = true;
}

bool Store::discovers(std::string_view name_space) const {
  if (mesh_.discovery_selectors.empty() || name_space == mesh_.root_namespace) return true;
  const auto found = namespaces_.find(std::string(name_space));
  const Labels none;
  const Labels& labels = found == namespaces_.end() ? none : found->second;
  return std::ranges::any_of(mesh_.discovery_selectors, [&](const NamespaceSelector& selector) {
    return selector.matches(labels);
  });
}

Change Store::apply_namespace(const Json& object) {
  const std::string name = object::string_at(object, {"metadata", "name"});
  Labels labels = read_labels(object::find(object, {"metadata", "labels"}));
  const bool before = discovers(name);
  namespaces_[name] = std::move(labels);
  if (discovers(name) == before) return Change::kNone;
  set_mesh(mesh_);  // its services come or go
  return Change::kConfig;
}

Change Store::apply(const Json& object) {
  const std::string kind = object::string_at(object, {"kind"});
  if (kind == "Pod") return apply_pod(object);
  if (kind == "EndpointSlice") return apply_slice(object);
  if (kind == "Service") return apply_service(object);
  if (kind == "VirtualService") return apply_rule(object, &virtual_services_);
  if (kind == "DestinationRule") return apply_rule(object, &destination_rules_);
  if (kind == "Gateway") return apply_rule(object, &gateways_);
  if (kind == "Sidecar") return apply_rule(object, &sidecars_);
  if (kind == "ServiceEntry") {
    dirty_entries_ = true;
    return apply_rule(object, &service_entries_);
  }
  if (kind == "WorkloadEntry") {
    return select_again(apply_rule(object, &workload_entries_), read_key(object));
  }
  // What it says is asked for when a pod is injected.
  if (kind == "ProxyConfig") {
    apply_rule(object, &proxy_configs_);
    return Change::kNone;
  }
  if (kind == "PeerAuthentication") return apply_peer_policy(object);
  if (kind == "Secret") return apply_secret(object);
  if (kind == "Ingress") return apply_ingress(object);
  if (kind == "IngressClass") return apply_ingress_class(object, false);
  if (kind == "ConfigMap") return apply_mesh(object);
  if (kind == "Node") return apply_node(object);
  if (kind == "Namespace") return apply_namespace(object);
  return Change::kNone;
}

// What is told of a removed object is its name: its service is found by looking.
Change Store::remove_slice(const Json& object) {
  const std::string name_space = object::string_at(object, {"metadata", "namespace"}) + "/";
  const std::string name = object::string_at(object, {"metadata", "name"});
  for (auto found = slices_.begin(); found != slices_.end(); ++found) {
    if (!found->first.starts_with(name_space) || found->second.erase(name) == 0) continue;
    dirty_services_.insert(found->first);
    if (found->second.empty()) slices_.erase(found);
    dirty_ = true;
    return Change::kEndpoints;
  }
  return Change::kNone;
}

Change Store::remove(const Json& object) {
  const std::string kind = object::string_at(object, {"kind"});
  const std::string key = read_key(object);
  const auto gone = [&](std::size_t count, Change change) {
    if (count == 0) return Change::kNone;
    dirty_ = true;
    return change;
  };
  if (kind == "Pod") {
    forget_pod(key);
    dirty_ = true;
    // Its slices change by themselves.
    return select_by_entries(object::string_at(object, {"metadata", "namespace"}))
               ? Change::kEndpoints
               : Change::kNone;
  }
  if (kind == "EndpointSlice") return remove_slice(object);
  if (kind == "Service") {
    dirty_services_.insert(key);
    return gone(services_.erase(key), Change::kConfig);
  }
  if (kind == "VirtualService") return gone(virtual_services_.erase(key), Change::kConfig);
  if (kind == "DestinationRule") return gone(destination_rules_.erase(key), Change::kConfig);
  if (kind == "Gateway") return gone(gateways_.erase(key), Change::kConfig);
  if (kind == "Sidecar") return gone(sidecars_.erase(key), Change::kConfig);
  if (kind == "ServiceEntry") {
    dirty_entries_ = true;
    return gone(service_entries_.erase(key), Change::kConfig);
  }
  if (kind == "WorkloadEntry") {
    return select_again(gone(workload_entries_.erase(key), Change::kEndpoints), key);
  }
  if (kind == "ProxyConfig") return gone(proxy_configs_.erase(key), Change::kNone);
  if (kind == "PeerAuthentication") return gone(peer_policies_.erase(key), Change::kConfig);
  if (kind == "Ingress") return gone(ingresses_.erase(key), Change::kConfig);
  if (kind == "IngressClass") return apply_ingress_class(object, true);
  if (kind == "Secret") return gone(tls_secrets_.erase(key), Change::kConfig);
  if (kind == "ConfigMap" && key == mesh_.root_namespace + "/" + std::string(api::kMeshConfigMap)) {
    set_mesh(default_mesh_);
    return Change::kConfig;
  }
  if (kind == "Namespace") namespaces_.erase(object::string_at(object, {"metadata", "name"}));
  return Change::kNone;
}

std::shared_ptr<const Service> Store::build_service(const std::string& key) const {
  const auto found = services_.find(key);
  if (found == services_.end()) return nullptr;
  auto service = std::make_shared<Service>(found->second);
  if (service->export_to.empty()) service->export_to = mesh_.service_export_to;
  static const Slices none;
  const auto slices = slices_.find(key);
  for (const auto& [name, endpoints] : slices == slices_.end() ? none : slices->second) {
    for (const SliceEndpoint& from : endpoints) {
      auto pod = pods_.find(service->name_space + "/" + from.pod);
      if (pod == pods_.end()) {
        const auto by_address = pod_by_address_.find(from.address);
        if (by_address != pod_by_address_.end()) pod = pods_.find(by_address->second);
      }
      for (const auto& [port_name, port] : from.ports) {
        service->endpoints.push_back({from.address, port, port_name, from.ready,
                                      pod == pods_.end() ? nullptr : pod->second});
      }
    }
  }
  add_selected_entries(workload_entries_, service.get());
  settle_endpoints(mesh_, service.get());
  return service;
}

void Store::fill_services(Snapshot* next) {
  next->number = snapshot_ ? snapshot_->number + 1 : 1;
  for (const std::string& key : dirty_services_) {
    const std::size_t slash = key.find('/');
    const std::string host =
        key.substr(slash + 1) + "." + key.substr(0, slash) + ".svc." + mesh_.domain;
    auto service = discovers(key.substr(0, slash)) ? build_service(key) : nullptr;
    if (service != nullptr) {
      kube_services_[host] = std::move(service);
    } else {
      kube_services_.erase(host);
    }
  }
  dirty_services_.clear();
  if (dirty_entries_) {
    entry_services_.clear();
    std::vector<ServiceEntryRule> entries = in_order(service_entries_);
    std::erase_if(entries,
                  [&](const ServiceEntryRule& rule) { return !discovers(rule.name_space); });
    for (Service& service : services_of_entries(entries, {workload_entries_, pods_}, mesh_)) {
      entry_services_.push_back(std::make_shared<const Service>(std::move(service)));
    }
    dirty_entries_ = false;
  }
  next->services = kube_services_;
  for (const auto& service : entry_services_) {
    if (!next->services.try_emplace(service->host, service).second) {
      next->rivals.push_back(service);
    }
  }
  next->index_instances();
}

void Store::fill_rules(Snapshot* next) const {
  const auto known = [&](auto rules) {
    std::erase_if(rules, [&](const auto& rule) { return !discovers(rule.name_space); });
    return rules;
  };
  next->virtual_services = expand_delegates(
      exported_by_default(known(in_order(virtual_services_)), mesh_.virtual_service_export_to),
      mesh_.domain);
  next->destination_rules = merge_rules(
      exported_by_default(known(in_order(destination_rules_)), mesh_.destination_rule_export_to),
      mesh_.domain);
  next->gateways = known(in_order(gateways_));
  next->sidecars = known(in_order(sidecars_));
  for (const auto& [key, policy] : peer_policies_) {
    if (discovers(policy.name_space)) next->peer_policies.push_back(policy);
  }
  next->tls_secrets = tls_secrets_;
}

namespace {

// Rules that are made of several objects are made anew each time: one that says what it said stays
// the same object, so that nobody translates it again.
template <class Rule>
void keep_same(const std::vector<Rule>& before, std::vector<Rule>* now) {
  std::set<const void*> known;
  for (const Rule& rule : before) known.insert(rule.spec.get());
  for (Rule& rule : *now) {
    if (known.contains(rule.spec.get())) continue;
    const auto same = std::ranges::find_if(before, [&](const Rule& old) {
      return old.name == rule.name && old.name_space == rule.name_space;
    });
    if (same == before.end()) continue;
    if (deterministic_bytes(*same->spec) == deterministic_bytes(*rule.spec)) rule.spec = same->spec;
  }
}

}  // namespace

std::shared_ptr<const Snapshot> Store::snapshot() {
  if (!dirty_ && !rules_stale_ && snapshot_) return snapshot_;
  auto next = std::make_shared<Snapshot>();
  next->mesh = mesh_;
  fill_services(next.get());
  fill_rules(next.get());
  add_ingresses(next.get());
  if (snapshot_) {
    keep_same(snapshot_->virtual_services, &next->virtual_services);
    keep_same(snapshot_->destination_rules, &next->destination_rules);
    keep_same(snapshot_->gateways, &next->gateways);
  }
  dirty_ = false;
  rules_stale_ = false;
  snapshot_ = std::move(next);
  return snapshot_;
}

std::shared_ptr<const Snapshot> Store::endpoint_snapshot() {
  if (!snapshot_) return snapshot();
  if (!dirty_) return snapshot_;
  auto next = std::make_shared<Snapshot>();
  static_cast<MeshRules&>(*next) = *snapshot_;
  fill_services(next.get());
  next->tls_secrets = snapshot_->tls_secrets;
  dirty_ = false;
  rules_stale_ = true;
  snapshot_ = std::move(next);
  return snapshot_;
}

Labels Store::namespace_labels(std::string_view name) const {
  const auto found = namespaces_.find(std::string(name));
  return found == namespaces_.end() ? Labels{} : found->second;
}

std::vector<std::string> Store::namespaces() const {
  std::vector<std::string> out;
  for (const auto& [name, labels] : namespaces_) out.push_back(name);
  return out;
}

std::shared_ptr<const Workload> Store::workload(std::string_view name_space,
                                                std::string_view pod) const {
  const auto found = pods_.find(fmt::format("{}/{}", name_space, pod));
  return found == pods_.end() ? nullptr : found->second;
}

}  // namespace mizzen::control
