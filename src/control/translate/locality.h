// Which endpoints a proxy prefers by where they stand: localityLbSetting. Internal to control.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/translate/policy.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace mizzen::control {

// Whether proxies of different localities or labels are told different endpoints.
bool localities_matter(const Snapshot& snapshot);

// Whether the cluster's localities have weights of their own, not those of their endpoints.
bool weighs_localities(const Policy& policy);

// The order of one destination's endpoints for one proxy. Keeps a reference to `policy`.
class LocalityOrder {
 public:
  LocalityOrder(const Proxy& proxy, const Policy& policy);

  // Lower is preferred; with gaps, which finish() closes. 0 for all where nothing is asked for.
  std::uint32_t priority(const Labels& labels, std::string_view locality) const;

  // `out` has its localities with their priorities and weights: closes the gaps, gives out the
  // weights of `distribute` and takes away what it leaves out.
  void finish(envoy::config::endpoint::v3::ClusterLoadAssignment* out) const;

 private:
  std::uint32_t by_labels(const Labels& labels) const;
  std::uint32_t by_place(std::string_view locality) const;

  const schema::LocalityLoadBalancerSetting& setting_;
  std::string here_;  // where the proxy stands
  Labels labels_;     // of the proxy, with its place among them
  bool failover_ = false;
};

}  // namespace mizzen::control
