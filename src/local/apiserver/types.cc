#include "local/apiserver/types.h"

#include <algorithm>
#include <tuple>

#include "base/strings.h"
#include "object/json.h"

namespace mizzen::local {

namespace {

struct BuiltIn {
  std::string_view group;
  std::string_view version;
  std::string_view plural;
  std::string_view kind;
  std::string_view short_names;  // by comma
  bool namespaced = true;
  bool status = false;
  bool scale = false;
  std::string_view categories = "";
  bool create_only = false;
};

constexpr BuiltIn kBuiltIns[] = {
    {"", "v1", "configmaps", "ConfigMap", "cm"},
    {"", "v1", "endpoints", "Endpoints", "ep"},
    {"", "v1", "events", "Event", "ev"},
    {"", "v1", "limitranges", "LimitRange", "limits"},
    {"", "v1", "namespaces", "Namespace", "ns", false, true},
    {"", "v1", "nodes", "Node", "no", false, true},
    {"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", true, true},
    {"", "v1", "persistentvolumes", "PersistentVolume", "pv", false, true},
    {"", "v1", "pods", "Pod", "po", true, true, false, "all"},
    {"", "v1", "podtemplates", "PodTemplate", ""},
    {"", "v1", "replicationcontrollers", "ReplicationController", "rc", true, true, true, "all"},
    {"", "v1", "resourcequotas", "ResourceQuota", "quota", true, true},
    {"", "v1", "secrets", "Secret", ""},
    {"", "v1", "serviceaccounts", "ServiceAccount", "sa"},
    {"", "v1", "services", "Service", "svc", true, true, false, "all"},
    {"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "", false, false, false, "api-extensions"},
    {"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "", false, false, false, "api-extensions"},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", "crd,crds", false, true, false, "api-extensions"},
    {"apps", "v1", "controllerrevisions", "ControllerRevision", ""},
    {"apps", "v1", "daemonsets", "DaemonSet", "ds", true, true, false, "all"},
    {"apps", "v1", "deployments", "Deployment", "deploy", true, true, true, "all"},
    {"apps", "v1", "replicasets", "ReplicaSet", "rs", true, true, true, "all"},
    {"apps", "v1", "statefulsets", "StatefulSet", "sts", true, true, true, "all"},
    {"authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", "", false, false, false, "", true},
    {"authentication.k8s.io", "v1", "tokenreviews", "TokenReview", "", false, false, false, "", true},
    {"authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", "", true, false, false, "", true},
    {"authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", "", false, false, false, "", true},
    {"authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", "", false, false, false, "", true},
    {"authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", "", false, false, false, "", true},
    {"autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", true, true, false, "all"},
    {"batch", "v1", "cronjobs", "CronJob", "cj", true, true, false, "all"},
    {"batch", "v1", "jobs", "Job", "", true, true, false, "all"},
    {"coordination.k8s.io", "v1", "leases", "Lease", ""},
    {"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", ""},
    {"networking.k8s.io", "v1", "ingressclasses", "IngressClass", "", false},
    {"networking.k8s.io", "v1", "ingresses", "Ingress", "ing", true, true},
    {"networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol"},
    {"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", true, true},
    {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", "", false},
    {"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", "", false},
    {"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", ""},
    {"rbac.authorization.k8s.io", "v1", "roles", "Role", ""},
    {"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", "pc", false},
    {"storage.k8s.io", "v1", "storageclasses", "StorageClass", "sc", false},
};

std::vector<std::string> words(std::string_view list) {
  std::vector<std::string> parts;
  if (list.empty()) return parts;
  for (auto part : split(list, ',')) parts.emplace_back(part);
  return parts;
}

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> parts;
  if (!list.is_array()) return parts;
  for (const auto& item : list) {
    if (item.is_string()) parts.push_back(item.get<std::string>());
  }
  return parts;
}

// (stage, major, minor): stage 3 for v2, 2 for v2beta1, 1 for v2alpha1, 0 for anything else.
std::tuple<int, int, int> rank(std::string_view version) {
  if (version.size() < 2 || version[0] != 'v') return {0, 0, 0};
  auto rest = version.substr(1);
  const auto end = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const auto major = parse_int<int>(rest.substr(0, end));
  if (!major) return {0, 0, 0};
  rest.remove_prefix(end);
  if (rest.empty()) return {3, *major, 0};
  for (auto [word, stage] : {std::pair{std::string_view("beta"), 2}, {std::string_view("alpha"), 1}}) {
    if (!rest.starts_with(word)) continue;
    if (auto minor = parse_int<int>(rest.substr(word.size()))) return {stage, *major, *minor};
  }
  return {0, 0, 0};
}

CustomVersion custom_version_of(const Json& version) {
  CustomVersion custom;
  custom.name = version.value("name", "");
  custom.served = version.value("served", false);
  const Json& subresources = at_path(version, {"subresources"});
  custom.status = subresources.is_object() && subresources.contains("status");
  custom.scale = at_path(subresources, {"scale"});
  custom.schema = at_path(version, {"schema", "openAPIV3Schema"});
  custom.columns = at_path(version, {"additionalPrinterColumns"});
  return custom;
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const auto left = rank(a);
  const auto right = rank(b);
  return left != right ? left > right : a < b;
}

std::string Type::api_version(std::string_view version) const {
  return group.empty() ? std::string(version) : group + "/" + std::string(version);
}
bool Type::serves(std::string_view version) const {
  return std::find(versions.begin(), versions.end(), version) != versions.end();
}
const CustomVersion* Type::custom_version(std::string_view version) const {
  for (const auto& each : custom) {
    if (each.name == version) return &each;
  }
  return nullptr;
}

Types::Types() {
  for (const BuiltIn& each : kBuiltIns) {
    auto type = std::make_shared<Type>();
    type->group = each.group;
    type->versions = {std::string(each.version)};
    type->storage_version = each.version;
    type->plural = each.plural;
    type->kind = each.kind;
    type->singular = lower(each.kind);
    type->short_names = words(each.short_names);
    type->categories = words(each.categories);
    type->namespaced = each.namespaced;
    type->status = each.status;
    type->scale = each.scale;
    type->create_only = each.create_only;
    types_[{type->group, type->plural}] = type;
  }
}

TypeRef Types::find(std::string_view group, std::string_view version, std::string_view plural) const {
  auto found = types_.find({std::string(group), std::string(plural)});
  if (found == types_.end() || !found->second->serves(version)) return nullptr;
  return found->second;
}

TypeRef Types::find_kind(std::string_view group, std::string_view version,
                         std::string_view kind) const {
  for (const auto& [name, type] : types_) {
    if (name.first == group && type->kind == kind && type->serves(version)) return type;
  }
  return nullptr;
}

TypeRef Types::find_resource(std::string_view resource) const {
  const auto dot = resource.find('.');
  const auto plural = resource.substr(0, dot);
  const auto group = dot == std::string_view::npos ? std::string_view() : resource.substr(dot + 1);
  auto found = types_.find({std::string(group), std::string(plural)});
  return found == types_.end() ? nullptr : found->second;
}

void Types::set_custom(const Json& crd) {
  const Json& spec = at_path(crd, {"spec"});
  auto type = std::make_shared<Type>();
  type->group = text_at(spec, {"group"});
  type->plural = text_at(spec, {"names", "plural"});
  type->kind = text_at(spec, {"names", "kind"});
  type->singular = object::string_at(spec, {"names", "singular"}, lower(type->kind));
  type->short_names = strings(at_path(spec, {"names", "shortNames"}));
  type->categories = strings(at_path(spec, {"names", "categories"}));
  type->namespaced = text_at(spec, {"scope"}) == "Namespaced";
  for (const auto& version : at_path(spec, {"versions"})) {
    CustomVersion custom = custom_version_of(version);
    if (custom.served) type->versions.push_back(custom.name);
    if (version.value("storage", false)) type->storage_version = custom.name;
    type->status = type->status || custom.status;
    type->scale = type->scale || custom.scale.is_object();
    type->custom.push_back(std::move(custom));
  }
  std::sort(type->versions.begin(), type->versions.end(), version_before);
  types_[{type->group, type->plural}] = type;
}

void Types::remove_custom(const std::string& crd_name) {
  const auto dot = crd_name.find('.');
  if (dot == std::string::npos) return;
  auto found = types_.find({crd_name.substr(dot + 1), crd_name.substr(0, dot)});
  if (found != types_.end() && !found->second->built_in()) types_.erase(found);
}

std::vector<std::string> Types::groups() const {
  // Kubernetes' own groups first: short names resolve in this order.
  std::vector<std::string> own;
  std::vector<std::string> custom;
  for (const auto& [name, type] : types_) {
    if (name.first.empty()) continue;
    auto& list = type->built_in() ? own : custom;
    if (std::find(list.begin(), list.end(), name.first) == list.end()) list.push_back(name.first);
  }
  own.insert(own.end(), custom.begin(), custom.end());
  return own;
}

std::vector<std::string> Types::versions(std::string_view group) const {
  std::vector<std::string> versions;
  for (const auto& [name, type] : types_) {
    if (name.first != group) continue;
    for (const auto& version : type->versions) {
      if (std::find(versions.begin(), versions.end(), version) == versions.end()) {
        versions.push_back(version);
      }
    }
  }
  std::sort(versions.begin(), versions.end(), version_before);
  return versions;
}

}  // namespace mizzen::local
