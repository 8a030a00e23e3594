// What Kubernetes fills in when a manifest leaves it out.
#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

void fallback(Json& object, const char* name, Json value) {
  if (object.is_object() && !object.contains(name)) object[name] = std::move(value);
}

// Every object of an array member, or none.
std::vector<Json*> each(Json& object, const char* name) {
  std::vector<Json*> items;
  if (!object.is_object()) return items;
  auto list = object.find(name);
  if (list == object.end() || !list->is_array()) return items;
  for (auto& item : *list) {
    if (item.is_object()) items.push_back(&item);
  }
  return items;
}

Json* member(Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  auto found = object.find(name);
  return found == object.end() || !found->is_object() ? nullptr : &*found;
}

void default_probe(Json& container, const char* name) {
  Json* probe = member(container, name);
  if (!probe) return;
  fallback(*probe, "timeoutSeconds", 1);
  fallback(*probe, "periodSeconds", 10);
  fallback(*probe, "successThreshold", 1);
  fallback(*probe, "failureThreshold", 3);
  if (Json* http = member(*probe, "httpGet")) {
    fallback(*http, "path", "/");
    fallback(*http, "scheme", "HTTP");
  }
  if (Json* grpc = member(*probe, "grpc")) fallback(*grpc, "service", "");
}

std::string pull_policy(const Json& container) {
  const std::string image = text_at(container, {"image"});
  if (image.find('@') != std::string::npos) return "IfNotPresent";
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return !tagged || image.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
}

void default_resources(Json& container) {
  fallback(container, "resources", Json::object());
  Json* resources = member(container, "resources");
  Json* limits = resources ? member(*resources, "limits") : nullptr;
  if (!limits) return;
  fallback(*resources, "requests", Json::object());
  Json* requests = member(*resources, "requests");
  for (auto& [name, value] : limits->items()) {
    if (requests) fallback(*requests, name.c_str(), value);
  }
}

void default_container(Json& container) {
  fallback(container, "imagePullPolicy", pull_policy(container));
  fallback(container, "terminationMessagePath", "/dev/termination-log");
  fallback(container, "terminationMessagePolicy", "File");
  default_resources(container);
  for (Json* port : each(container, "ports")) fallback(*port, "protocol", "TCP");
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    default_probe(container, probe);
  }
  for (Json* variable : each(container, "env")) {
    Json* from = member(*variable, "valueFrom");
    Json* field = from ? member(*from, "fieldRef") : nullptr;
    if (field) fallback(*field, "apiVersion", "v1");
  }
}

void default_projection(Json& volume) {
  Json* projected = member(volume, "projected");
  if (!projected) return;
  fallback(*projected, "defaultMode", 420);
  for (Json* source : each(*projected, "sources")) {
    if (Json* token = member(*source, "serviceAccountToken")) {
      fallback(*token, "expirationSeconds", 3600);
    }
    Json* downward = member(*source, "downwardAPI");
    if (!downward) continue;
    for (Json* item : each(*downward, "items")) {
      if (Json* field = member(*item, "fieldRef")) fallback(*field, "apiVersion", "v1");
    }
  }
}

void default_volume(Json& volume) {
  for (const char* kind : {"configMap", "secret", "downwardAPI"}) {
    if (Json* source = member(volume, kind)) fallback(*source, "defaultMode", 420);
  }
  if (Json* downward = member(volume, "downwardAPI")) {
    for (Json* item : each(*downward, "items")) {
      if (Json* field = member(*item, "fieldRef")) fallback(*field, "apiVersion", "v1");
    }
  }
  if (Json* path = member(volume, "hostPath")) fallback(*path, "type", "");
  if (volume.size() == 1) volume["emptyDir"] = Json::object();
  default_projection(volume);
}

void default_pod_spec(Json& spec) {
  fallback(spec, "restartPolicy", "Always");
  fallback(spec, "terminationGracePeriodSeconds", 30);
  fallback(spec, "dnsPolicy", "ClusterFirst");
  fallback(spec, "schedulerName", "default-scheduler");
  fallback(spec, "securityContext", Json::object());
  const std::string old_name = text_at(spec, {"serviceAccount"});
  if (!old_name.empty()) fallback(spec, "serviceAccountName", old_name);
  const std::string account = text_at(spec, {"serviceAccountName"});
  if (!account.empty()) spec["serviceAccount"] = account;
  for (const char* list : {"initContainers", "containers"}) {
    for (Json* container : each(spec, list)) default_container(*container);
  }
  for (Json* volume : each(spec, "volumes")) default_volume(*volume);
}

void default_template(Json& spec) {
  Json* pod = member(spec, "template");
  if (!pod) return;
  fallback(*pod, "metadata", Json::object());
  if (Json* pod_spec = member(*pod, "spec")) default_pod_spec(*pod_spec);
}

void default_deployment(Json& spec) {
  fallback(spec, "replicas", 1);
  fallback(spec, "revisionHistoryLimit", 10);
  fallback(spec, "progressDeadlineSeconds", 600);
  fallback(spec, "strategy", Json::object());
  Json& strategy = spec["strategy"];
  fallback(strategy, "type", "RollingUpdate");
  if (strategy.is_object() && strategy.value("type", Json()) == "RollingUpdate") {
    fallback(strategy, "rollingUpdate", Json::object());
    fallback(strategy["rollingUpdate"], "maxSurge", "25%");
    fallback(strategy["rollingUpdate"], "maxUnavailable", "25%");
  }
}

void default_service(Json& spec) {
  fallback(spec, "type", "ClusterIP");
  fallback(spec, "sessionAffinity", "None");
  fallback(spec, "internalTrafficPolicy", "Cluster");
  const Json type = spec.value("type", Json());
  if (type == "ExternalName") return;
  fallback(spec, "ipFamilies", {"IPv4"});
  fallback(spec, "ipFamilyPolicy", "SingleStack");
  if (type == "NodePort" || type == "LoadBalancer") {
    fallback(spec, "externalTrafficPolicy", "Cluster");
  }
  if (type == "LoadBalancer") fallback(spec, "allocateLoadBalancerNodePorts", true);
  for (Json* port : each(spec, "ports")) {
    fallback(*port, "protocol", "TCP");
    if (port->contains("port")) fallback(*port, "targetPort", (*port)["port"]);
  }
}

void default_stateful_set(Json& spec) {
  fallback(spec, "replicas", 1);
  fallback(spec, "revisionHistoryLimit", 10);
  fallback(spec, "podManagementPolicy", "OrderedReady");
  fallback(spec, "updateStrategy",
           {{"type", "RollingUpdate"}, {"rollingUpdate", {{"partition", 0}}}});
}

void default_daemon_set(Json& spec) {
  fallback(spec, "revisionHistoryLimit", 10);
  fallback(
      spec, "updateStrategy",
      {{"type", "RollingUpdate"}, {"rollingUpdate", {{"maxSurge", 0}, {"maxUnavailable", 1}}}});
}

void default_job(Json& spec) {
  fallback(spec, "backoffLimit", 6);
  fallback(spec, "completions", 1);
  fallback(spec, "parallelism", 1);
  fallback(spec, "completionMode", "NonIndexed");
  fallback(spec, "suspend", false);
  if (Json* pod = member(spec, "template")) {
    if (Json* pod_spec = member(*pod, "spec")) fallback(*pod_spec, "restartPolicy", "Never");
  }
}

void default_secret(Json& secret) {
  fallback(secret, "type", "Opaque");
  Json* plain = member(secret, "stringData");
  if (!plain) return;
  fallback(secret, "data", Json::object());
  for (auto& [name, value] : plain->items()) {
    if (value.is_string()) secret["data"][name] = base64_encode(value.get<std::string>());
  }
  secret.erase("stringData");
}

void default_namespace(Json& ns) {
  ns["metadata"]["labels"]["kubernetes.io/metadata.name"] = name_of(ns);
  // Goes when the contents are gone.
  if (!is_deleting(ns)) {
    fallback(ns, "spec", Json::object());
    fallback(ns["spec"], "finalizers", {"kubernetes"});
  }
  fallback(ns, "status", {{"phase", "Active"}});
}

void default_webhooks(Json& configuration) {
  for (Json* webhook : each(configuration, "webhooks")) {
    fallback(*webhook, "failurePolicy", "Fail");
    fallback(*webhook, "matchPolicy", "Equivalent");
    fallback(*webhook, "timeoutSeconds", 10);
    fallback(*webhook, "namespaceSelector", Json::object());
    fallback(*webhook, "objectSelector", Json::object());
    if (text_at(configuration, {"kind"}).starts_with("Mutating")) {
      fallback(*webhook, "reinvocationPolicy", "Never");
    }
    for (Json* rule : each(*webhook, "rules")) fallback(*rule, "scope", "*");
    if (Json* config = member(*webhook, "clientConfig")) {
      if (Json* service = member(*config, "service")) fallback(*service, "port", 443);
    }
  }
}

void default_crd(Json& crd) {
  Json* spec = member(crd, "spec");
  Json* names = spec ? member(*spec, "names") : nullptr;
  if (!names) return;
  const std::string kind = text_at(*names, {"kind"});
  fallback(*names, "singular", lower(kind));
  fallback(*names, "listKind", kind + "List");
  fallback(*spec, "conversion", {{"strategy", "None"}});
}

void default_binding(Json& binding) {
  for (Json* subject : each(binding, "subjects")) {
    const Json kind = subject->value("kind", Json());
    if (kind == "User" || kind == "Group") {
      fallback(*subject, "apiGroup", "rbac.authorization.k8s.io");
    }
  }
  if (Json* role = member(binding, "roleRef")) {
    fallback(*role, "apiGroup", "rbac.authorization.k8s.io");
  }
}

}  // namespace

void apply_defaults(const Type& type, Json& object) {
  const std::string resource = type.resource();
  if (!type.built_in()) return;
  if (resource == "namespaces") return default_namespace(object);
  if (resource == "secrets") return default_secret(object);
  if (resource.starts_with("mutatingwebhook") || resource.starts_with("validatingwebhook")) {
    return default_webhooks(object);
  }
  if (resource.starts_with("customresourcedefinitions")) return default_crd(object);
  if (resource.starts_with("rolebindings") || resource.starts_with("clusterrolebindings")) {
    return default_binding(object);
  }
  Json* spec = member(object, "spec");
  if (!spec) return;
  if (resource == "pods") {
    default_pod_spec(*spec);
    fallback(*spec, "enableServiceLinks", true);
    fallback(*spec, "preemptionPolicy", "PreemptLowerPriority");
    fallback(*spec, "priority", 0);
    return;
  }
  if (resource == "services") return default_service(*spec);
  if (resource == "deployments.apps") default_deployment(*spec);
  if (resource == "replicasets.apps" || resource == "replicationcontrollers") {
    fallback(*spec, "replicas", 1);
  }
  if (resource == "statefulsets.apps") default_stateful_set(*spec);
  if (resource == "daemonsets.apps") default_daemon_set(*spec);
  if (resource == "jobs.batch") default_job(*spec);
  if (resource == "cronjobs.batch") {
    fallback(*spec, "concurrencyPolicy", "Allow");
    fallback(*spec, "suspend", false);
    fallback(*spec, "successfulJobsHistoryLimit", 3);
    fallback(*spec, "failedJobsHistoryLimit", 1);
    Json* job = member(*spec, "jobTemplate");
    if (Json* job_spec = job ? member(*job, "spec") : nullptr) {
      default_job(*job_spec);
      default_template(*job_spec);
    }
  }
  if (resource == "horizontalpodautoscalers.autoscaling") fallback(*spec, "minReplicas", 1);
  default_template(*spec);
}

void admit_service_account(Json& pod) {
  Json* spec = member(pod, "spec");
  if (!spec) return;
  fallback(*spec, "serviceAccountName", "default");
  (*spec)["serviceAccount"] = (*spec)["serviceAccountName"];
  const Json& automount = at_path(*spec, {"automountServiceAccountToken"});
  if (automount.is_boolean() && !automount.get<bool>()) return;
  constexpr std::string_view kPrefix = "kube-api-access-";
  constexpr const char* kPath = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string volume_name;
  for (Json* volume : each(*spec, "volumes")) {
    const std::string name = text_at(*volume, {"name"});
    if (name.starts_with(kPrefix)) volume_name = name;
  }
  bool used = false;
  const std::string wanted = volume_name.empty()
                                 ? fmt::format("{}{:05x}", kPrefix, fnv1a(pod.dump()) & 0xfffff)
                                 : volume_name;
  for (const char* list : {"initContainers", "containers"}) {
    for (Json* container : each(*spec, list)) {
      bool mounted = false;
      for (Json* mount : each(*container, "volumeMounts")) {
        if (text_at(*mount, {"mountPath"}) == kPath) mounted = true;
      }
      if (mounted) continue;
      used = true;
      (*container)["volumeMounts"].push_back(
          {{"name", wanted}, {"readOnly", true}, {"mountPath", kPath}});
    }
  }
  if (!used || !volume_name.empty()) return;
  const Json token = {{"serviceAccountToken", {{"expirationSeconds", 3607}, {"path", "token"}}}};
  const Json root = {{"configMap",
                      {{"name", "kube-root-ca.crt"},
                       {"items", Json::array({{{"key", "ca.crt"}, {"path", "ca.crt"}}})}}}};
  const Json ns = {
      {"downwardAPI",
       {{"items",
         Json::array(
             {{{"path", "namespace"},
               {"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}}}}})}}}};
  (*spec)["volumes"].push_back(
      {{"name", wanted},
       {"projected", {{"defaultMode", 420}, {"sources", Json::array({token, root, ns})}}}});
}

}  // namespace mizzen::local
