#include "inject/parts.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "object/yaml.h"

namespace mizzen::inject {
namespace {

Json field_env(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

Json resource_env(const char* name, const char* resource) {
  return {{"name", name},
          {"valueFrom", {{"resourceFieldRef", {{"resource", resource}, {"divisor", "1"}}}}}};
}

Json value_env(const char* name, std::string value) {
  return {{"name", name}, {"value", std::move(value)}};
}

Json mount(const char* path, const char* volume) { return {{"mountPath", path}, {"name", volume}}; }

// What the pod's own containers say of their ports, for the proxy's metadata.
Json pod_ports(const Json& spec) {
  Json ports = Json::array();
  for (const Json& container : spec.value("containers", Json::array())) {
    if (!container.is_object() || container.value("name", "") == "istio-proxy") continue;
    for (const Json& port : container.value("ports", Json::array())) ports.push_back(port);
  }
  return ports;
}

std::string app_containers(const Json& spec) {
  std::vector<std::string> names;
  for (const Json& container : spec.value("containers", Json::array())) {
    if (container.is_object() && container.value("name", "") != "istio-proxy") {
      names.push_back(container.value("name", ""));
    }
  }
  return join(names, ",");
}

// The application's own prometheus.io annotations, which the agent merges into its own page.
Json prometheus_annotations(const Json& pod) {
  Json out = Json::object();
  for (const char* key : {"scrape", "path", "port"}) {
    const std::string value = annotation(pod, fmt::format("prometheus.io/{}", key), "");
    if (!value.empty()) out[key] = value;
  }
  return out;
}

std::string owner_path(const PodFacts& facts) {
  const std::string kind = lower(facts.owner_kind.empty() ? "pod" : facts.owner_kind) + "s";
  const bool core = facts.owner_kind.empty() || facts.owner_kind == "ReplicationController";
  const bool batch = facts.owner_kind == "Job" || facts.owner_kind == "CronJob";
  return fmt::format("kubernetes://apis/{}/namespaces/{}/{}/{}",
                     core ? "v1" : (batch ? "batch/v1" : "apps/v1"), facts.name_space, kind,
                     facts.owner_name);
}

// proxyMetadata are variables of the proxy; they go before our own of the same name.
void add_proxy_metadata(const Json& proxy_config, Json* env) {
  const auto metadata = proxy_config.find("proxyMetadata");
  if (metadata == proxy_config.end() || !metadata->is_object()) return;
  for (const auto& [name, value] : metadata->items()) {
    if (!value.is_string()) continue;
    for (auto own = env->begin(); own != env->end();) {
      own = own->value("name", "") == name ? env->erase(own) : std::next(own);
    }
    env->push_back(value_env(name.c_str(), value.get<std::string>()));
  }
}

}  // namespace

std::string PodFacts::proxy_metadata(const char* name) const {
  const auto metadata = proxy_config.find("proxyMetadata");
  if (metadata == proxy_config.end() || !metadata->is_object()) return {};
  return metadata->value(name, "");
}

Result<Json> annotated_proxy_config(const Json& pod) {
  constexpr std::string_view kName = "proxy.istio.io/config";
  const std::string text = annotation(pod, kName, "");
  const auto documents = object::parse_yaml(text);
  if (!documents) {
    return std::unexpected(documents.error().in(fmt::format("metadata.annotations[{}]", kName)));
  }
  if (documents->empty() || documents->front().value.is_null()) return Json::object();
  if (!documents->front().value.is_object()) {
    return fail(Code::kInvalid,
                fmt::format("metadata.annotations[{}]: must be fields of a ProxyConfig, such as "
                            "\"concurrency: 2\"",
                            kName));
  }
  return documents->front().value;
}

std::string annotation(const Json& pod, std::string_view name, std::string_view otherwise) {
  const auto meta = pod.find("metadata");
  if (meta == pod.end() || !meta->is_object()) return std::string(otherwise);
  const auto annotations = meta->find("annotations");
  if (annotations == meta->end() || !annotations->is_object()) return std::string(otherwise);
  const auto found = annotations->find(name);
  if (found == annotations->end() || !found->is_string()) return std::string(otherwise);
  return found->get<std::string>();
}

Json proxy_environment(const Json& pod, const PodFacts& facts, const Json& app_probers) {
  const Settings& settings = facts.settings;
  Json env = Json::array();
  env.push_back(value_env("PILOT_CERT_PROVIDER", "istiod"));
  env.push_back(value_env("CA_ADDR", settings.discovery_address));
  env.push_back(field_env("POD_NAME", "metadata.name"));
  env.push_back(field_env("POD_NAMESPACE", "metadata.namespace"));
  env.push_back(field_env("INSTANCE_IP", "status.podIP"));
  env.push_back(field_env("SERVICE_ACCOUNT", "spec.serviceAccountName"));
  env.push_back(field_env("HOST_IP", "status.hostIP"));
  env.push_back(resource_env("ISTIO_CPU_LIMIT", "limits.cpu"));
  env.push_back(value_env("PROXY_CONFIG", facts.proxy_config.dump() + "\n"));
  const Json& spec = pod.at("spec");
  env.push_back(value_env("ISTIO_META_POD_PORTS", pod_ports(spec).dump()));
  env.push_back(value_env("ISTIO_META_APP_CONTAINERS", app_containers(spec)));
  env.push_back(value_env("ISTIO_META_CLUSTER_ID", settings.cluster_id));
  env.push_back(field_env("ISTIO_META_NODE_NAME", "spec.nodeName"));
  env.push_back(value_env("ISTIO_META_INTERCEPTION_MODE",
                          annotation(pod, "sidecar.istio.io/interceptionMode", "REDIRECT")));
  if (!facts.owner_name.empty()) {
    env.push_back(value_env("ISTIO_META_WORKLOAD_NAME", facts.owner_name));
    env.push_back(value_env("ISTIO_META_OWNER", owner_path(facts)));
  }
  env.push_back(value_env("ISTIO_META_MESH_ID", settings.mesh_id));
  env.push_back(value_env("TRUST_DOMAIN", settings.trust_domain));
  const Json prometheus = prometheus_annotations(pod);
  if (!prometheus.empty())
    env.push_back(value_env("ISTIO_PROMETHEUS_ANNOTATIONS", prometheus.dump()));
  if (app_probers.is_object() && !app_probers.empty()) {
    env.push_back(value_env("ISTIO_KUBE_APP_PROBERS", app_probers.dump()));
  }
  add_proxy_metadata(facts.proxy_config, &env);
  return env;
}

Json proxy_mounts() {
  return Json::array(
      {mount("/var/run/secrets/workload-spiffe-uds", "workload-socket"),
       mount("/var/run/secrets/credential-uds", "credential-socket"),
       mount("/var/run/secrets/workload-spiffe-credentials", "workload-certs"),
       mount("/var/run/secrets/istio", "istiod-ca-cert"),
       mount("/var/lib/istio/data", "istio-data"), mount("/etc/istio/proxy", "istio-envoy"),
       mount("/var/run/secrets/tokens", "istio-token"), mount("/etc/istio/pod", "istio-podinfo")});
}

Json proxy_volumes() {
  const auto empty_dir = [](const char* name) {
    return Json{{"name", name}, {"emptyDir", Json::object()}};
  };
  const auto pod_field = [](const char* path, const char* field) {
    return Json{{"path", path}, {"fieldRef", {{"fieldPath", field}}}};
  };
  const Json token = {
      {"serviceAccountToken",
       {{"path", "istio-token"}, {"expirationSeconds", 43200}, {"audience", "istio-ca"}}}};
  return Json::array(
      {empty_dir("workload-socket"),
       empty_dir("credential-socket"),
       empty_dir("workload-certs"),
       {{"name", "istio-envoy"}, {"emptyDir", {{"medium", "Memory"}}}},
       empty_dir("istio-data"),
       {{"name", "istio-podinfo"},
        {"downwardAPI",
         {{"items", Json::array({pod_field("labels", "metadata.labels"),
                                 pod_field("annotations", "metadata.annotations")})}}}},
       {{"name", "istio-token"}, {"projected", {{"sources", Json::array({token})}}}},
       {{"name", "istiod-ca-cert"}, {"configMap", {{"name", "istio-ca-root-cert"}}}}});
}

Json proxy_resources(const Json& pod) {
  const auto value = [&](const char* name, const char* otherwise) {
    return annotation(pod, fmt::format("sidecar.istio.io/{}", name), otherwise);
  };
  return {
      {"requests", {{"cpu", value("proxyCPU", "10m")}, {"memory", value("proxyMemory", "40Mi")}}},
      {"limits",
       {{"cpu", value("proxyCPULimit", "2")}, {"memory", value("proxyMemoryLimit", "1Gi")}}}};
}

}  // namespace mizzen::inject
