// The traffic policy that a DestinationRule gives one subset and port. Internal to control.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "control/mesh/schema_types.h"
#include "control/mesh/snapshot.h"

namespace mizzen::control {

// Merged from the rule's own policy, the subset's and the port's: the narrower replaces the wider,
// setting by setting, as Istio does it.
struct Policy {
  schema::LoadBalancerSettings balancer;
  schema::ConnectionPoolSettings pool;
  schema::OutlierDetection outlier;
  schema::ClientTLSSettings tls;
  schema::TrafficPolicy::RetryBudget retry_budget;
  schema::TrafficPolicy::TunnelSettings tunnel;
  schema::TrafficPolicy::ProxyProtocol proxy_protocol;
  bool has_outlier = false;
  bool has_tls = false;
  bool has_retry_budget = false;
  bool has_tunnel = false;
  bool has_proxy_protocol = false;
};

// `rule` may be null; an unknown subset gives the rule's own policy.
Policy policy_for(const DestinationRuleRule* rule, std::string_view subset, std::uint16_t port);

// Several rules of one namespace for one host, exported to the same namespaces and for the same
// workloads, are one: the first keeps its policy (or takes the next one's when it has none) and
// gets the subsets that it lacks. `rules` are oldest first.
std::vector<DestinationRuleRule> merge_rules(std::vector<DestinationRuleRule> rules,
                                             std::string_view domain);

}  // namespace mizzen::control
