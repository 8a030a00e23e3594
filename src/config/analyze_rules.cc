// DestinationRules, Gateways, Sidecars and policies: whom they select, and with whom they collide.
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "config/analyze_world.h"

namespace mizzen::config {
namespace {

StringMap selector_of(const Json& object) {
  return object::string_map(object::find(object, {"spec", "selector", "matchLabels"}));
}

// The pods of a Kubernetes service.
std::vector<const KnownPod*> pods_of(const AnalysisWorld& world, const SourcedObject& service) {
  std::vector<const KnownPod*> out;
  const StringMap wanted = object::string_map(object::find(service.value, {"spec", "selector"}));
  if (wanted.empty()) return out;
  const std::string name_space = object::namespace_of(service.value);
  for (const KnownPod& pod : world.pods()) {
    if (pod.name_space == name_space && covers(wanted, pod.labels)) out.push_back(&pod);
  }
  return out;
}

void check_subsets(AnalysisWorld& world, const SourcedObject& rule, const KnownHost& host) {
  if (object::string_at(host.source->value, {"kind"}) != "Service") return;
  if (object::string_map(object::find(host.source->value, {"spec", "selector"})).empty()) return;
  const auto pods = pods_of(world, *host.source);
  for (const Json& subset : list_at(rule.value, {"spec", "subsets"})) {
    const StringMap labels = object::string_map(object::find(subset, {"labels"}));
    if (std::ranges::any_of(pods, [&](const KnownPod* pod) { return covers(labels, pod->labels); }))
      continue;
    world.tell(rule, Severity::kError, "IST0173",
               "The Subset {} defined in the DestinationRule does not select any pods. Which may "
               "lead to 503 UH (NoHealthyUpstream).",
               object::string_at(subset, {"name"}));
  }
}

// TLS to a server that nobody checks.
void check_tls(AnalysisWorld& world, const SourcedObject& rule) {
  const auto unchecked = [](const Json* tls) -> std::string {
    if (tls == nullptr) return {};
    const std::string mode = object::string_at(*tls, {"mode"});
    const bool known = mode == "SIMPLE" || mode == "MUTUAL";
    const bool checked = !object::string_at(*tls, {"caCertificates"}).empty() ||
                         !object::string_at(*tls, {"credentialName"}).empty();
    return known && !checked ? mode : std::string();
  };
  const Json* policy = object::find(rule.value, {"spec", "trafficPolicy"});
  if (policy == nullptr) return;
  const std::string name = object::name_of(rule.value);
  const std::string name_space = object::namespace_of(rule.value);
  const std::string host = object::string_at(rule.value, {"spec", "host"});
  if (const std::string mode = unchecked(object::find(*policy, {"tls"})); !mode.empty()) {
    world.tell(
        rule, Severity::kWarning, "IST0128",
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are "
        "set to validate server identity for host: {}",
        name, name_space, mode, host);
  }
  for (const Json& port : list_at(*policy, {"portLevelSettings"})) {
    const std::string mode = unchecked(object::find(port, {"tls"}));
    if (mode.empty()) continue;
    world.tell(
        rule, Severity::kWarning, "IST0129",
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are "
        "set to validate server identity for host: {} at port {}",
        name, name_space, mode, host, object::int_at(port, {"port", "number"}));
  }
}

void check_old_names(AnalysisWorld& world, const SourcedObject& rule) {
  const Json* policy = object::find(rule.value, {"spec", "trafficPolicy"});
  if (policy == nullptr) return;
  if (object::find(*policy, {"outlierDetection", "consecutiveErrors"}) != nullptr) {
    world.tell(rule, Severity::kWarning, "IST0002", "Deprecated: {} is deprecated; use {}",
               "DestinationRule.trafficPolicy.outlierDetection.consecutiveErrors",
               "DestinationRule.trafficPolicy.outlierDetection.consecutive5xxErrors");
  }
  if (object::string_at(*policy, {"loadBalancer", "simple"}) == "LEAST_CONN") {
    world.tell(rule, Severity::kWarning, "IST0002", "Deprecated: {} is deprecated; use {}",
               "DestinationRule.trafficPolicy.loadBalancer.simple: LEAST_CONN", "LEAST_REQUEST");
  }
}

StringMap gateway_selector(const SourcedObject& gateway) {
  return object::string_map(object::find(gateway.value, {"spec", "selector"}));
}

// The numbers under which a gateway's own services, and what stands behind them, are reached.
std::set<std::int64_t> service_ports(const AnalysisWorld& world, const StringMap& selector,
                                     bool* any_service) {
  std::set<std::int64_t> out;
  for (const SourcedObject* service : world.of_kind("Service")) {
    const auto pods = pods_of(world, *service);
    if (std::ranges::none_of(pods,
                             [&](const KnownPod* pod) { return covers(selector, pod->labels); }))
      continue;
    *any_service = true;
    for (const Json& port : list_at(service->value, {"spec", "ports"})) {
      out.insert(object::int_at(port, {"port"}));
      out.insert(object::int_at(port, {"targetPort"}));
    }
  }
  return out;
}

void check_credentials(AnalysisWorld& world, const SourcedObject& gateway, const Json& server,
                       const StringMap& selector) {
  std::vector<std::string> names = strings_at(server, {"tls", "credentialNames"});
  if (const std::string one = object::string_at(server, {"tls", "credentialName"}); !one.empty())
    names.push_back(one);
  for (const std::string& name : names) {
    if (name.find("://") != name.npos) continue;
    // The secret stands beside the gateway's pods.
    const bool found = std::ranges::any_of(world.pods(), [&](const KnownPod& pod) {
      return covers(selector, pod.labels) && world.find("Secret", pod.name_space, name) != nullptr;
    });
    if (!found) {
      world.tell(gateway, Severity::kError, "IST0101",
                 "Referenced credentialName not found: \"{}\"", name);
    }
  }
}

void analyze_gateway(AnalysisWorld& world, const SourcedObject& gateway) {
  const StringMap selector = gateway_selector(gateway);
  if (!world.has_pod("", selector)) {
    world.tell(gateway, Severity::kError, "IST0101", "Referenced selector not found: \"{}\"",
               selector_text(selector));
    return;
  }
  bool any_service = false;
  const auto ports = service_ports(world, selector, &any_service);
  for (const Json& server : list_at(gateway.value, {"spec", "servers"})) {
    const auto number = object::int_at(server, {"port", "number"});
    if (any_service && !ports.contains(number)) {
      world.tell(gateway, Severity::kWarning, "IST0162",
                 "The gateway is listening on a target port (port {}) that is not defined in the "
                 "Service associated with its workload instances (Pod selector {}). If you need to "
                 "access the gateway port through the gateway Service, it will not be available.",
                 number, selector_text(selector));
    }
    check_credentials(world, gateway, server, selector);
  }
}

// A host of a server without the namespace in front of it.
std::string_view plain_host(std::string_view host) { return host.substr(host.find('/') + 1); }

void check_gateway_pair(AnalysisWorld& world, const SourcedObject& one,
                        const SourcedObject& other) {
  for (const Json& mine : list_at(one.value, {"spec", "servers"})) {
    for (const Json& theirs : list_at(other.value, {"spec", "servers"})) {
      const auto port = object::int_at(mine, {"port", "number"});
      if (port != object::int_at(theirs, {"port", "number"}) ||
          object::string_at(mine, {"bind"}) != object::string_at(theirs, {"bind"}))
        continue;
      std::vector<std::string> both;
      for (const std::string& host : strings_at(mine, {"hosts"})) {
        for (const std::string& their : strings_at(theirs, {"hosts"})) {
          if (plain_host(host) == plain_host(their)) both.push_back(host);
        }
      }
      if (both.empty()) continue;
      world.tell(one, Severity::kError, "IST0145",
                 "Conflict with gateways {}/{} (workload selector {}, port {}, hosts {}).",
                 object::namespace_of(other.value), object::name_of(other.value),
                 selector_text(gateway_selector(one)), port, fmt::join(both, ","));
    }
  }
}

// More than one of a kind for the same pods of a namespace.
void check_selectors(AnalysisWorld& world, const char* kind, const char* selecting_code,
                     const char* open_code, const char* plural) {
  std::map<std::string, std::vector<const SourcedObject*>> open;  // by namespace, without selector
  std::map<std::pair<std::string, std::string>, std::vector<const SourcedObject*>> by_pod;
  for (const SourcedObject* one : world.of_kind(kind)) {
    const std::string name_space = object::namespace_of(one->value);
    const StringMap labels =
        object::string_map(object::find(one->value, {"spec", "workloadSelector", "labels"}));
    if (labels.empty()) {
      open[name_space].push_back(one);
      continue;
    }
    for (const KnownPod& pod : world.pods()) {
      if (pod.name_space == name_space && !pod.is_template && covers(labels, pod.labels))
        by_pod[{name_space, pod.name}].push_back(one);
    }
  }
  const auto names = [](const std::vector<const SourcedObject*>& list) {
    std::vector<std::string> out;
    for (const SourcedObject* one : list) out.push_back(object::name_of(one->value));
    return out;
  };
  for (const auto& [name_space, list] : open) {
    if (list.size() < 2) continue;
    for (const SourcedObject* one : list)
      world.tell(*one, Severity::kError, open_code,
                 "The {} [{}] in namespace \"{}\" have no workload selector, which can lead to "
                 "undefined behavior.",
                 plural, fmt::join(names(list), " "), name_space);
  }
  for (const auto& [pod, list] : by_pod) {
    if (list.size() < 2) continue;
    for (const SourcedObject* one : list)
      world.tell(*one, Severity::kError, selecting_code,
                 "The {} [{}] in namespace \"{}\" select the same workload pod \"{}\", which can "
                 "lead to undefined behavior.",
                 plural, fmt::join(names(list), " "), pod.first, pod.second);
  }
}

void check_policy_namespaces(AnalysisWorld& world, const SourcedObject& policy) {
  for (const Json& rule : list_at(policy.value, {"spec", "rules"})) {
    for (const Json& from : list_at(rule, {"from"})) {
      for (const std::string& name : strings_at(from, {"source", "namespaces"})) {
        if (name.find('*') != name.npos || world.has_namespace(name)) continue;
        world.tell(policy, Severity::kError, "IST0101", "Referenced namespace not found: \"{}\"",
                   name);
      }
    }
  }
}

}  // namespace

void analyze_destination_rules(AnalysisWorld& world) {
  for (const SourcedObject* rule : world.of_kind("DestinationRule")) {
    const std::string host = object::string_at(rule->value, {"spec", "host"});
    check_tls(world, *rule);
    check_old_names(world, *rule);
    if (host.empty() || host.find('*') != host.npos) continue;
    const KnownHost* known = world.host(host, object::namespace_of(rule->value));
    if (known == nullptr) {
      // A rule that never acts: Istio says nothing of it.
      world.tell(*rule, Severity::kError, "IST0101", "Referenced host not found: \"{}\"", host);
      continue;
    }
    check_subsets(world, *rule, *known);
  }
}

void analyze_gateways(AnalysisWorld& world) {
  const auto& gateways = world.of_kind("Gateway");
  for (const SourcedObject* one : gateways) {
    analyze_gateway(world, *one);
    for (const SourcedObject* other : gateways) {
      if (other != one && gateway_selector(*one) == gateway_selector(*other))
        check_gateway_pair(world, *one, *other);
    }
  }
}

void analyze_sidecars(AnalysisWorld& world) {
  check_selectors(world, "Sidecar", "IST0110", "IST0111", "Sidecars");
}

void analyze_policies(AnalysisWorld& world) {
  for (const char* kind : {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"}) {
    for (const SourcedObject* policy : world.of_kind(kind)) {
      const std::string name_space = object::namespace_of(policy->value);
      const StringMap labels = selector_of(policy->value);
      // In the root namespace a selector is for pods of all.
      const bool everywhere = name_space == world.scope().root_namespace;
      const std::string_view where = everywhere ? std::string_view() : std::string_view(name_space);
      if (!labels.empty() && !world.has_pod(where, labels)) {
        world.tell(*policy, Severity::kWarning, "IST0127",
                   "No matching workloads for this resource with the following labels: {}",
                   selector_text(labels));
      }
      if (std::string_view(kind) == "AuthorizationPolicy") check_policy_namespaces(world, *policy);
    }
  }
}

}  // namespace mizzen::config
