// The arithmetic of a rolling update, and other pure parts of the workload controllers.
#pragma once

#include <string>
#include <vector>

#include "local/apiserver/store.h"

namespace mizzen::local {

struct RolloutSet {
  int replicas = 0;   // wanted of this set
  int available = 0;  // of its pods
};

struct Rollout {
  int desired = 1;
  int max_surge = 1;
  int max_unavailable = 0;
  RolloutSet current;                // the set of the newest template
  std::vector<RolloutSet> old_sets;  // oldest first
};

struct RolloutStep {
  int current = 0;            // replicas that the newest set should have now
  std::vector<int> old_sets;  // and each old one
};

// One step: never more than desired + max_surge pods wanted, never fewer than desired -
// max_unavailable available. Pods of old sets that are not available go first.
RolloutStep plan_rollout(const Rollout& rollout);

// maxSurge and maxUnavailable: a number, or a percentage of `desired`.
int int_or_percent(const Json& value, int desired, bool round_up, int fallback);

// Ten characters that name a pod template: equal templates, equal names.
std::string template_hash(const Json& pod_template);

// Five characters like those that generateName appends, from `seed`.
std::string short_suffix(std::uint64_t seed);

bool pod_is_ready(const Json& pod);
// Neither ended nor on its way out.
bool pod_is_active(const Json& pod);

}  // namespace mizzen::local
