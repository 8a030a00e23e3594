#include "control/translate/locality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/strings.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/endpoint/v3/endpoint_components.pb.h"

namespace mizzen::control {

namespace eds = envoy::config::endpoint::v3;

namespace {

using Place = std::array<std::string_view, 3>;  // region, zone, subzone

constexpr std::array<const char*, 3> kPlaceLabels = {
    "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"};
constexpr std::uint32_t kPlaces = 5;  // classes that by_place() tells apart

Place place_of(std::string_view text) {
  Place place;
  const std::vector<std::string_view> parts = split(text, '/');
  for (std::size_t i = 0; i < place.size() && i < parts.size(); ++i) place[i] = parts[i];
  return place;
}

// "us-east/*", "us-east/a", "*"
bool place_matches(const Place& place, std::string_view pattern) {
  const Place wanted = place_of(pattern);
  for (std::size_t i = 0; i < place.size(); ++i) {
    const bool any = wanted[i] == "*" || (i > 0 && wanted[i].empty());
    if (!any && wanted[i] != place[i]) return false;
  }
  return true;
}

Labels with_place(Labels labels, std::string_view locality) {
  const Place place = place_of(locality);
  for (std::size_t i = 0; i < place.size(); ++i) {
    if (!place[i].empty()) labels[kPlaceLabels[i]] = place[i];
  }
  return labels;
}

std::string_view label(const Labels& labels, std::string_view key) {
  const auto found = labels.find(key);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

Place place_of(const eds::LocalityLbEndpoints& group) {
  return {group.locality().region(), group.locality().zone(), group.locality().sub_zone()};
}

// Each `to` shares its weight among the groups that it matches, by their own weights.
void distribute(const schema::LocalityLoadBalancerSetting::Distribute& spec,
                eds::ClusterLoadAssignment* out) {
  std::vector<bool> taken(static_cast<std::size_t>(out->endpoints_size()), false);
  const std::map<std::string, std::uint32_t> targets(spec.to().begin(), spec.to().end());
  for (const auto& [pattern, weight] : targets) {
    std::vector<int> matched;
    double total = 0;
    for (int i = 0; i < out->endpoints_size(); ++i) {
      if (taken[static_cast<std::size_t>(i)]) continue;
      if (!place_matches(place_of(out->endpoints(i)), pattern)) continue;
      taken[static_cast<std::size_t>(i)] = true;
      matched.push_back(i);
      total += out->endpoints(i).load_balancing_weight().value();
    }
    for (const int i : matched) {
      auto* own = out->mutable_endpoints(i)->mutable_load_balancing_weight();
      own->set_value(static_cast<std::uint32_t>(std::ceil(own->value() * weight / total)));
    }
  }
  for (int i = 0; i < out->endpoints_size(); ++i) {
    if (!taken[static_cast<std::size_t>(i)]) out->mutable_endpoints(i)->clear_lb_endpoints();
  }
}

bool asks(const schema::TrafficPolicy& policy) {
  const auto says = [](const auto& one) {
    return one.has_outlier_detection() || one.load_balancer().has_locality_lb_setting();
  };
  return says(policy) || std::ranges::any_of(policy.port_level_settings(), says);
}

bool switched_off(const schema::LocalityLoadBalancerSetting& setting) {
  return setting.has_enabled() && !setting.enabled();
}

}  // namespace

bool localities_matter(const Snapshot& snapshot) {
  return std::ranges::any_of(snapshot.destination_rules, [](const DestinationRuleRule& rule) {
    return asks(rule.spec->traffic_policy()) ||
           std::ranges::any_of(rule.spec->subsets(), [](const schema::Subset& subset) {
             return asks(subset.traffic_policy());
           });
  });
}

bool weighs_localities(const Policy& policy) {
  const auto& setting = policy.balancer.locality_lb_setting();
  if (switched_off(setting)) return false;
  if (!setting.distribute().empty()) return true;
  return policy.has_outlier &&
         (!setting.failover().empty() || !setting.failover_priority().empty());
}

LocalityOrder::LocalityOrder(const Proxy& proxy, const Policy& policy)
    : setting_(policy.balancer.locality_lb_setting()),
      here_(proxy.locality),
      labels_(with_place(proxy.labels, here_)),
      // Without outlier detection nobody would ever leave the first priority.
      failover_(policy.has_outlier && setting_.distribute().empty() && !switched_off(setting_)) {}

// How many of failoverPriority's labels the endpoint shares with the proxy, in their order.
std::uint32_t LocalityOrder::by_labels(const Labels& labels) const {
  const auto count = static_cast<std::uint32_t>(setting_.failover_priority_size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string& entry = setting_.failover_priority(static_cast<int>(i));
    const std::size_t equals = entry.find('=');
    const std::string_view key = std::string_view(entry).substr(0, equals);
    const std::string_view wanted = equals == std::string::npos
                                        ? label(labels_, key)
                                        : std::string_view(entry).substr(equals + 1);
    if (wanted != label(labels, key)) return count - i;
  }
  return 0;
}

// 0 the same place, 1 the same zone, 2 the same region, 3 another, 4 one that `failover` passes by.
std::uint32_t LocalityOrder::by_place(std::string_view locality) const {
  const Place here = place_of(here_);
  const Place there = place_of(locality);
  if (here[0] == there[0]) {
    if (here[1] != there[1]) return 2;
    return here[2] == there[2] ? 0 : 1;
  }
  for (const auto& failover : setting_.failover()) {
    if (failover.from() == here[0]) return failover.to() == there[0] ? 3 : 4;
  }
  return 3;
}

std::uint32_t LocalityOrder::priority(const Labels& labels, std::string_view locality) const {
  if (!failover_) return 0;
  if (setting_.failover_priority().empty()) return by_place(locality);
  const std::uint32_t first = by_labels(with_place(labels, locality));
  return setting_.failover().empty() ? first : first * kPlaces + by_place(locality);
}

void LocalityOrder::finish(eds::ClusterLoadAssignment* out) const {
  std::map<std::uint32_t, std::uint32_t> order;
  for (const auto& group : out->endpoints()) order[group.priority()] = 0;
  std::uint32_t next = 0;
  for (auto& [priority, place] : order) place = next++;
  for (auto& group : *out->mutable_endpoints()) group.set_priority(order[group.priority()]);
  if (switched_off(setting_)) return;
  for (const auto& spec : setting_.distribute()) {
    if (!place_matches(place_of(here_), spec.from())) continue;
    distribute(spec, out);
    return;
  }
}

}  // namespace mizzen::control
