#include "local/controllers/workloads.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/strings.h"
#include "local/controllers/rollout.h"
#include "local/runtime/pod.h"
#include "object/meta.h"

namespace mizzen::local {
namespace {

struct OwnerKind {
  const char* kind;
  const char* resource;
  const char* api_version;
};
constexpr OwnerKind kOwners[] = {{"Deployment", "deployments.apps", "apps/v1"},
                                 {"ReplicaSet", "replicasets.apps", "apps/v1"},
                                 {"StatefulSet", "statefulsets.apps", "apps/v1"},
                                 {"DaemonSet", "daemonsets.apps", "apps/v1"},
                                 {"Job", "jobs.batch", "batch/v1"}};

const OwnerKind* owner_kind(std::string_view kind) {
  for (const OwnerKind& one : kOwners) {
    if (kind == one.kind) return &one;
  }
  return nullptr;
}

const OwnerKind* owner_resource(std::string_view resource) {
  for (const OwnerKind& one : kOwners) {
    if (resource == one.resource) return &one;
  }
  return nullptr;
}

const Json& controller_of(const Json& object) {
  static const Json kNone;
  for (const Json& reference : at_path(object, {"metadata", "ownerReferences"})) {
    if (reference.value("controller", false)) return reference;
  }
  return kNone;
}

int replicas_of(const Json& object) {
  const Json& value = at_path(object, {"spec", "replicas"});
  return value.is_number_integer() ? value.get<int>() : 1;
}

Json owner_reference(const Json& owner, const OwnerKind& kind) {
  return {{"apiVersion", kind.api_version}, {"kind", kind.kind},  {"name", name_of(owner)},
          {"uid", uid_of(owner)},           {"controller", true}, {"blockOwnerDeletion", true}};
}

}  // namespace

Workloads::Workloads(io::Loop& loop, Api& api)
    : loop_(loop),
      api_(api),
      store_(api.store()),
      queue_(loop, [this](const Key& key) { reconcile(key); }) {}

Status Workloads::start() {
  for (const OwnerKind& kind : kOwners) {
    std::string resource = kind.resource;
    MIZZEN_TRY(auto watch, store_.watch(resource, {}, [this, resource](const Event& event) {
      workload_event(resource, event);
    }));
    watches_.push_back(std::move(watch));
  }
  MIZZEN_TRY(auto pods, store_.watch("pods", {}, [this](const Event& event) { pod_event(event); }));
  watches_.push_back(std::move(pods));
  return {};
}

void Workloads::workload_event(const std::string& resource, const Event& event) {
  const Json& object = *event.object;
  if (event.type != EventType::kDeleted)
    queue_.add({resource, namespace_of(object), name_of(object)});
  enqueue_owner(object);
}

void Workloads::pod_event(const Event& event) {
  enqueue_owner(*event.object);
  // Binding is all the scheduling that one node takes.
  const Json& pod = *event.object;
  if (event.type == EventType::kDeleted || !text_at(pod, {"spec", "nodeName"}).empty()) return;
  auto bound = store_.modify({"pods", namespace_of(pod), name_of(pod)}, [](Json& object) {
    object["spec"]["nodeName"] = "mizzen";
    return true;
  });
  if (bound) {
    record_event(
        store_, pod, "Normal", "Scheduled",
        fmt::format("Successfully assigned {}/{} to mizzen", namespace_of(pod), name_of(pod)),
        "default-scheduler");
  }
}

void Workloads::enqueue_owner(const Json& object) {
  const Json& owner = controller_of(object);
  if (owner.is_null()) return;
  const OwnerKind* kind = owner_kind(owner.value("kind", ""));
  if (kind != nullptr) queue_.add({kind->resource, namespace_of(object), owner.value("name", "")});
}

std::vector<Object> Workloads::owned(const std::string& resource, const Json& owner) const {
  std::string uid = uid_of(owner);
  return store_.list(resource, namespace_of(owner), [&uid](const Json& object) {
    return text_at(controller_of(object), {"uid"}) == uid;
  });
}

void Workloads::reconcile(const Key& key) {
  Object object = store_.get(key);
  if (object == nullptr || is_deleting(*object)) return;
  if (key.resource == "deployments.apps") return deployment(key, *object);
  if (key.resource == "replicasets.apps") return replica_set(key, *object);
  if (key.resource == "statefulsets.apps") return stateful_set(key, *object);
  if (key.resource == "daemonsets.apps") return daemon_set(key, *object);
  if (key.resource == "jobs.batch") return job(key, *object);
}

int Workloads::pending(const std::string& uid) const {
  auto found = pending_.find(uid);
  return found == pending_.end() ? 0 : found->second;
}

void Workloads::create_pod(const Key& owner_key, const Json& owner, const std::string& name,
                           Json pod_template) {
  const OwnerKind& kind = *owner_resource(owner_key.resource);
  Json pod = {{"apiVersion", "v1"}, {"kind", "Pod"}};
  pod["metadata"] = pod_template.contains("metadata") ? pod_template["metadata"] : Json::object();
  pod["spec"] = pod_template["spec"];
  Json& metadata = pod["metadata"];
  metadata.erase("creationTimestamp");
  metadata["namespace"] = namespace_of(owner);
  if (name.empty()) {
    metadata.erase("name");
    metadata["generateName"] = name_of(owner) + "-";
  } else {
    metadata["name"] = name;
  }
  metadata["ownerReferences"] = Json::array({owner_reference(owner, kind)});
  std::string uid = uid_of(owner);
  ++pending_[uid];
  api_.create_object(
      std::move(pod), [this, owner_key, uid, alive = alive_](Result<Object> created) {
        if (!*alive) return;
        if (--pending_[uid] <= 0) pending_.erase(uid);
        Object owner = store_.get(owner_key);
        if (owner == nullptr) return;
        if (created) {
          retry_.erase(uid);
          record_event(store_, *owner, "Normal", "SuccessfulCreate",
                       "Created pod: " + name_of(**created), "workload-controller");
          return queue_.add(owner_key);
        }
        record_event(store_, *owner, "Warning", "FailedCreate",
                     "Error creating: " + created.error().message, "workload-controller");
        // A webhook that is not there yet will be: short at first.
        Duration& delay = retry_[uid];
        delay = delay.count() == 0 ? Duration(std::chrono::milliseconds(100))
                                   : std::min<Duration>(delay * 2, std::chrono::seconds(10));
        queue_.add_after(delay, owner_key);
      });
}

void Workloads::delete_pod(const Json& pod) {
  RemoveOptions options;
  options.uid = uid_of(pod);
  (void)store_.remove({"pods", namespace_of(pod), name_of(pod)}, options);
}

void Workloads::set_status(const Key& key, const Json& status) {
  (void)store_.modify(key, [&](Json& object) {
    if (object.contains("status") && object["status"] == status) return false;
    object["status"] = status;
    return true;
  });
}

void Workloads::replica_set(const Key& key, const Json& set) {
  auto pods = owned("pods", set);
  std::erase_if(pods, [](const Object& pod) { return !pod_is_active(*pod); });
  int wanted = replicas_of(set);
  int have = static_cast<int>(pods.size());
  int ready = static_cast<int>(
      std::count_if(pods.begin(), pods.end(), [](const Object& p) { return pod_is_ready(*p); }));
  auto waiting = retry_.find(uid_of(set));
  bool creating = pending(uid_of(set)) > 0;
  if (have < wanted && !creating) {
    (void)waiting;
    for (int i = have; i < wanted; ++i)
      create_pod(key, set, "", at_path(set, {"spec", "template"}));
  } else if (have > wanted && !creating) {
    // Those that serve nobody go first, then the youngest.
    std::stable_sort(pods.begin(), pods.end(), [](const Object& a, const Object& b) {
      bool ready_a = pod_is_ready(*a);
      bool ready_b = pod_is_ready(*b);
      if (ready_a != ready_b) return !ready_a;
      return text_at(*a, {"metadata", "creationTimestamp"}) >
             text_at(*b, {"metadata", "creationTimestamp"});
    });
    for (int i = 0; i < have - wanted; ++i) {
      delete_pod(*pods[static_cast<std::size_t>(i)]);
      record_event(store_, set, "Normal", "SuccessfulDelete",
                   "Deleted pod: " + name_of(*pods[static_cast<std::size_t>(i)]),
                   "workload-controller");
    }
  }
  Json status = {{"replicas", have},
                 {"fullyLabeledReplicas", have},
                 {"observedGeneration", at_path(set, {"metadata", "generation"})}};
  if (ready > 0) status["readyReplicas"] = status["availableReplicas"] = ready;
  set_status(key, status);
}

// The pod of one ordinal: its own host name, and volumes in place of claims.
Json Workloads::stateful_template(const Json& set, int ordinal, const std::string& name,
                                  const std::string& revision) {
  Json pod_template = at_path(set, {"spec", "template"});
  pod_template["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = name;
  pod_template["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = std::to_string(ordinal);
  pod_template["metadata"]["labels"]["controller-revision-hash"] = revision;
  pod_template["spec"]["hostname"] = name;
  if (std::string service = text_at(set, {"spec", "serviceName"}); !service.empty()) {
    pod_template["spec"]["subdomain"] = service;
  }
  for (const Json& claim : at_path(set, {"spec", "volumeClaimTemplates"})) {
    // There is no storage to claim: the data live as long as the pod, and an event says so.
    Json& volumes = pod_template["spec"]["volumes"];
    if (!volumes.is_array()) volumes = Json::array();
    volumes.push_back({{"name", name_of(claim)}, {"emptyDir", Json::object()}});
    record_event(
        store_, set, "Warning", "EphemeralClaim",
        fmt::format("volumeClaimTemplates {}: the local cluster keeps it only as long as the pod",
                    name_of(claim)),
        "workload-controller");
  }
  return pod_template;
}

void Workloads::stateful_set(const Key& key, const Json& set) {
  auto pods = owned("pods", set);
  int wanted = replicas_of(set);
  bool parallel = text_at(set, {"spec", "podManagementPolicy"}) == "Parallel";
  std::string revision = name_of(set) + "-" + template_hash(at_path(set, {"spec", "template"}));
  std::map<int, Object> by_ordinal;
  for (const Object& pod : pods) {
    std::string name = name_of(*pod);
    auto ordinal = parse_int<int>(std::string_view(name).substr(name.rfind('-') + 1));
    if (ordinal) by_ordinal[*ordinal] = pod;
  }
  int ready = 0;
  int updated = 0;
  bool blocked = pending(uid_of(set)) > 0;
  for (int i = 0; i < wanted; ++i) {
    auto found = by_ordinal.find(i);
    if (found == by_ordinal.end()) {
      if (blocked) continue;
      std::string name = fmt::format("{}-{}", name_of(set), i);
      create_pod(key, set, name, stateful_template(set, i, name, revision));
      blocked = blocked || !parallel;
      continue;
    }
    bool is_ready = pod_is_ready(*found->second);
    bool is_current =
        text_at(*found->second, {"metadata", "labels", "controller-revision-hash"}) == revision;
    ready += is_ready ? 1 : 0;
    updated += is_current ? 1 : 0;
    if (!is_ready && !parallel) blocked = true;
  }
  bool all_ready = ready == wanted;
  // From the highest ordinal down: first what is too many, then one with an old template at a time.
  for (auto it = by_ordinal.rbegin(); it != by_ordinal.rend(); ++it) {
    if (is_deleting(*it->second)) break;
    bool stale =
        text_at(*it->second, {"metadata", "labels", "controller-revision-hash"}) != revision;
    if (it->first >= wanted || (stale && all_ready)) {
      delete_pod(*it->second);
      if (!parallel) break;
    }
  }
  Json status = {{"replicas", static_cast<int>(by_ordinal.size())},
                 {"readyReplicas", ready},
                 {"availableReplicas", ready},
                 {"currentReplicas", updated},
                 {"updatedReplicas", updated},
                 {"updateRevision", revision},
                 {"collisionCount", 0},
                 {"observedGeneration", at_path(set, {"metadata", "generation"})}};
  status["currentRevision"] = updated == wanted ? Json(revision)
                              : at_path(set, {"status", "currentRevision"}).is_string()
                                  ? at_path(set, {"status", "currentRevision"})
                                  : Json(revision);
  set_status(key, status);
}

void Workloads::daemon_set(const Key& key, const Json& set) {
  auto pods = owned("pods", set);
  std::string hash = template_hash(at_path(set, {"spec", "template"}));
  std::erase_if(pods, [](const Object& pod) { return !pod_is_active(*pod); });
  int ready = 0;
  int updated = 0;
  for (const Object& pod : pods) {
    bool current = text_at(*pod, {"metadata", "labels", "controller-revision-hash"}) == hash;
    if (!current) delete_pod(*pod);
    updated += current ? 1 : 0;
    ready += pod_is_ready(*pod) ? 1 : 0;
  }
  if (pods.empty() && pending(uid_of(set)) == 0) {
    Json pod_template = at_path(set, {"spec", "template"});
    pod_template["metadata"]["labels"]["controller-revision-hash"] = hash;
    create_pod(key, set, "", pod_template);
  }
  set_status(key, {{"desiredNumberScheduled", 1},
                   {"currentNumberScheduled", static_cast<int>(pods.size())},
                   {"numberMisscheduled", 0},
                   {"numberReady", ready},
                   {"numberAvailable", ready},
                   {"updatedNumberScheduled", updated},
                   {"observedGeneration", at_path(set, {"metadata", "generation"})}});
}

// A job's pods bear its uid, which it has not before it is stored.
void Workloads::select_pods(const Key& key) {
  (void)store_.modify(key, [](Json& job) {
    Json& labels = job["spec"]["template"]["metadata"]["labels"];
    for (const char* prefix : {"", "batch.kubernetes.io/"}) {
      labels[std::string(prefix) + "job-name"] = name_of(job);
      labels[std::string(prefix) + "controller-uid"] = uid_of(job);
    }
    job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid_of(job);
    return true;
  });
}

// ttlSecondsAfterFinished.
void Workloads::expire_job(const Key& key, const Json& job, const std::string& ended) {
  const Json& ttl = at_path(job, {"spec", "ttlSecondsAfterFinished"});
  const auto since = object::parse_time(ended);
  if (!ttl.is_number_integer() || !since) return;
  const Duration left = *since + std::chrono::seconds(ttl.get<std::int64_t>()) - store_.wall();
  if (left.count() > 0) return queue_.add_after(left, key);
  (void)store_.remove(key);
}

void Workloads::job(const Key& key, const Json& job) {
  auto number = [&](const char* name, int fallback) {
    const Json& value = at_path(job, {"spec", name});
    return value.is_number_integer() ? value.get<int>() : fallback;
  };
  for (const Json& condition : at_path(job, {"status", "conditions"})) {
    std::string type = condition.value("type", "");
    if ((type == "Complete" || type == "Failed") && condition.value("status", "") == "True") {
      return expire_job(key, job, text_at(condition, {"lastTransitionTime"}));
    }
  }
  if (!at_path(job, {"spec", "selector"}).is_object()) return select_pods(key);
  int active = 0;
  int succeeded = 0;
  int failed = 0;
  for (const Object& pod : owned("pods", job)) {
    std::string phase = text_at(*pod, {"status", "phase"});
    if (phase == "Succeeded")
      ++succeeded;
    else if (phase == "Failed")
      ++failed;
    else if (!is_deleting(*pod))
      ++active;
  }
  int completions = number("completions", 1);
  int parallelism = number("parallelism", 1);
  bool out_of_tries = failed > number("backoffLimit", 6);
  std::string reason = out_of_tries ? "BackoffLimitExceeded" : "";
  if (int limit = number("activeDeadlineSeconds", 0); limit > 0 && !out_of_tries) {
    auto began = object::parse_time(text_at(job, {"status", "startTime"}));
    Duration left = began ? *began + std::chrono::seconds(limit) - store_.wall()
                          : Duration(std::chrono::seconds(limit));
    out_of_tries = left.count() <= 0;
    if (out_of_tries) reason = "DeadlineExceeded";
    if (!out_of_tries) queue_.add_after(left, key);
  }
  if (at_path(job, {"spec", "suspend"}) != Json(true) && !out_of_tries) {
    int wanted = std::min(parallelism, completions - succeeded) - active - pending(uid_of(job));
    for (int i = 0; i < wanted; ++i) {
      create_pod(key, job, "", at_path(job, {"spec", "template"}));
    }
  }
  std::string now = rfc3339(store_.wall());
  std::string start = text_at(job, {"status", "startTime"});
  Json status = {{"startTime", start.empty() ? now : start}, {"active", active}};
  if (succeeded > 0) status["succeeded"] = succeeded;
  if (failed > 0) status["failed"] = failed;
  if (succeeded >= completions || out_of_tries) {
    bool ok = succeeded >= completions;
    Json condition = {{"type", ok ? "Complete" : "Failed"},
                      {"status", "True"},
                      {"lastProbeTime", now},
                      {"lastTransitionTime", now}};
    if (!ok) {
      condition["reason"] = reason;
      for (const Object& pod : owned("pods", job)) {
        if (pod_is_active(*pod)) delete_pod(*pod);
      }
      status["active"] = 0;
    }
    status["conditions"] = Json::array({condition});
    if (ok) status["completionTime"] = now;
  }
  set_status(key, status);
}

}  // namespace mizzen::local
