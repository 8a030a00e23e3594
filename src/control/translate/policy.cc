#include "control/translate/policy.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "control/mesh/hosts.h"

namespace mizzen::control {
namespace {

template <class Source>
void overlay(const Source& source, Policy* policy) {
  if (source.has_load_balancer()) policy->balancer = source.load_balancer();
  if (source.has_connection_pool()) policy->pool = source.connection_pool();
  if (source.has_outlier_detection()) {
    policy->outlier = source.outlier_detection();
    policy->has_outlier = true;
  }
  if (source.has_tls()) {
    policy->tls = source.tls();
    policy->has_tls = true;
  }
}

// What only a rule's and a subset's own policy have, not its ports.
void overlay_whole(const schema::TrafficPolicy& source, Policy* policy) {
  overlay(source, policy);
  if (source.has_retry_budget()) {
    policy->retry_budget = source.retry_budget();
    policy->has_retry_budget = true;
  }
  if (source.has_tunnel()) {
    policy->tunnel = source.tunnel();
    policy->has_tunnel = true;
  }
  if (source.has_proxy_protocol()) {
    policy->proxy_protocol = source.proxy_protocol();
    policy->has_proxy_protocol = true;
  }
}

// A port's settings replace those of the policy around them, also where they say nothing.
void overlay_port(const schema::TrafficPolicy& policy, std::uint16_t port, Policy* out) {
  for (const auto& level : policy.port_level_settings()) {
    if (level.port().number() != port) continue;
    Policy own = *out;  // what ports do not have stays
    own.balancer.Clear();
    own.pool.Clear();
    own.outlier.Clear();
    own.tls.Clear();
    own.has_outlier = own.has_tls = false;
    overlay(level, &own);
    *out = std::move(own);
    return;
  }
}

template <class Map>
bool same_labels(const Map& a, const Map& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& label) {
           const auto found = b.find(label.first);
           return found != b.end() && found->second == label.second;
         });
}

// Whether the two speak to the same namespaces and workloads.
bool same_audience(const schema::DestinationRule& a, const schema::DestinationRule& b) {
  const std::set<std::string> to_a(a.export_to().begin(), a.export_to().end());
  const std::set<std::string> to_b(b.export_to().begin(), b.export_to().end());
  return to_a == to_b && a.has_workload_selector() == b.has_workload_selector() &&
         same_labels(a.workload_selector().match_labels(), b.workload_selector().match_labels());
}

void merge_into(const schema::DestinationRule& rule, DestinationRuleRule* into) {
  auto merged = std::make_shared<schema::DestinationRule>(*into->spec);
  if (!merged->has_traffic_policy() && rule.has_traffic_policy()) {
    *merged->mutable_traffic_policy() = rule.traffic_policy();
  }
  for (const schema::Subset& subset : rule.subsets()) {
    const bool known = std::ranges::any_of(
        merged->subsets(), [&](const schema::Subset& own) { return own.name() == subset.name(); });
    if (!known) *merged->add_subsets() = subset;
  }
  into->spec = std::move(merged);
}

bool selects(const schema::DestinationRule& rule, const Labels& labels) {
  return std::ranges::all_of(rule.workload_selector().match_labels(), [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

}  // namespace

Policy policy_for(const DestinationRuleRule* rule, std::string_view subset, std::uint16_t port) {
  Policy policy;
  if (rule == nullptr) return policy;
  overlay_whole(rule->spec->traffic_policy(), &policy);
  overlay_port(rule->spec->traffic_policy(), port, &policy);
  if (subset.empty()) return policy;
  for (const schema::Subset& entry : rule->spec->subsets()) {
    if (entry.name() != subset) continue;
    overlay_whole(entry.traffic_policy(), &policy);
    overlay_port(entry.traffic_policy(), port, &policy);
  }
  return policy;
}

std::vector<DestinationRuleRule> merge_rules(std::vector<DestinationRuleRule> rules,
                                             std::string_view domain) {
  std::vector<DestinationRuleRule> out;
  using Key = std::pair<std::string, std::string>;  // namespace and host
  std::map<Key, std::vector<std::size_t>> known;
  for (DestinationRuleRule& rule : rules) {
    auto& same = known[{rule.name_space, resolve_host(rule.spec->host(), rule.name_space, domain)}];
    const auto first = std::ranges::find_if(
        same, [&](std::size_t index) { return same_audience(*out[index].spec, *rule.spec); });
    if (first == same.end()) {
      same.push_back(out.size());
      out.push_back(std::move(rule));
    } else {
      merge_into(*rule.spec, &out[*first]);
    }
  }
  return out;
}

const DestinationRuleRule* Snapshot::destination_rule(std::string_view host,
                                                      const Proxy& proxy) const {
  const Service* service_of_host = service(host);
  const std::string_view owner =
      service_of_host == nullptr ? std::string_view(proxy.name_space) : service_of_host->name_space;
  const auto rank = [&](const DestinationRuleRule& rule) {
    if (rule.name_space == proxy.name_space) return 0;
    if (rule.name_space == owner) return 1;
    return rule.name_space == mesh.root_namespace ? 2 : 3;
  };
  const DestinationRuleRule* best = nullptr;
  std::string best_host;
  for (const DestinationRuleRule& rule : destination_rules) {
    const int place = rank(rule);
    if (place > 2 || !selects(*rule.spec, proxy.labels)) continue;
    if (place != 0 && rule.spec->has_workload_selector()) continue;  // of its own namespace only
    const std::vector<std::string> export_to(rule.spec->export_to().begin(),
                                             rule.spec->export_to().end());
    if (place != 0 && !exported_to(export_to, rule.name_space, proxy.name_space)) continue;
    const std::string pattern = resolve_host(rule.spec->host(), rule.name_space, mesh.domain);
    if (!host_covers(pattern, host)) continue;
    // Nearer namespace, more specific host, for this workload before for all of them.
    const bool better =
        best == nullptr || place < rank(*best) ||
        (place == rank(*best) && (pattern != best_host ? more_specific_host(pattern, best_host)
                                                       : rule.spec->has_workload_selector() &&
                                                             !best->spec->has_workload_selector()));
    if (!better) continue;
    best = &rule;
    best_host = pattern;
  }
  return best;
}

}  // namespace mizzen::control
