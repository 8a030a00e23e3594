// Rules of the built-in kinds that users meet most; structure was checked by the schemas before.
#include <fmt/core.h>

#include <set>

#include "base/strings.h"
#include "local/apiserver/cron_schedule.h"
#include "local/apiserver/parts.h"
#include "object/kind.h"
#include "object/selector.h"

namespace mizzen::local {

namespace {

using Causes = std::vector<Cause>;

void check_name(const Type& type, const Json& object, Causes& causes) {
  const std::string name = name_of(object);
  if (name.empty()) {
    if (text_at(object, {"metadata", "generateName"}).empty()) {
      causes.push_back(required("metadata.name", "name or generateName is required"));
    }
    return;
  }
  const std::string resource = type.resource();
  std::string wrong;
  if (type.group == "rbac.authorization.k8s.io") {
    if (name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('%') != std::string::npos) {
      wrong = "may not be '.', '..' or contain '/' or '%'";
    }
  } else if (resource == "services") {
    wrong = object::check_dns1035_label(name);
  } else if (resource == "namespaces") {
    wrong = object::check_dns1123_label(name);
  } else {
    wrong = object::check_dns1123_subdomain(name);
  }
  if (!wrong.empty()) causes.push_back(invalid_value("metadata.name", name, wrong));
}

void check_labels(const Json& map, const std::string& path, bool values, Causes& causes) {
  if (!map.is_object()) return;
  for (const auto& [key, value] : map.items()) {
    if (auto wrong = object::check_label_key(key); !wrong.empty()) {
      causes.push_back(invalid_value(path, key, wrong));
    }
    if (!value.is_string()) {
      causes.push_back(invalid_value(path, value, "must be a string: write it in quotes"));
    } else if (values) {
      if (auto wrong = object::check_label_value(value.get<std::string>()); !wrong.empty()) {
        causes.push_back(invalid_value(path, value, wrong));
      }
    }
  }
}

bool port_ok(const Json& port) {
  return port.is_number_integer() && port.get<std::int64_t>() >= 1 &&
         port.get<std::int64_t>() <= 65535;
}
constexpr std::string_view kPortRange = "must be between 1 and 65535, inclusive";

void check_containers(const Json& spec, const std::string& root, const char* list, bool wanted,
                      std::set<std::string>& names, const std::set<std::string>& volumes,
                      Causes& causes) {
  const Json& containers = at_path(spec, {list});
  if (!containers.is_array() || containers.empty()) {
    if (wanted) causes.push_back(required(root + "." + list));
    return;
  }
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const Json& container = containers[i];
    const std::string path = fmt::format("{}.{}[{}]", root, list, i);
    const std::string name = text_at(container, {"name"});
    if (name.empty())
      causes.push_back(required(path + ".name"));
    else if (auto wrong = object::check_dns1123_label(name); !wrong.empty()) {
      causes.push_back(invalid_value(path + ".name", name, wrong));
    } else if (!names.insert(name).second) {
      causes.push_back(duplicate_value(path + ".name", name));
    }
    if (text_at(container, {"image"}).empty()) causes.push_back(required(path + ".image"));
    const Json& ports = at_path(container, {"ports"});
    for (std::size_t p = 0; p < ports.size(); ++p) {
      if (!port_ok(at_path(ports[p], {"containerPort"}))) {
        const Json& port = at_path(ports[p], {"containerPort"});
        causes.push_back(port.is_null()
                             ? required(fmt::format("{}.ports[{}].containerPort", path, p))
                             : invalid_value(fmt::format("{}.ports[{}].containerPort", path, p),
                                             port, kPortRange));
      }
    }
    const Json& mounts = at_path(container, {"volumeMounts"});
    for (std::size_t m = 0; m < mounts.size(); ++m) {
      const std::string volume = text_at(mounts[m], {"name"});
      if (!volumes.contains(volume)) {
        causes.push_back({"FieldValueNotFound", fmt::format("Not found: \"{}\"", volume),
                          fmt::format("{}.volumeMounts[{}].name", path, m)});
      }
    }
  }
}

void check_pod_spec(const Json& spec, const std::string& root, Causes& causes) {
  std::set<std::string> volumes;
  const Json& list = at_path(spec, {"volumes"});
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string name = text_at(list[i], {"name"});
    const std::string path = fmt::format("{}.volumes[{}].name", root, i);
    if (name.empty())
      causes.push_back(required(path));
    else if (!volumes.insert(name).second)
      causes.push_back(duplicate_value(path, name));
  }
  std::set<std::string> names;
  check_containers(spec, root, "containers", true, names, volumes, causes);
  check_containers(spec, root, "initContainers", false, names, volumes, causes);
  const std::string policy = text_at(spec, {"restartPolicy"});
  if (policy != "Always" && policy != "OnFailure" && policy != "Never") {
    causes.push_back(
        not_supported(root + ".restartPolicy", policy, "\"Always\", \"OnFailure\", \"Never\""));
  }
}

void check_workload(const Type& type, const Json& object, const Json* old, Causes& causes) {
  const Json& spec = at_path(object, {"spec"});
  const Json& selector = at_path(spec, {"selector"});
  const bool job = type.group == "batch";
  if (!job) {
    if (!selector.is_object()) {
      causes.push_back(required("spec.selector"));
    } else {
      auto parsed = object::LabelSelector::from_json(&selector);
      const Json& labels = at_path(spec, {"template", "metadata", "labels"});
      if (!parsed)
        causes.push_back(invalid_value("spec.selector", selector, parsed.error().message));
      else if (parsed->empty())
        causes.push_back(
            invalid_value("spec.selector", selector, "empty selector is invalid for deployment"));
      else if (!parsed->matches(object::string_map(&labels))) {
        causes.push_back(invalid_value("spec.template.metadata.labels", labels,
                                       "`selector` does not match template `labels`"));
      }
      if (old && at_path(*old, {"spec", "selector"}) != selector) {
        causes.push_back(invalid_value("spec.selector", selector, "field is immutable"));
      }
    }
  }
  const Json& replicas = at_path(spec, {"replicas"});
  if (replicas.is_number_integer() && replicas.get<std::int64_t>() < 0) {
    causes.push_back(
        invalid_value("spec.replicas", replicas, "must be greater than or equal to 0"));
  }
  Json pod = at_path(spec, {"template", "spec"});
  if (!pod.is_object()) {
    causes.push_back(required("spec.template.spec"));
    return;
  }
  for (const auto& claim : at_path(spec, {"volumeClaimTemplates"})) {
    pod["volumes"].push_back({{"name", name_of(claim)}});
  }
  check_pod_spec(pod, "spec.template.spec", causes);
}

// Only images, tolerations and deadlines of a running pod may change.
void check_pod_update(const Json& pod, const Json& old, Causes& causes) {
  auto fixed = [](Json spec) {
    for (const char* list : {"containers", "initContainers"}) {
      if (!spec.contains(list)) continue;
      for (auto& container : spec[list]) container.erase("image");
    }
    for (const char* free :
         {"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "nodeName"}) {
      spec.erase(free);
    }
    return spec;
  };
  if (fixed(at_path(pod, {"spec"})) == fixed(at_path(old, {"spec"}))) return;
  causes.push_back(forbidden_value(
      "spec",
      "pod updates may not change fields other than `spec.containers[*].image`,"
      "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
      "additions to existing tolerations),`spec.terminationGracePeriodSeconds`"));
}

void check_service(const Json& object, Causes& causes) {
  const Json& spec = at_path(object, {"spec"});
  const std::string type = text_at(spec, {"type"});
  if (type != "ClusterIP" && type != "NodePort" && type != "LoadBalancer" &&
      type != "ExternalName") {
    causes.push_back(not_supported(
        "spec.type", type, "\"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""));
  }
  if (type == "ExternalName" && text_at(spec, {"externalName"}).empty()) {
    causes.push_back(required("spec.externalName"));
  }
  const Json& ports = at_path(spec, {"ports"});
  const bool headless = text_at(spec, {"clusterIP"}) == "None";
  if (ports.empty() && type != "ExternalName" && !headless)
    causes.push_back(required("spec.ports"));
  std::set<std::string> names;
  std::set<std::pair<std::string, std::int64_t>> numbers;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Json& port = ports[i];
    const std::string path = fmt::format("spec.ports[{}]", i);
    const std::string name = text_at(port, {"name"});
    if (name.empty() && ports.size() > 1) causes.push_back(required(path + ".name"));
    if (!name.empty() && !names.insert(name).second)
      causes.push_back(duplicate_value(path + ".name", name));
    const Json& number = at_path(port, {"port"});
    if (!port_ok(number)) {
      causes.push_back(number.is_null() ? required(path + ".port")
                                        : invalid_value(path + ".port", number, kPortRange));
      continue;
    }
    const std::string protocol = text_at(port, {"protocol"});
    if (protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
      causes.push_back(not_supported(path + ".protocol", protocol, "\"SCTP\", \"TCP\", \"UDP\""));
    }
    if (!numbers.insert({protocol, number.get<std::int64_t>()}).second)
      causes.push_back(duplicate_value(path, port));
    const Json& target = at_path(port, {"targetPort"});
    if (target.is_number() && !port_ok(target))
      causes.push_back(invalid_value(path + ".targetPort", target, kPortRange));
  }
}

// What a job may ask for and does not get here is said, not dropped.
void check_job(const Json& spec, const std::string& path, Causes& causes) {
  const std::string mode = text_at(spec, {"completionMode"});
  if (!mode.empty() && mode != "NonIndexed") {
    causes.push_back(not_supported(path + ".completionMode", mode, "\"NonIndexed\""));
  }
  for (const char* member : {"podFailurePolicy", "successPolicy", "backoffLimitPerIndex"}) {
    if (spec.contains(member)) {
      causes.push_back(forbidden_value(path + "." + member, "the local cluster does not have it"));
    }
  }
}

void check_cron_job(const Json& object, Causes& causes) {
  const Json& spec = at_path(object, {"spec"});
  const std::string text = text_at(spec, {"schedule"});
  if (text.empty()) {
    causes.push_back(required("spec.schedule"));
  } else if (auto schedule = CronSchedule::parse(text); !schedule) {
    causes.push_back(invalid_value("spec.schedule", text, schedule.error().message));
  }
  const std::string zone = text_at(spec, {"timeZone"});
  if (!zone.empty() && zone != "UTC" && zone != "Etc/UTC") {
    causes.push_back(not_supported("spec.timeZone", zone, "\"Etc/UTC\", \"UTC\""));
  }
  const std::string policy = text_at(spec, {"concurrencyPolicy"});
  if (policy != "Allow" && policy != "Forbid" && policy != "Replace") {
    causes.push_back(
        not_supported("spec.concurrencyPolicy", policy, "\"Allow\", \"Forbid\", \"Replace\""));
  }
  const Json& job = at_path(spec, {"jobTemplate", "spec"});
  if (!job.is_object() || !at_path(job, {"template", "spec"}).is_object()) {
    causes.push_back(required("spec.jobTemplate.spec.template"));
    return;
  }
  check_job(job, "spec.jobTemplate.spec", causes);
  check_pod_spec(at_path(job, {"template", "spec"}), "spec.jobTemplate.spec.template.spec", causes);
}

void check_crd(const Json& object, Causes& causes) {
  const Json& spec = at_path(object, {"spec"});
  const std::string group = text_at(spec, {"group"});
  const std::string plural = text_at(spec, {"names", "plural"});
  if (group.empty()) causes.push_back(required("spec.group"));
  if (plural.empty()) causes.push_back(required("spec.names.plural"));
  if (text_at(spec, {"names", "kind"}).empty()) causes.push_back(required("spec.names.kind"));
  if (!group.empty() && !plural.empty() && name_of(object) != plural + "." + group) {
    causes.push_back(invalid_value("metadata.name", name_of(object),
                                   "must be spec.names.plural+\".\"+spec.group"));
  }
  const std::string scope = text_at(spec, {"scope"});
  if (scope != "Namespaced" && scope != "Cluster") {
    causes.push_back(not_supported("spec.scope", scope, "\"Cluster\", \"Namespaced\""));
  }
  int stored = 0;
  const Json& versions = at_path(spec, {"versions"});
  if (versions.empty()) causes.push_back(required("spec.versions"));
  for (std::size_t i = 0; i < versions.size(); ++i) {
    stored += object::bool_at(versions[i], {"storage"});
    if (!at_path(versions[i], {"schema", "openAPIV3Schema"}).is_object()) {
      causes.push_back(required(fmt::format("spec.versions[{}].schema.openAPIV3Schema", i),
                                "schemas are required"));
    }
  }
  if (!versions.empty() && stored != 1) {
    causes.push_back(invalid_value("spec.versions", versions.size(),
                                   "must have exactly one version marked as storage version"));
  }
  if (text_at(spec, {"conversion", "strategy"}) == "Webhook") {
    causes.push_back(not_supported("spec.conversion.strategy", "Webhook", "\"None\""));
  }
}

void check_data(const Json& object, bool secret, Causes& causes) {
  const Json& data = at_path(object, {"data"});
  if (!data.is_object()) return;
  for (const auto& [key, value] : data.items()) {
    const bool fine = !key.empty() && key.size() <= 253 &&
                      key.find_first_not_of(
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                          std::string::npos;
    if (!fine) {
      causes.push_back(invalid_value(
          fmt::format("data[{}]", key), key,
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"));
    }
    if (secret && !(value.is_string() && base64_decode(value.get<std::string>()))) {
      causes.push_back(invalid_value(fmt::format("data[{}]", key), "<redacted>",
                                     "must be base64; plain text goes to stringData"));
    }
  }
}

}  // namespace

std::vector<Cause> check_object(const Type& type, const Json& object, const Json* old) {
  Causes causes;
  check_name(type, object, causes);
  check_labels(at_path(object, {"metadata", "labels"}), "metadata.labels", true, causes);
  check_labels(at_path(object, {"metadata", "annotations"}), "metadata.annotations", false, causes);
  const std::string resource = type.resource();
  if (resource == "pods") {
    if (old)
      check_pod_update(object, *old, causes);
    else if (at_path(object, {"spec"}).is_object())
      check_pod_spec(object["spec"], "spec", causes);
    else
      causes.push_back(required("spec.containers"));
  }
  if (resource == "deployments.apps" || resource == "replicasets.apps" ||
      resource == "statefulsets.apps" || resource == "daemonsets.apps" ||
      resource == "jobs.batch") {
    check_workload(type, object, old, causes);
  }
  if (resource == "jobs.batch") check_job(at_path(object, {"spec"}), "spec", causes);
  if (resource == "cronjobs.batch") check_cron_job(object, causes);
  if (resource == "services") check_service(object, causes);
  if (resource == "configmaps" || resource == "secrets")
    check_data(object, resource == "secrets", causes);
  if (resource.starts_with("customresourcedefinitions")) check_crd(object, causes);
  if (old && object::bool_at(*old, {"immutable"}) &&
      at_path(*old, {"data"}) != at_path(object, {"data"})) {
    causes.push_back(forbidden_value("data", "field is immutable when `immutable` is set"));
  }
  return causes;
}

}  // namespace mizzen::local
