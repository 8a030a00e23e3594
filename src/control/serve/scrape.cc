#include "control/serve/scrape.h"

#include <fmt/core.h>

#include "control/mesh/ingest.h"
#include "object/meta.h"

namespace mizzen::control {

using object::Json;

namespace {

constexpr std::string_view kAnnotations = "prometheus.io/";

// A name as Prometheus allows it: letters, digits and underscores.
std::string label_name(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
  }
  return out;
}

std::string authority(const std::string& ip, std::string_view port) {
  const std::string host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
  return port.empty() ? host : fmt::format("{}:{}", host, port);
}

Json addresses(const Json& pod, const std::string& ip, const std::string& port) {
  Json out = Json::array();
  if (!port.empty()) return out.push_back(authority(ip, port)), out;
  if (const Json* containers = object::find(pod, {"spec", "containers"})) {
    for (const Json& container : *containers) {
      const Json* ports = object::find(container, {"ports"});
      if (ports == nullptr || !ports->is_array()) continue;
      for (const Json& one : *ports) {
        if (object::string_at(one, {"protocol"}, "TCP") != "TCP") continue;
        out.push_back(authority(ip, std::to_string(object::int_at(one, {"containerPort"}))));
      }
    }
  }
  if (out.empty()) out.push_back(authority(ip, ""));
  return out;
}

std::string readiness(const Json& pod) {
  const Json* conditions = object::find(pod, {"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return "unknown";
  for (const Json& condition : *conditions) {
    if (object::string_at(condition, {"type"}) != "Ready") continue;
    const std::string status = object::string_at(condition, {"status"});
    return status == "True" ? "true" : status == "False" ? "false" : "unknown";
  }
  return "unknown";
}

// What Kubernetes discovery of role `pod` would say.
Json meta_labels(const Json& pod) {
  const object::Meta meta = object::meta_of(pod);
  Json out = {{"__meta_kubernetes_namespace", meta.ns},
              {"__meta_kubernetes_pod_name", meta.name},
              {"__meta_kubernetes_pod_uid", object::uid_of(pod)},
              {"__meta_kubernetes_pod_ready", readiness(pod)}};
  const auto text = [&](const char* label, std::initializer_list<std::string_view> path) {
    out[fmt::format("__meta_kubernetes_pod_{}", label)] = object::string_at(pod, path);
  };
  text("ip", {"status", "podIP"});
  text("host_ip", {"status", "hostIP"});
  text("phase", {"status", "phase"});
  text("node_name", {"spec", "nodeName"});
  if (const object::OwnerReference* owner = meta.controller()) {
    out["__meta_kubernetes_pod_controller_kind"] = owner->kind;
    out["__meta_kubernetes_pod_controller_name"] = owner->name;
  }
  for (const auto& [key, value] : read_labels(object::find(pod, {"metadata", "labels"}))) {
    out["__meta_kubernetes_pod_label_" + label_name(key)] = value;
    out["__meta_kubernetes_pod_labelpresent_" + label_name(key)] = "true";
  }
  // The other annotations are long, and of no use to a scraper.
  for (const auto& [key, value] : read_labels(object::find(pod, {"metadata", "annotations"}))) {
    if (!key.starts_with(kAnnotations)) continue;
    out["__meta_kubernetes_pod_annotation_" + label_name(key)] = value;
    out["__meta_kubernetes_pod_annotationpresent_" + label_name(key)] = "true";
  }
  return out;
}

std::string annotation(const Json& pod, std::string_view key, std::string_view otherwise = "") {
  return object::annotation_of(pod, fmt::format("{}{}", kAnnotations, key))
      .value_or(std::string(otherwise));
}

}  // namespace

void ScrapeTargets::apply(const Json& pod) {
  if (object::string_at(pod, {"kind"}) != "Pod") return;
  const std::string ip = object::string_at(pod, {"status", "podIP"});
  const bool wanted = annotation(pod, "scrape") == "true" && !ip.empty() &&
                      object::string_at(pod, {"status", "phase"}) == "Running";
  if (!wanted) {
    entries_.erase(read_key(pod));
    return;
  }
  Json labels = meta_labels(pod);
  labels["__metrics_path__"] = annotation(pod, "path", "/metrics");
  labels["__scheme__"] = annotation(pod, "scheme", "http");
  labels["namespace"] = object::namespace_of(pod);
  labels["pod"] = object::name_of(pod);
  if (auto app = object::label_of(pod, "app")) labels["app"] = *app;
  entries_[read_key(pod)] = {{"targets", addresses(pod, ip, annotation(pod, "port"))},
                             {"labels", std::move(labels)}};
}

void ScrapeTargets::remove(const Json& object) {
  if (object::string_at(object, {"kind"}) == "Pod") entries_.erase(read_key(object));
}

Json ScrapeTargets::targets() const {
  Json out = Json::array();
  for (const auto& [key, entry] : entries_) out.push_back(entry);
  return out;
}

bool ScrapeTargets::handle(const std::shared_ptr<net::Exchange>& exchange) const {
  if (exchange->path() != kPath) return false;
  exchange->respond(200, {{"content-type", "application/json"}},
                    targets().dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return true;
}

}  // namespace mizzen::control
