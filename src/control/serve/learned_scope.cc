#include "control/serve/learned_scope.h"

#include <algorithm>

#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/http_route.h"
#include "control/translate/outbound_plan.h"
#include "istio/networking.pb.h"

namespace mizzen::control {
namespace {

constexpr std::string_view kMesh = "mesh";
constexpr std::size_t kLongestHost = 253;

std::string reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

std::string key_of(const VirtualServiceRule& rule) { return rule.name_space + "/" + rule.name; }

bool seen_by(const VirtualServiceRule& rule, const Proxy& proxy) {
  return bound_to(rule, kMesh) && reaches(rule, proxy);
}

// Whether the wildcard covers any of the reversed hosts.
bool covers_any(const std::set<std::string>& reversed_hosts, std::string_view pattern) {
  const std::string prefix = reversed(pattern.substr(1));
  const auto at = reversed_hosts.lower_bound(prefix);
  return at != reversed_hosts.end() && at->starts_with(prefix);
}

template <class Visit>
void each_destination(const schema::VirtualService& spec, Visit visit) {
  for (const auto& http : spec.http()) {
    for (const auto& route : http.route()) visit(route.destination());
    for (const auto& mirror : http.mirrors()) visit(mirror.destination());
    if (http.has_mirror()) visit(http.mirror());
  }
  for (const auto& tcp : spec.tcp()) {
    for (const auto& route : tcp.route()) visit(route.destination());
  }
  for (const auto& tls : spec.tls()) {
    for (const auto& route : tls.route()) visit(route.destination());
  }
}

}  // namespace

std::optional<Need> parse_need(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_int<std::uint16_t>(name.substr(colon + 1));
  std::string_view host = name.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (!port || *port == 0 || host.empty() || host.size() > kLongestHost) return std::nullopt;
  const bool clean = std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._*:").find(c) != std::string_view::npos;
  });
  if (!clean) return std::nullopt;
  return Need{lower(host), *port};
}

bool learns_scope(const Snapshot& scope, const Proxy& proxy) {
  return proxy.on_demand && proxy.kind == ProxyKind::kSidecar && proxy.capture &&
         scope.egress.empty();
}

Directory::Directory(const Snapshot& scope, const Proxy& proxy)
    : proxy_(proxy), domain_(scope.mesh.domain) {
  for (const auto& [host, service] : scope.services) {
    if (service->visible_to(proxy_.name_space)) index(*service);
  }
  for (const VirtualServiceRule& rule : scope.virtual_services) {
    if (seen_by(rule, proxy_)) index(scope, rule);
  }
}

// What of a port's shared listener the service asks for, as outbound_plan.cc has it.
void Directory::index(const Service& service) {
  services_.insert(reversed(service.host));
  const std::vector<std::string> addresses = call_addresses(service, proxy_);
  for (const std::string& text : addresses) {
    const auto address = io::Address::parse_ip(text, 0);
    if (address) by_address_[*address].push_back(service.host);
  }
  bool ranged = false;
  for (const std::string& address : service.addresses) {
    if (!address.contains('/')) continue;
    ranged = true;
    if (const auto range = io::Cidr::parse(address)) ranges_.push_back({*range, service.host});
  }
  if (!service.external_name.empty()) return;
  for (const ServicePort& port : service.ports) {
    if (port.protocol == Protocol::kUdp || !port.listened) continue;
    const bool detect = port.protocol == Protocol::kDetect;
    if (is_http(port.protocol) || (detect && service.headless)) {
      ports_[port.number].http = true;
    } else if (!service.headless && (ranged || addresses.empty())) {
      SharedPort& shared = ports_[port.number];
      shared.http = shared.http || detect;
      shared.tls = shared.tls || is_tls(port.protocol);
      if (!ranged && !is_tls(port.protocol)) takers_[port.number].push_back(service.host);
    }
  }
}

void Directory::index(const Snapshot& scope, const VirtualServiceRule& rule) {
  std::set<std::string> hosts;
  for (const std::string& written : rule.spec->hosts()) {
    std::string host = resolve_host(written, rule.name_space, domain_);
    // Rules for services come with them.
    const bool known =
        host.starts_with('*') ? covers_any(services_, host) : scope.service(host) != nullptr;
    if (!known && host != "*") hosts.insert(std::move(host));
  }
  for (const auto& tls : rule.spec->tls()) {
    for (const auto& match : tls.match()) {
      for (const std::string& name : match.sni_hosts()) {
        if (name != "*") hosts.insert(lower(name));
      }
    }
  }
  for (const std::string& host : hosts) {
    rule_hosts_.insert(reversed(host));
    rules_[host].push_back(key_of(rule));
  }
}

void Directory::add_host(const std::string& host, const Snapshot& scope, Wanted* wanted) const {
  if (!wanted->hosts.insert(host).second) return;
  const Service* service = scope.service(host);
  if (host.starts_with('*')) cover(host, scope, wanted);
  if (service != nullptr && service->headless) cover("*." + host, scope, wanted);
}

bool Directory::add_rules(const std::string& host, const Snapshot& scope, Wanted* wanted) const {
  const auto found = rules_.find(host);
  if (found == rules_.end()) return false;
  bool added = false;
  for (const std::string& key : found->second) added = wanted->rules.insert(key).second || added;
  if (added && host.starts_with('*')) cover(host, scope, wanted);
  return true;
}

// All that stands under the wildcard, by its reversed text.
void Directory::cover(const std::string& pattern, const Snapshot& scope, Wanted* wanted) const {
  const std::string prefix = reversed(std::string_view(pattern).substr(1));
  const auto each = [&](const std::set<std::string>& hosts, auto use) {
    for (auto at = hosts.lower_bound(prefix); at != hosts.end() && at->starts_with(prefix); ++at) {
      if (const std::string host = reversed(*at); host != pattern) use(host);
    }
  };
  each(services_, [&](const std::string& host) { add_host(host, scope, wanted); });
  each(rule_hosts_, [&](const std::string& host) { add_rules(host, scope, wanted); });
}

bool Directory::find_port(std::uint16_t port, Wanted* wanted) const {
  if (!ports_.contains(port)) return false;
  wanted->ports.insert(port);
  const auto takers = takers_.find(port);
  if (takers != takers_.end()) {
    wanted->hosts.insert(takers->second.begin(), takers->second.end());
  }
  return true;
}

bool Directory::find_address(const Need& need, const Snapshot& scope, Wanted* wanted) const {
  const auto address = io::Address::parse_ip(need.host, 0);
  if (!address) return false;
  bool any = false;
  const auto add = [&](const std::string& host) {
    const Service* service = scope.service(host);
    if (service == nullptr || service->port(need.port) == nullptr) return;
    add_host(host, scope, wanted);
    any = true;
  };
  if (const auto found = by_address_.find(*address); found != by_address_.end()) {
    for (const std::string& host : found->second) add(host);
  }
  for (const Range& range : ranges_) {
    if (range.addresses.contains(*address)) add(range.host);
  }
  if (const auto* instances = scope.instances_at(need.host)) {
    for (const Instance& instance : *instances) {
      if (!instance.service->headless) continue;
      const Service* service = scope.service(instance.service->host);
      if (service != nullptr && service->visible_to(proxy_.name_space)) add(service->host);
    }
  }
  return any;
}

bool Directory::find_host(const Need& need, const Snapshot& scope, Wanted* wanted) const {
  std::vector<std::string> names{need.host};
  const auto dots = std::ranges::count(need.host, '.');
  if (dots == 0) names.push_back(resolve_host(need.host, proxy_.name_space, domain_));
  if (dots == 1) names.push_back(need.host + ".svc." + domain_);
  if (dots == 2 && need.host.ends_with(".svc")) names.push_back(need.host + "." + domain_);
  bool any = false;
  const auto add = [&](const std::string& host, bool headless_only) {
    const Service* service = scope.service(host);
    if (service == nullptr || !service->visible_to(proxy_.name_space)) return;
    if (service->port(need.port) == nullptr || (headless_only && !service->headless)) return;
    add_host(host, scope, wanted);
    any = true;
  };
  for (const std::string& name : names) add(name, false);
  any = add_rules(need.host, scope, wanted) || any;
  for (std::size_t dot = need.host.find('.'); dot != std::string::npos;
       dot = need.host.find('.', dot + 1)) {
    const std::string parent = need.host.substr(dot + 1);
    add(parent, true);
    add("*." + parent, false);
    any = add_rules("*." + parent, scope, wanted) || any;
  }
  add("*", false);
  return any;
}

bool Directory::find(const Need& need, const Snapshot& scope, Wanted* wanted) const {
  if (need.host == "*") return find_port(need.port, wanted);
  const bool by_address = find_address(need, scope, wanted);
  return find_host(need, scope, wanted) || by_address;
}

std::shared_ptr<const Snapshot> Directory::narrow(const std::shared_ptr<const Snapshot>& scope,
                                                  const Wanted& wanted) const {
  auto out = std::make_shared<Snapshot>();
  static_cast<MeshRules&>(*out) = *scope;
  out->number = scope->number;
  out->instances = scope->instances;
  out->sidecar = scope->sidecar;
  out->asked_of = scope;
  for (const std::string& host : wanted.hosts) {
    const auto found = scope->services.find(host);
    if (found != scope->services.end()) out->services.insert(*found);
  }
  for (const std::uint16_t port : wanted.ports) {
    const auto found = ports_.find(port);
    if (found != ports_.end() && (found->second.http || found->second.tls)) {
      out->shared_ports.insert(*found);
    }
  }
  std::erase_if(out->virtual_services, [&](const VirtualServiceRule& rule) {
    if (!seen_by(rule, proxy_)) return true;
    if (wanted.rules.contains(key_of(rule))) return false;
    return std::ranges::none_of(rule.spec->hosts(), [&](const std::string& written) {
      const std::string host = resolve_host(written, rule.name_space, domain_);
      if (!host.starts_with('*')) return out->services.contains(host);
      return std::ranges::any_of(wanted.hosts,
                                 [&](const std::string& one) { return host_covers(host, one); });
    });
  });
  // Services that rules lead to are reached without listeners of their own.
  for (const VirtualServiceRule& rule : out->virtual_services) {
    each_destination(*rule.spec, [&](const schema::Destination& destination) {
      const std::string host = resolve_host(destination.host(), rule.name_space, domain_);
      const auto found = scope->services.find(host);
      if (found == scope->services.end() || wanted.hosts.contains(host)) return;
      if (!found->second->visible_to(proxy_.name_space)) return;
      auto led = std::make_shared<Service>(*found->second);
      for (ServicePort& port : led->ports) port.listened = false;
      out->services.try_emplace(host, std::move(led));
    });
  }
  return out;
}

}  // namespace mizzen::control
