#include "inject/inject.h"

#include <fmt/core.h>

#include <array>
#include <nlohmann/json.hpp>

#include "inject/parts.h"

namespace mizzen::inject {
namespace {

// Tolerant look-ups: null when something on the way is missing or of another type.
const Json& at(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_at(const Json& object, std::string_view key) {
  const Json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// "true"/"false" of the label or annotation, empty when it is not there.
std::string own_choice(const Json& pod) {
  const Json& meta = at(pod, "metadata");
  std::string label = text_at(at(meta, "labels"), "sidecar.istio.io/inject");
  if (!label.empty()) return label;
  return text_at(at(meta, "annotations"), "sidecar.istio.io/inject");
}

bool has_proxy(const Json& pod) {
  if (!text_at(at(at(pod, "metadata"), "annotations"), "sidecar.istio.io/status").empty()) {
    return true;
  }
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : at(at(pod, "spec"), list)) {
      if (text_at(container, "name") == "istio-proxy" && text_at(container, "image") != "auto") {
        return true;
      }
    }
  }
  return false;
}

bool is_true(std::string_view text) {
  return text == "true" || text == "True" || text == "TRUE" || text == "y" || text == "yes" ||
         text == "on" || text == "1";
}

struct PodTemplateKind {
  std::string_view kind;
  std::array<std::string_view, 4> path;  // to the object that holds metadata and spec
};
constexpr PodTemplateKind kTemplates[] = {
    {"Pod", {}},
    {"Deployment", {"spec", "template"}},
    {"StatefulSet", {"spec", "template"}},
    {"DaemonSet", {"spec", "template"}},
    {"ReplicaSet", {"spec", "template"}},
    {"ReplicationController", {"spec", "template"}},
    {"Job", {"spec", "template"}},
    {"CronJob", {"spec", "jobTemplate", "spec", "template"}},
};

// The pod (template) inside a workload's document; null when the kind has none.
Json* pod_of(Json* document) {
  const std::string kind = text_at(*document, "kind");
  for (const PodTemplateKind& known : kTemplates) {
    if (known.kind != kind) continue;
    Json* place = document;
    for (const std::string_view key : known.path) {
      if (key.empty()) break;
      if (!at(*place, key).is_object()) return nullptr;
      place = &(*place)[std::string(key)];
    }
    return place;
  }
  return nullptr;
}

}  // namespace

Decision decide(const Json& pod, const Json& namespace_labels, const Settings& settings) {
  if (has_proxy(pod)) return Decision::kAlready;
  const Json& host_network = at(at(pod, "spec"), "hostNetwork");
  if (host_network.is_boolean() && host_network.get<bool>()) return Decision::kHostNetwork;
  const std::string own = own_choice(pod);
  if (!own.empty()) return is_true(own) ? Decision::kInject : Decision::kOptedOut;
  const std::string label = text_at(namespace_labels, "istio-injection");
  if (label == "enabled") return Decision::kInject;
  if (label == "disabled") return Decision::kOptedOut;
  const std::string revision = text_at(namespace_labels, "istio.io/rev");
  if (!revision.empty() && revision == settings.revision) return Decision::kInject;
  const std::string pod_revision = text_at(at(at(pod, "metadata"), "labels"), "istio.io/rev");
  return pod_revision == settings.revision ? Decision::kInject : Decision::kOptedOut;
}

Result<Json> inject_pod(const Json& pod, const std::string& name_space,
                        const std::string& owner_kind, const std::string& owner_name,
                        const Settings& settings) {
  if (!at(pod, "spec").is_object()) {
    return fail(Code::kInvalid, "spec: missing; a pod needs its containers there");
  }
  if (!at(at(pod, "spec"), "containers").is_array()) {
    return fail(Code::kInvalid, "spec.containers: must be a list of containers");
  }
  const Json& meta = at(pod, "metadata");
  const std::string templates = text_at(at(meta, "annotations"), "inject.istio.io/templates");
  MIZZEN_TRY(Json proxy_config, annotated_proxy_config(pod));
  if (settings.proxy_config) {
    proxy_config = settings.proxy_config(name_space, at(meta, "labels"), proxy_config);
  }
  const PodFacts facts{name_space, owner_kind, owner_name, settings, proxy_config};
  if (!templates.empty() && templates != "sidecar" && templates != "gateway") {
    return fail(Code::kInvalid,
                fmt::format("metadata.annotations[inject.istio.io/templates]: unknown template "
                            "\"{}\"; write \"sidecar\" or \"gateway\"",
                            templates));
  }
  // A member of the wrong type deep inside: the JSON library throws, which ends here.
  try {
    return templates == "gateway" ? inject_gateway(pod, facts) : inject_sidecar(pod, facts);
  } catch (const Json::exception& error) {
    return fail(Code::kInvalid, fmt::format("the pod is malformed: {}", error.what()));
  }
}

Result<Json> inject_document(const Json& document, const Settings& settings) {
  Json out = document;
  if (text_at(document, "kind") == "List" && at(document, "items").is_array()) {
    for (Json& item : out["items"]) {
      MIZZEN_TRY(item, inject_document(Json(item), settings));
    }
    return out;
  }
  Json* pod = pod_of(&out);
  if (pod == nullptr) return out;
  // A document stands for its wish to be injected: only the pod's own words keep it out.
  static const Json kEnabled = {{"istio-injection", "enabled"}};
  if (decide(*pod, kEnabled, settings) != Decision::kInject) return out;
  const Json& meta = at(document, "metadata");
  std::string name_space = text_at(meta, "namespace");
  if (name_space.empty()) name_space = "default";
  const std::string kind = text_at(document, "kind");
  Result<Json> injected =
      inject_pod(*pod, name_space, kind == "Pod" ? "" : kind, text_at(meta, "name"), settings);
  if (!injected) {
    return std::unexpected(
        injected.error().in(fmt::format("{} {}/{}", kind, name_space, text_at(meta, "name"))));
  }
  *pod = std::move(*injected);
  return out;
}

Json json_patch(const Json& before, const Json& after) { return Json::diff(before, after); }

}  // namespace mizzen::inject
