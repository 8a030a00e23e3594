#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "inject/parts.h"

namespace mizzen::inject {
namespace {

std::string first_container(const Json& spec) {
  for (const Json& container : spec.value("containers", Json::array())) {
    if (container.is_object()) return container.value("name", "");
  }
  return {};
}

// An object below `parent`, made when it is not there.
Json& object_at(Json& parent, const char* key) {
  Json& child = parent[key];
  if (!child.is_object()) child = Json::object();
  return child;
}

Json& list_at(Json& parent, const char* key) {
  Json& child = parent[key];
  if (!child.is_array()) child = Json::array();
  return child;
}

std::string label(const Json& labels, const char* key) {
  const auto found = labels.find(key);
  return found == labels.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

void set_default(Json& object, const char* key, const std::string& value) {
  if (!object.contains(key) && !value.empty()) object[key] = value;
}

// The labels by which the mesh knows the pod. A gateway's own ports are plain unless its Gateway
// says otherwise: callers do not begin mutual TLS by themselves there.
void add_labels(Json& pod, const PodFacts& facts, bool sidecar) {
  Json& labels = object_at(object_at(pod, "metadata"), "labels");
  if (sidecar) set_default(labels, "security.istio.io/tlsMode", "istio");
  std::string name = label(labels, "app.kubernetes.io/name");
  if (name.empty()) name = label(labels, "app");
  if (name.empty()) name = facts.owner_name;
  if (name.empty()) name = pod["metadata"].value("name", "");
  set_default(labels, "service.istio.io/canonical-name", name);
  std::string revision = label(labels, "app.kubernetes.io/version");
  if (revision.empty()) revision = label(labels, "version");
  set_default(labels, "service.istio.io/canonical-revision",
              revision.empty() ? "latest" : revision);
}

void add_annotations(Json& pod, const PodFacts& facts, const Json& volumes, bool sidecar) {
  Json& annotations = object_at(object_at(pod, "metadata"), "annotations");
  const std::string first = first_container(pod["spec"]);
  set_default(annotations, "kubectl.kubernetes.io/default-container", first);
  set_default(annotations, "kubectl.kubernetes.io/default-logs-container", first);
  annotations["istio.io/rev"] = facts.settings.revision;
  const std::string merge = label(annotations, "prometheus.istio.io/merge-metrics");
  if (merge.empty() ? facts.settings.merge_metrics : merge != "false") {
    annotations["prometheus.io/scrape"] = "true";
    annotations["prometheus.io/port"] = "15020";
    annotations["prometheus.io/path"] = "/stats/prometheus";
  }
  Json names = Json::array();
  for (const Json& volume : volumes) names.push_back(volume.at("name"));
  // Written by hand so that the keys keep Istio's order.
  annotations["sidecar.istio.io/status"] = fmt::format(
      R"({{"initContainers":{},"containers":["istio-proxy"],"volumes":{},"imagePullSecrets":null,"revision":"{}"}})",
      sidecar ? R"(["istio-init"])" : "null", names.dump(), facts.settings.revision);
}

Json security_context(const Json& pod, bool init) {
  Json drop = {{"drop", Json::array({"ALL"})}};
  if (init) drop["add"] = Json::array({"NET_ADMIN", "NET_RAW"});
  const bool tproxy = annotation(pod, "sidecar.istio.io/interceptionMode", "") == "TPROXY";
  if (!init && tproxy) drop["add"] = Json::array({"NET_ADMIN"});
  return {
      {"allowPrivilegeEscalation", false}, {"capabilities", drop},          {"privileged", false},
      {"readOnlyRootFilesystem", !init},   {"runAsGroup", init ? 0 : 1337}, {"runAsNonRoot", !init},
      {"runAsUser", init ? 0 : 1337}};
}

// The image of the pod's own choice, else the mesh's with the wanted type behind its tag.
std::string proxy_image(const Json& pod, const PodFacts& facts) {
  std::string image = facts.settings.proxy_image;
  const auto wanted = facts.proxy_config.find("image");
  if (wanted != facts.proxy_config.end() && wanted->is_object()) {
    const std::string type = wanted->value("imageType", "");
    if (!type.empty() && type != "default") image += "-" + type;
  }
  return annotation(pod, "sidecar.istio.io/proxyImage", image);
}

// The capture rules, as Istio's annotations ask for them.
Json init_container(const Json& pod, const PodFacts& facts) {
  const auto traffic = [&](const char* name, const char* otherwise) {
    return annotation(pod, fmt::format("traffic.sidecar.istio.io/{}", name), otherwise);
  };
  std::string excluded = traffic("excludeInboundPorts", "");
  excluded = excluded.empty() ? "15090,15021,15020" : "15090,15021,15020," + excluded;
  Json args = Json::array({"istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m",
                           annotation(pod, "sidecar.istio.io/interceptionMode", "REDIRECT"), "-i",
                           traffic("includeOutboundIPRanges", "*"), "-x",
                           traffic("excludeOutboundIPRanges", ""), "-b",
                           traffic("includeInboundPorts", "*"), "-d", excluded});
  const auto optional = [&](const char* flag, const std::string& value) {
    if (value.empty()) return;
    args.push_back(flag);
    args.push_back(value);
  };
  optional("-o", traffic("excludeOutboundPorts", ""));
  optional("-q", traffic("includeOutboundPorts", ""));
  optional("-k", traffic("kubevirtInterfaces", ""));
  optional("-c", traffic("excludeInterfaces", ""));
  if (facts.proxy_metadata("ISTIO_META_DNS_CAPTURE") == "true") args.push_back("--redirect-dns");
  args.push_back("--log_output_level=default:info");
  return {{"name", "istio-init"},
          {"image", proxy_image(pod, facts)},
          {"imagePullPolicy", facts.settings.image_pull_policy},
          {"args", args},
          {"resources", proxy_resources(pod)},
          {"securityContext", security_context(pod, true)}};
}

Json http_probe(int failures, int period) {
  return {{"httpGet", {{"path", "/healthz/ready"}, {"port", 15021}, {"scheme", "HTTP"}}},
          {"failureThreshold", failures},
          {"periodSeconds", period},
          {"timeoutSeconds", 3}};
}

int number_annotation(const Json& pod, const char* name, int otherwise) {
  return parse_int<int>(annotation(pod, name, "")).value_or(otherwise);
}

Json proxy_args(const Json& pod, const PodFacts& facts, const char* type) {
  return Json::array(
      {"proxy", type, "--domain", fmt::format("$(POD_NAMESPACE).svc.{}", facts.settings.domain),
       "--proxyLogLevel=" + annotation(pod, "sidecar.istio.io/logLevel", facts.settings.log_level),
       "--proxyComponentLogLevel=" +
           annotation(pod, "sidecar.istio.io/componentLogLevel", "misc:error"),
       "--log_output_level=" + annotation(pod, "sidecar.istio.io/agentLogLevel", "default:info")});
}

Json proxy_container(const Json& pod, const PodFacts& facts, const Json& app_probers) {
  Json container = {
      {"name", "istio-proxy"},
      {"image", proxy_image(pod, facts)},
      {"imagePullPolicy", facts.settings.image_pull_policy},
      {"args", proxy_args(pod, facts, "sidecar")},
      {"env", proxy_environment(pod, facts, app_probers)},
      {"ports",
       Json::array({{{"containerPort", 15090}, {"name", "http-envoy-prom"}, {"protocol", "TCP"}}})},
      {"resources", proxy_resources(pod)},
      {"securityContext", security_context(pod, false)},
      {"volumeMounts", proxy_mounts()}};
  if (annotation(pod, "status.sidecar.istio.io/port", "15021") != "0") {
    container["readinessProbe"] =
        http_probe(number_annotation(pod, "readiness.status.sidecar.istio.io/failureThreshold", 4),
                   number_annotation(pod, "readiness.status.sidecar.istio.io/periodSeconds", 15));
    // Ready as soon as it can be, and not restarted while the control plane is away.
    container["startupProbe"] = http_probe(600, 1);
  }
  return container;
}

void add_volumes(Json& spec, const Json& volumes) {
  Json& list = list_at(spec, "volumes");
  for (const Json& volume : volumes) {
    bool there = false;
    for (const Json& own : list) there = there || own.value("name", "") == volume.at("name");
    if (!there) list.push_back(volume);
  }
}

}  // namespace

Result<Json> inject_sidecar(const Json& pod, const PodFacts& facts) {
  Json out = pod;
  Json& spec = out["spec"];
  Json probers = Json::object();
  if (annotation(pod, "sidecar.istio.io/rewriteAppHTTPProbers", "true") != "false") {
    probers = rewrite_probes(&spec);
  }
  const Json volumes = proxy_volumes();
  const Json proxy = proxy_container(pod, facts, probers);
  add_annotations(out, facts, volumes, true);
  add_labels(out, facts, true);
  Json& containers = list_at(spec, "containers");
  // A proxy that the application must find ready at its start comes first.
  if (facts.proxy_config.value("holdApplicationUntilProxyStarts", false)) {
    containers.insert(containers.begin(), proxy);
  } else {
    containers.push_back(proxy);
  }
  // Before the application's own: whatever they fetch goes through the mesh's rules already.
  list_at(spec, "initContainers").push_back(init_container(pod, facts));
  add_volumes(spec, volumes);
  object_at(spec, "securityContext");
  return out;
}

Result<Json> inject_gateway(const Json& pod, const PodFacts& facts) {
  Json out = pod;
  Json& spec = out["spec"];
  Json* own = nullptr;
  for (Json& container : list_at(spec, "containers")) {
    if (container.is_object() && container.value("name", "") == "istio-proxy") own = &container;
  }
  if (own == nullptr) {
    return fail(Code::kInvalid,
                "spec.containers: the gateway template needs a container named \"istio-proxy\" "
                "with the image \"auto\"; add it");
  }
  Json made = proxy_container(pod, facts, Json::object());
  made["args"] = proxy_args(pod, facts, "router");
  Json env = made["env"];
  for (const Json& variable : own->value("env", Json::array())) env.push_back(variable);
  Json mounts = made["volumeMounts"];
  for (const Json& extra : own->value("volumeMounts", Json::array())) mounts.push_back(extra);
  Json ports = own->value("ports", Json::array());
  for (const Json& port : made["ports"]) ports.push_back(port);
  // What the pod says goes before what the template says.
  for (const auto& [key, value] : own->items()) {
    if (key != "image" || value != "auto") made[key] = value;
  }
  made["env"] = std::move(env);
  made["volumeMounts"] = std::move(mounts);
  made["ports"] = std::move(ports);
  *own = std::move(made);
  const Json volumes = proxy_volumes();
  add_volumes(spec, volumes);
  add_annotations(out, facts, volumes, false);
  add_labels(out, facts, false);
  return out;
}

}  // namespace mizzen::inject
