// Deployments: a ReplicaSet per template, and the rolling update between them.
#include <fmt/core.h>

#include <algorithm>

#include "base/strings.h"
#include "local/controllers/rollout.h"
#include "local/controllers/workloads.h"
#include "local/runtime/pod.h"

namespace mizzen::local {
namespace {

constexpr const char* kRevision = "deployment.kubernetes.io/revision";

int status_number(const Json& object, const char* name) {
  const Json& value = at_path(object, {"status", name});
  return value.is_number_integer() ? value.get<int>() : 0;
}

int spec_replicas(const Json& object) {
  const Json& value = at_path(object, {"spec", "replicas"});
  return value.is_number_integer() ? value.get<int>() : 1;
}

std::int64_t revision_of(const Json& object) {
  return parse_int<std::int64_t>(text_at(object, {"metadata", "annotations", kRevision}))
      .value_or(0);
}

std::string hash_of(const Json& set) {
  return text_at(set, {"metadata", "labels", "pod-template-hash"});
}

Json condition(const Json& before, const std::string& type, bool status, const std::string& reason,
               const std::string& message, const std::string& now) {
  const std::string now_is = status ? "True" : "False";
  Json out = {{"type", type},       {"status", now_is},      {"reason", reason},
              {"message", message}, {"lastUpdateTime", now}, {"lastTransitionTime", now}};
  for (const Json& old : before) {
    if (old.value("type", "") != type) continue;
    if (old.value("status", "") != now_is) continue;
    out["lastTransitionTime"] = old.value("lastTransitionTime", now);
    if (old.value("reason", "") == reason && old.value("message", "") == message) {
      out["lastUpdateTime"] = old.value("lastUpdateTime", now);
    }
  }
  return out;
}

}  // namespace

// The set of the present template, made when it is missing; with the newest revision number.
Object Workloads::ensure_replica_set(const Json& deployment, const std::vector<Object>& sets) {
  const Json& pod_template = at_path(deployment, {"spec", "template"});
  std::string hash = template_hash(pod_template);
  std::int64_t newest = 0;
  Object current;
  for (const Object& set : sets) {
    if (hash_of(*set) == hash) current = set;
    newest = std::max(newest, revision_of(*set));
  }
  std::string ns = namespace_of(deployment);
  if (current != nullptr) {
    bool others_newer = std::any_of(sets.begin(), sets.end(), [&](const Object& set) {
      return set != current && revision_of(*set) >= revision_of(*current);
    });
    if (!others_newer) return current;
    auto changed = store_.modify({"replicasets.apps", ns, name_of(*current)}, [&](Json& object) {
      object["metadata"]["annotations"][kRevision] = std::to_string(newest + 1);
      return true;
    });
    return changed ? *changed : current;
  }
  Json labelled = pod_template;
  labelled["metadata"]["labels"]["pod-template-hash"] = hash;
  Json selector = at_path(deployment, {"spec", "selector"});
  selector["matchLabels"]["pod-template-hash"] = hash;
  Json set = {{"apiVersion", "apps/v1"},
              {"kind", "ReplicaSet"},
              {"metadata",
               {{"name", name_of(deployment) + "-" + hash},
                {"namespace", ns},
                {"labels", labelled["metadata"]["labels"]},
                {"annotations", {{kRevision, std::to_string(newest + 1)}}},
                {"ownerReferences", Json::array({Json{{"apiVersion", "apps/v1"},
                                                      {"kind", "Deployment"},
                                                      {"name", name_of(deployment)},
                                                      {"uid", uid_of(deployment)},
                                                      {"controller", true},
                                                      {"blockOwnerDeletion", true}}})}}},
              {"spec", {{"replicas", 0}, {"selector", selector}, {"template", labelled}}},
              {"status", {{"replicas", 0}}}};
  auto created = store_.create("replicasets.apps", std::move(set));
  return created ? *created : nullptr;
}

void Workloads::scale(const Json& set, int replicas) {
  int before = spec_replicas(set);
  if (before == replicas) return;
  (void)store_.modify({"replicasets.apps", namespace_of(set), name_of(set)}, [&](Json& object) {
    object["spec"]["replicas"] = replicas;
    object["metadata"]["generation"] = object["metadata"].value("generation", 1) + 1;
    return true;
  });
  Object owner = store_.get({"deployments.apps", namespace_of(set),
                             at_path(set, {"metadata", "ownerReferences"})[0].value("name", "")});
  if (owner == nullptr) return;
  record_event(store_, *owner, "Normal", "ScalingReplicaSet",
               fmt::format("Scaled {} replica set {} from {} to {}",
                           replicas > before ? "up" : "down", name_of(set), before, replicas),
               "deployment-controller");
}

void Workloads::deployment(const Key& key, const Json& deployment) {
  auto sets = owned("replicasets.apps", deployment);
  bool paused = at_path(deployment, {"spec", "paused"}) == Json(true);
  Object current;
  if (paused && !sets.empty()) {
    current = *std::max_element(sets.begin(), sets.end(), [](const Object& a, const Object& b) {
      return revision_of(*a) < revision_of(*b);
    });
  } else {
    current = ensure_replica_set(deployment, sets);
  }
  if (current == nullptr) return;
  std::vector<Object> old;
  for (const Object& set : sets) {
    if (uid_of(*set) != uid_of(*current)) old.push_back(set);
  }
  std::sort(old.begin(), old.end(),
            [](const Object& a, const Object& b) { return revision_of(*a) < revision_of(*b); });

  Rollout rollout;
  rollout.desired = spec_replicas(deployment);
  const Json& rolling = at_path(deployment, {"spec", "strategy", "rollingUpdate"});
  bool recreate = text_at(deployment, {"spec", "strategy", "type"}) == "Recreate";
  rollout.max_surge = int_or_percent(at_path(rolling, {"maxSurge"}), rollout.desired, true,
                                     std::max(1, (rollout.desired + 3) / 4));
  rollout.max_unavailable = int_or_percent(at_path(rolling, {"maxUnavailable"}), rollout.desired,
                                           false, rollout.desired / 4);
  if (rollout.max_surge == 0 && rollout.max_unavailable == 0) rollout.max_unavailable = 1;
  rollout.current = {spec_replicas(*current), status_number(*current, "availableReplicas")};
  int old_pods = 0;
  for (const Object& set : old) {
    rollout.old_sets.push_back({spec_replicas(*set), status_number(*set, "availableReplicas")});
    old_pods += std::max(spec_replicas(*set), status_number(*set, "replicas"));
  }
  RolloutStep step = plan_rollout(rollout);
  if (recreate) {
    std::fill(step.old_sets.begin(), step.old_sets.end(), 0);
    step.current = old_pods > 0 ? rollout.current.replicas : rollout.desired;
  }
  scale(*current, step.current);
  for (std::size_t i = 0; i < old.size(); ++i) scale(*old[i], step.old_sets[i]);

  const Json& limit = at_path(deployment, {"spec", "revisionHistoryLimit"});
  std::size_t keep = limit.is_number_unsigned() ? limit.get<std::size_t>() : 10;
  for (std::size_t i = 0; i + keep < old.size(); ++i) {
    if (spec_replicas(*old[i]) == 0 && status_number(*old[i], "replicas") == 0) {
      (void)store_.remove({"replicasets.apps", key.ns, name_of(*old[i])});
    }
  }
  deployment_status(key, deployment, store_.get({"replicasets.apps", key.ns, name_of(*current)}),
                    old);
}

void Workloads::deployment_status(const Key& key, const Json& deployment, const Object& current,
                                  const std::vector<Object>& old) {
  if (current == nullptr) return;
  int desired = spec_replicas(deployment);
  int total = status_number(*current, "replicas");
  int ready = status_number(*current, "readyReplicas");
  int available = status_number(*current, "availableReplicas");
  int updated = total;
  bool progressing_done =
      updated >= desired && status_number(*current, "availableReplicas") >= desired;
  for (const Object& set : old) {
    total += status_number(*set, "replicas");
    ready += status_number(*set, "readyReplicas");
    available += status_number(*set, "availableReplicas");
  }
  progressing_done = progressing_done && total == updated;
  std::string now = rfc3339(store_.wall());
  const Json& before = at_path(deployment, {"status", "conditions"});
  const Json& rolling = at_path(deployment, {"spec", "strategy", "rollingUpdate"});
  int may_miss = int_or_percent(at_path(rolling, {"maxUnavailable"}), desired, false, desired / 4);
  bool enough = available >= desired - may_miss;
  Json conditions = Json::array();
  conditions.push_back(condition(before, "Available", enough,
                                 enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                                 enough ? "Deployment has minimum availability."
                                        : "Deployment does not have minimum availability.",
                                 now));
  conditions.push_back(
      condition(before, "Progressing", true,
                progressing_done ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
                fmt::format("ReplicaSet \"{}\" {}", name_of(*current),
                            progressing_done ? "has successfully progressed." : "is progressing."),
                now));
  Json status = {{"observedGeneration", at_path(deployment, {"metadata", "generation"})},
                 {"conditions", conditions}};
  auto put = [&status](const char* name, int value) {
    if (value > 0) status[name] = value;
  };
  put("replicas", total);
  put("updatedReplicas", updated);
  put("readyReplicas", ready);
  put("availableReplicas", available);
  put("unavailableReplicas", std::max(0, std::max(desired, total) - available));
  std::string revision = text_at(*current, {"metadata", "annotations", kRevision});
  (void)store_.modify(key, [&](Json& object) {
    bool same = object.contains("status") && object["status"] == status &&
                text_at(object, {"metadata", "annotations", kRevision}) == revision;
    if (same) return false;
    object["status"] = status;
    object["metadata"]["annotations"][kRevision] = revision;
    return true;
  });
}

}  // namespace mizzen::local
