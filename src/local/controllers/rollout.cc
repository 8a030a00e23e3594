#include "local/controllers/rollout.h"

#include <algorithm>

#include "base/strings.h"

namespace mizzen::local {
namespace {

// Letters and digits that form no words, as Kubernetes uses for generated names.
constexpr std::string_view kSafe = "bcdfghjklmnpqrstvwxz2456789";

std::string safe_text(std::uint64_t value, int length) {
  std::string out;
  for (int i = 0; i < length; ++i) {
    out += kSafe[value % kSafe.size()];
    value /= kSafe.size();
  }
  return out;
}

}  // namespace

RolloutStep plan_rollout(const Rollout& rollout) {
  RolloutStep step;
  int old_total = 0;
  int available = rollout.current.available;
  for (const RolloutSet& old : rollout.old_sets) {
    step.old_sets.push_back(old.replicas);
    old_total += old.replicas;
    available += std::min(old.available, old.replicas);
  }
  int total = old_total + rollout.current.replicas;
  step.current = std::min(rollout.current.replicas, rollout.desired);
  int room = rollout.desired + rollout.max_surge - total;
  if (step.current < rollout.desired && room > 0) {
    step.current += std::min(rollout.desired - step.current, room);
  }
  if (old_total == 0) {
    step.current = rollout.desired;
    return step;
  }
  int min_available = rollout.desired - rollout.max_unavailable;
  int current_unavailable = std::max(0, rollout.current.replicas - rollout.current.available);
  int may_go = total - min_available - current_unavailable;
  // First what serves nobody, then as much of the rest as availability leaves.
  for (std::size_t i = 0; i < step.old_sets.size() && may_go > 0; ++i) {
    int broken = std::max(0, step.old_sets[i] - rollout.old_sets[i].available);
    int gone = std::min(broken, may_go);
    step.old_sets[i] -= gone;
    may_go -= gone;
  }
  int spare = std::min(may_go, available - min_available);
  for (std::size_t i = 0; i < step.old_sets.size() && spare > 0; ++i) {
    int gone = std::min(step.old_sets[i], spare);
    step.old_sets[i] -= gone;
    spare -= gone;
  }
  return step;
}

int int_or_percent(const Json& value, int desired, bool round_up, int fallback) {
  if (value.is_number_integer()) return value.get<int>();
  if (!value.is_string()) return fallback;
  std::string_view text = value.get_ref<const std::string&>();
  if (!text.ends_with('%')) return parse_int<int>(text).value_or(fallback);
  auto percent = parse_int<int>(text.substr(0, text.size() - 1));
  if (!percent) return fallback;
  return (desired * *percent + (round_up ? 99 : 0)) / 100;
}

std::string template_hash(const Json& pod_template) {
  Json plain = pod_template;
  if (plain.contains("metadata") && plain["metadata"].contains("labels")) {
    plain["metadata"]["labels"].erase("pod-template-hash");
  }
  return safe_text(fnv1a(plain.dump()), 10);
}

std::string short_suffix(std::uint64_t seed) { return safe_text(fnv1a(std::to_string(seed)), 5); }

bool pod_is_ready(const Json& pod) {
  for (const Json& condition : at_path(pod, {"status", "conditions"})) {
    if (condition.value("type", "") == "Ready") return condition.value("status", "") == "True";
  }
  return false;
}

bool pod_is_active(const Json& pod) {
  std::string phase = text_at(pod, {"status", "phase"});
  return phase != "Succeeded" && phase != "Failed" && !is_deleting(pod);
}

}  // namespace mizzen::local
