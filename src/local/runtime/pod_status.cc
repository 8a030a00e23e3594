// What the API tells of a pod: phase, conditions and containers, as the kubelet writes them; and
// events.
#include <fmt/core.h>

#include "base/log.h"
#include "base/strings.h"
#include "local/runtime/pod.h"

namespace mizzen::local {
namespace {

// Puts a condition into `conditions`, keeping its transition time while its status stays.
void put_condition(Json& conditions, const Json& before, const std::string& type, bool status,
                   const std::string& now, const std::string& reason = {},
                   const std::string& message = {}) {
  const std::string now_is = status ? "True" : "False";
  Json condition = {
      {"type", type}, {"status", now_is}, {"lastProbeTime", nullptr}, {"lastTransitionTime", now}};
  if (!reason.empty()) condition["reason"] = reason;
  if (!message.empty()) condition["message"] = message;
  for (const Json& old : before) {
    if (old.value("type", "") == type && old.value("status", "") == now_is) {
      condition["lastTransitionTime"] = old.value("lastTransitionTime", now);
    }
  }
  conditions.push_back(std::move(condition));
}

// BestEffort without any request or limit, Guaranteed when limits cover all; Burstable otherwise.
std::string qos_class(const Json& pod) {
  bool any = false;
  bool all = true;
  for (const Json& container : at_path(pod, {"spec", "containers"})) {
    const Json& limits = at_path(container, {"resources", "limits"});
    const Json& requests = at_path(container, {"resources", "requests"});
    any = any || (limits.is_object() && !limits.empty()) ||
          (requests.is_object() && !requests.empty());
    bool covered = limits.is_object() && limits.contains("cpu") && limits.contains("memory");
    bool same = !requests.is_object() || requests == limits;
    all = all && covered && same;
  }
  return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

}  // namespace

void record_event(Store& store, const Json& object, std::string_view type, std::string_view reason,
                  const std::string& message, std::string_view component,
                  const std::string& field_path) {
  std::string ns = namespace_of(object);
  std::string event_ns = ns.empty() ? "default" : ns;
  std::string now = rfc3339(store.wall());
  std::uint64_t hash =
      fnv1a(fmt::format("{}/{}/{}/{}/{}", uid_of(object), type, reason, message, field_path));
  std::string name = fmt::format("{}.{:016x}", name_of(object), hash);
  Key key{"events", event_ns, name};
  auto counted = store.modify(key, [&](Json& event) {
    event["count"] = event.value("count", 1) + 1;
    event["lastTimestamp"] = now;
    return true;
  });
  if (counted) return;
  Json involved = {{"apiVersion", object.value("apiVersion", "v1")},
                   {"kind", object.value("kind", "Pod")},
                   {"name", name_of(object)},
                   {"namespace", ns},
                   {"uid", uid_of(object)}};
  if (!field_path.empty()) involved["fieldPath"] = field_path;
  Json event = {{"apiVersion", "v1"},
                {"kind", "Event"},
                {"metadata", {{"name", name}, {"namespace", event_ns}}},
                {"involvedObject", involved},
                {"type", type},
                {"reason", reason},
                {"message", message},
                {"source", {{"component", component}, {"host", "mizzen"}}},
                {"reportingComponent", component},
                {"reportingInstance", "mizzen"},
                {"firstTimestamp", now},
                {"lastTimestamp", now},
                {"count", 1}};
  (void)store.create("events", std::move(event));
}

std::string Pod::phase() const {
  if (!failed_reason_.empty()) return "Failed";
  bool any_started = false;
  bool all_finished = !main_.empty();
  bool any_failed = false;
  for (const auto& container : main_) {
    any_started = any_started || container->ever_started();
    all_finished = all_finished && container->finished();
    any_failed = any_failed || (container->finished() && container->exit_code() != 0);
  }
  for (const auto& container : init_) {
    if (life_ == Life::kEnded && !container->is_sidecar() && container->finished() &&
        container->exit_code() != 0)
      return "Failed";
  }
  if (!any_started) return "Pending";
  if (all_finished && life_ == Life::kEnded) return any_failed ? "Failed" : "Succeeded";
  return "Running";
}

Json Pod::status() const {
  const Json& before = at_path(*pod_, {"status"});
  std::string now = rfc3339(node_.loop->wall());
  std::string start = text_at(before, {"startTime"});
  Json status = {{"phase", phase()},
                 {"hostIP", ipv4_text(kNodeAddress)},
                 {"hostIPs", Json::array({{{"ip", ipv4_text(kNodeAddress)}}})},
                 {"startTime", start.empty() ? now : start},
                 {"qosClass", qos_class(*pod_)}};
  if (network_.address != 0) {
    status["podIP"] = ipv4_text(network_.address);
    status["podIPs"] = Json::array({{{"ip", ipv4_text(network_.address)}}});
  }
  if (!failed_reason_.empty()) {
    status["reason"] = failed_reason_;
    status["message"] = failed_message_;
  }
  bool initialized = true;
  std::string uninitialized;
  for (const auto& container : init_) {
    bool done = container->is_sidecar() ? container->started() : container->ready();
    if (!done) uninitialized += (uninitialized.empty() ? "" : " ") + container->name();
    initialized = initialized && done;
  }
  bool ended = status["phase"] == "Succeeded" || status["phase"] == "Failed";
  bool ready = initialized && !ended;
  std::string unready;
  auto add = [&](const std::vector<std::unique_ptr<Container>>& list, const char* member,
                 bool sidecars_only) {
    for (const auto& container : list) {
      status[member].push_back(container->status());
      if ((sidecars_only && !container->is_sidecar()) || container->ready()) continue;
      ready = false;
      unready += (unready.empty() ? "" : " ") + container->name();
    }
  };
  add(init_, "initContainerStatuses", true);
  add(main_, "containerStatuses", false);
  Json conditions = Json::array();
  const Json& old = at_path(before, {"conditions"});
  put_condition(conditions, old, "PodReadyToStartContainers", network_.address != 0, now);
  put_condition(
      conditions, old, "Initialized", initialized, now,
      initialized ? "" : "ContainersNotInitialized",
      initialized ? "" : fmt::format("containers with incomplete status: [{}]", uninitialized));
  std::string reason = ready                            ? ""
                       : status["phase"] == "Succeeded" ? "PodCompleted"
                                                        : "ContainersNotReady";
  std::string message =
      ready || ended ? "" : fmt::format("containers with unready status: [{}]", unready);
  put_condition(conditions, old, "Ready", ready, now, reason, message);
  put_condition(conditions, old, "ContainersReady", ready, now, reason, message);
  put_condition(conditions, old, "PodScheduled", true, now);
  status["conditions"] = conditions;
  return status;
}

void Pod::write_status() {
  if (object_gone_) return;
  Json next = status();
  auto written = node_.store->modify(key_, [&](Json& object) {
    if (uid_of(object) != uid_ || object.value("status", Json()) == next) return false;
    object["status"] = next;
    return true;
  });
  Json merged = *pod_;
  merged["status"] = std::move(next);
  pod_ = std::make_shared<const Json>(std::move(merged));
  if (!written && written.error().code != Code::kNotFound) {
    log::warning("runtime", "status of {}: {}", key_.to_string(), written.error().message);
  }
}

}  // namespace mizzen::local
