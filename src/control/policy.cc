#include "control/policy.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "control/hosts.h"

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

// A port's settings replace all of the policy around them, also where they say nothing.
void overlay_port(const schema::TrafficPolicy& policy, std::uint16_t port, Policy* out) {
  for (const auto& level : policy.port_level_settings()) {
    if (level.port().number() != port) continue;
    *out = Policy{};
    overlay(level, out);
    return;
  }
}

}  // namespace

Policy policy_for(const DestinationRuleRule* rule, std::string_view subset, std::uint16_t port) {
  Policy policy;
  if (rule == nullptr) return policy;
  overlay(rule->spec->traffic_policy(), &policy);
  overlay_port(rule->spec->traffic_policy(), port, &policy);
  if (subset.empty()) return policy;
  for (const schema::Subset& entry : rule->spec->subsets()) {
    if (entry.name() != subset) continue;
    overlay(entry.traffic_policy(), &policy);
    overlay_port(entry.traffic_policy(), port, &policy);
  }
  return policy;
}

std::vector<DestinationRuleRule> merge_rules(std::vector<DestinationRuleRule> rules,
                                             std::string_view domain) {
  std::vector<DestinationRuleRule> out;
  std::map<std::pair<std::string, std::string>, std::size_t> first;  // namespace and host
  for (DestinationRuleRule& rule : rules) {
    const std::pair key{rule.name_space, resolve_host(rule.spec->host(), rule.name_space, domain)};
    const auto [found, is_first] = first.try_emplace(key, out.size());
    if (is_first) {
      out.push_back(std::move(rule));
      continue;
    }
    DestinationRuleRule& into = out[found->second];
    auto merged = std::make_shared<schema::DestinationRule>(*into.spec);
    if (!merged->has_traffic_policy() && rule.spec->has_traffic_policy()) {
      *merged->mutable_traffic_policy() = rule.spec->traffic_policy();
    }
    for (const schema::Subset& subset : rule.spec->subsets()) {
      const bool known = std::ranges::any_of(merged->subsets(), [&](const schema::Subset& own) {
        return own.name() == subset.name();
      });
      if (!known) *merged->add_subsets() = subset;
    }
    into.spec = std::move(merged);
  }
  return out;
}

const DestinationRuleRule* Snapshot::destination_rule(std::string_view host,
                                                      std::string_view name_space) const {
  const Service* service_of_host = service(host);
  const std::string_view owner =
      service_of_host == nullptr ? name_space : service_of_host->name_space;
  const auto rank = [&](const DestinationRuleRule& rule) {
    if (rule.name_space == name_space) return 0;
    if (rule.name_space == owner) return 1;
    return rule.name_space == mesh.root_namespace ? 2 : 3;
  };
  const DestinationRuleRule* best = nullptr;
  std::string best_host;
  for (const DestinationRuleRule& rule : destination_rules) {
    const int place = rank(rule);
    if (place > 2) continue;
    const std::vector<std::string> export_to(rule.spec->export_to().begin(),
                                             rule.spec->export_to().end());
    if (place != 0 && !exported_to(export_to, rule.name_space, name_space)) continue;
    const std::string pattern = resolve_host(rule.spec->host(), rule.name_space, mesh.domain);
    if (!host_covers(pattern, host)) continue;
    const bool better =
        best == nullptr || place < rank(*best) ||
        (place == rank(*best) && pattern != best_host && more_specific_host(pattern, best_host));
    if (!better) continue;
    best = &rule;
    best_host = pattern;
  }
  return best;
}

}  // namespace mizzen::control
