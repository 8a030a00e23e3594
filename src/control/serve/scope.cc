#include "control/serve/scope.h"

#include <algorithm>
#include <set>
#include <utility>

#include "api/names.h"
#include "control/mesh/hosts.h"
#include "control/translate/http_route.h"
#include "istio/networking.pb.h"

namespace mizzen::control {
namespace {

using EgressSpec = schema::IstioEgressListener;

bool selects(const SidecarRule& rule, const Labels& labels) {
  return std::ranges::all_of(rule.spec->workload_selector().labels(), [&](const auto& pair) {
    const auto found = labels.find(pair.first);
    return found != labels.end() && found->second == pair.second;
  });
}

// The one with a matching selector, else the namespace's, else the mesh's; the oldest of equals.
const SidecarRule* sidecar_for(const Snapshot& snapshot, const Proxy& proxy) {
  const SidecarRule* best = nullptr;
  int best_place = 3;
  for (const SidecarRule& rule : snapshot.sidecars) {
    const bool all = rule.spec->workload_selector().labels().empty();
    int place = 3;
    if (rule.name_space == proxy.name_space) {
      if (all || selects(rule, proxy.labels)) place = all ? 1 : 0;
    } else if (all && rule.name_space == snapshot.mesh.root_namespace) {
      place = 2;
    }
    if (place < best_place) {
      best = &rule;
      best_place = place;
    }
  }
  return best;
}

// One of `namespace/host` of an egress listener.
struct Import {
  std::string_view name_space;
  std::string_view host;
};

class Scope {
 public:
  Scope(const std::shared_ptr<const Snapshot>& whole, const Proxy& proxy)
      : proxy_(proxy), out_(std::make_shared<Snapshot>(*whole)) {
    out_->whole = whole;
  }

  void hide_foreign();
  void apply(const SidecarRule& sidecar);
  std::shared_ptr<const Snapshot> take() { return std::move(out_); }

 private:
  bool admits(const Import& import, std::string_view name_space) const;
  std::vector<Import> imports_of(const EgressSpec& listener) const;
  void select(const EgressSpec& listener, const std::vector<Import>& imports);
  void add(const std::shared_ptr<const Service>& service, std::uint16_t port, bool called);
  void select_rules(const std::vector<std::vector<Import>>& imports);
  void add_destinations(const VirtualServiceRule& rule);
  void add_destination(std::string_view name_space, const schema::Destination& destination);
  std::string egress_proxy(const SidecarRule& sidecar) const;

  const Proxy& proxy_;
  std::shared_ptr<Snapshot> out_;
  Services seen_;                    // what the namespace sees
  std::set<std::uint16_t> claimed_;  // ports with a listener of their own
};

// Of several services of one host, the cluster's own goes first, then the namespace's own, then the
// oldest.
void Scope::hide_foreign() {
  Services seen;
  for (const auto& [host, service] : out_->services) {
    if (service->visible_to(proxy_.name_space)) seen.emplace(host, service);
  }
  for (const auto& rival : out_->rivals) {
    if (!rival->visible_to(proxy_.name_space)) continue;
    const auto [found, only] = seen.try_emplace(rival->host, rival);
    if (only || !found->second->entry) continue;
    const bool closer =
        rival->name_space == proxy_.name_space && found->second->name_space != proxy_.name_space;
    if (closer) found->second = rival;
  }
  out_->services = std::move(seen);
  out_->rivals.clear();
}

bool Scope::admits(const Import& import, std::string_view name_space) const {
  if (import.name_space == "*") return true;
  if (import.name_space == ".") return name_space == proxy_.name_space;
  return import.name_space == name_space;  // "~" is no namespace
}

std::vector<Import> Scope::imports_of(const EgressSpec& listener) const {
  std::vector<Import> imports;
  for (const std::string& text : listener.hosts()) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) continue;
    imports.push_back(
        {std::string_view(text).substr(0, slash), std::string_view(text).substr(slash + 1)});
  }
  return imports;
}

// `port` 0 adds every port. One that is called already stays so.
void Scope::add(const std::shared_ptr<const Service>& service, std::uint16_t port, bool called) {
  const auto found = out_->services.find(service->host);
  auto made = std::make_shared<Service>(found == out_->services.end() ? *service : *found->second);
  if (found == out_->services.end()) made->ports.clear();
  for (const ServicePort& own : service->ports) {
    if (port != 0 && own.number != port) continue;
    const bool listened = called && (port != 0 || !claimed_.contains(own.number));
    const auto there = std::ranges::find(made->ports, own.number, &ServicePort::number);
    if (there != made->ports.end()) {
      there->listened = there->listened || listened;
      continue;
    }
    made->ports.push_back(own);
    made->ports.back().listened = listened;
  }
  if (!made->ports.empty()) out_->services[service->host] = std::move(made);
}

void Scope::select(const EgressSpec& listener, const std::vector<Import>& imports) {
  const auto port = static_cast<std::uint16_t>(listener.port().number());
  EgressListener& made = out_->egress[port];
  made.bind = listener.bind();
  made.bind_to_port = listener.capture_mode() == schema::NONE;
  if (made.bind_to_port && made.bind.empty()) made.bind = "127.0.0.1";
  for (const auto& [host, service] : seen_) {
    const bool wanted = std::ranges::any_of(imports, [&](const Import& import) {
      return admits(import, service->name_space) && host_covers(import.host, host);
    });
    if (wanted) add(service, port, true);
  }
}

// Services that a VirtualService leads to are reached even where no listener names them.
void Scope::add_destination(std::string_view name_space, const schema::Destination& destination) {
  const auto found = seen_.find(resolve_host(destination.host(), name_space, out_->mesh.domain));
  if (found == seen_.end()) return;
  add(found->second, static_cast<std::uint16_t>(destination.port().number()), false);
}

void Scope::add_destinations(const VirtualServiceRule& rule) {
  for (const auto& http : rule.spec->http()) {
    for (const auto& route : http.route()) add_destination(rule.name_space, route.destination());
    for (const auto& mirror : http.mirrors())
      add_destination(rule.name_space, mirror.destination());
    if (http.has_mirror()) add_destination(rule.name_space, http.mirror());
  }
  for (const auto& tcp : rule.spec->tcp()) {
    for (const auto& route : tcp.route()) add_destination(rule.name_space, route.destination());
  }
  for (const auto& tls : rule.spec->tls()) {
    for (const auto& route : tls.route()) add_destination(rule.name_space, route.destination());
  }
}

void Scope::select_rules(const std::vector<std::vector<Import>>& imports) {
  std::erase_if(out_->virtual_services, [&](const VirtualServiceRule& rule) {
    if (!bound_to(rule, "mesh")) return true;
    return !std::ranges::any_of(rule.spec->hosts(), [&](const std::string& written) {
      const std::string host = resolve_host(written, rule.name_space, out_->mesh.domain);
      return std::ranges::any_of(imports, [&](const std::vector<Import>& listener) {
        return std::ranges::any_of(listener, [&](const Import& import) {
          return admits(import, rule.name_space) && hosts_overlap(import.host, host);
        });
      });
    });
  });
  for (const VirtualServiceRule& rule : out_->virtual_services) {
    const std::vector<std::string> export_to(rule.spec->export_to().begin(),
                                             rule.spec->export_to().end());
    if (exported_to(export_to, rule.name_space, proxy_.name_space)) add_destinations(rule);
  }
}

// The cluster of the Sidecar's egressProxy, or nothing.
std::string Scope::egress_proxy(const SidecarRule& sidecar) const {
  const auto& policy = sidecar.spec->outbound_traffic_policy();
  if (!policy.has_egress_proxy()) return {};
  const auto& to = policy.egress_proxy();
  return api::outbound_cluster(static_cast<std::uint16_t>(to.port().number()), to.subset(),
                               resolve_host(to.host(), sidecar.name_space, out_->mesh.domain));
}

void Scope::apply(const SidecarRule& sidecar) {
  out_->sidecar = &sidecar;
  const schema::Sidecar& spec = *sidecar.spec;
  if (spec.has_outbound_traffic_policy()) {
    out_->mesh.registry_only =
        spec.outbound_traffic_policy().mode() == schema::OutboundTrafficPolicy::REGISTRY_ONLY;
    out_->mesh.egress_proxy = egress_proxy(sidecar);
  }
  if (spec.egress().empty()) return;
  seen_ = std::exchange(out_->services, {});
  for (const EgressSpec& listener : spec.egress()) {
    const auto port = static_cast<std::uint16_t>(listener.port().number());
    if (port != 0) claimed_.insert(port);
  }
  std::vector<std::vector<Import>> imports;
  for (const EgressSpec& listener : spec.egress()) {
    imports.push_back(imports_of(listener));
    select(listener, imports.back());
  }
  select_rules(imports);
  if (spec.outbound_traffic_policy().has_egress_proxy()) {
    add_destination(sidecar.name_space, spec.outbound_traffic_policy().egress_proxy());
  }
}

}  // namespace

std::shared_ptr<const Snapshot> scope_for(const std::shared_ptr<const Snapshot>& whole,
                                          const Proxy& proxy) {
  const SidecarRule* sidecar =
      proxy.kind == ProxyKind::kSidecar ? sidecar_for(*whole, proxy) : nullptr;
  if (sidecar == nullptr && whole->rivals.empty()) return whole;
  Scope scope(whole, proxy);
  scope.hide_foreign();
  if (sidecar != nullptr) scope.apply(*sidecar);
  return scope.take();
}

bool scope_by_labels(const Snapshot& snapshot) {
  return std::ranges::any_of(snapshot.sidecars, [](const SidecarRule& rule) {
    return !rule.spec->workload_selector().labels().empty();
  });
}

}  // namespace mizzen::control
