#include <set>

#include "config/kind_tables.h"

namespace mizzen::config {
namespace {

enum : unsigned { kCluster = 1, kStatus = 2, kScale = 4, kAll = 8, kUnstored = 16 };

struct Spec {
  std::string_view group;
  std::string_view version;
  std::string_view kind;
  std::string_view plural;
  std::string_view shorts;  // comma separated
  unsigned flags;
  std::string_view columns;  // "Name,Ready,+IP": a plus means `-o wide` only; Age is a date
  std::string_view message;
};

// Names, short names and columns as kubectl prints them.
constexpr Spec kCoreSpecs[] = {
    {"", "v1", "Pod", "pods", "po", kStatus | kAll,
     "Name,Ready,Status,Restarts,Age,+IP,+Node,+Nominated Node,+Readiness Gates", "core.Pod"},
    {"", "v1", "Service", "services", "svc", kStatus | kAll,
     "Name,Type,Cluster-IP,External-IP,Port(s),Age,+Selector", "core.Service"},
    {"", "v1", "Namespace", "namespaces", "ns", kCluster | kStatus, "Name,Status,Age",
     "core.Namespace"},
    {"", "v1", "Node", "nodes", "no", kCluster | kStatus,
     "Name,Status,Roles,Age,Version,+Internal-IP,+External-IP,+OS-Image,+Kernel-Version,+Container-"
     "Runtime",
     "core.Node"},
    {"", "v1", "ConfigMap", "configmaps", "cm", 0, "Name,Data,Age", "core.ConfigMap"},
    {"", "v1", "Secret", "secrets", "", 0, "Name,Type,Data,Age", "core.Secret"},
    {"", "v1", "ServiceAccount", "serviceaccounts", "sa", 0, "Name,Secrets,Age",
     "core.ServiceAccount"},
    {"", "v1", "Endpoints", "endpoints", "ep", 0, "Name,Endpoints,Age", "core.Endpoints"},
    {"", "v1", "Event", "events", "ev", 0,
     "Last Seen,Type,Reason,Object,+Subobject,+Source,Message,+First Seen,+Count,+Name",
     "core.Event"},
    {"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", kStatus,
     "Name,Status,Volume,Capacity,Access Modes,StorageClass,Age,+VolumeMode",
     "core.PersistentVolumeClaim"},
    {"", "v1", "PersistentVolume", "persistentvolumes", "pv", kCluster | kStatus,
     "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,Age",
     "core.PersistentVolume"},
    {"", "v1", "ReplicationController", "replicationcontrollers", "rc", kStatus | kScale | kAll,
     "Name,Desired,Current,Ready,Age,+Containers,+Images,+Selector", "core.ReplicationController"},
    {"", "v1", "LimitRange", "limitranges", "limits", 0, "Name,Created At", "core.LimitRange"},
    {"", "v1", "ResourceQuota", "resourcequotas", "quota", kStatus, "Name,Age",
     "core.ResourceQuota"},
    {"", "v1", "PodTemplate", "podtemplates", "", 0, "Name,Containers,Images,Pod Labels",
     "core.PodTemplate"},
    {"", "v1", "Binding", "bindings", "", kUnstored, "Name,Age", "core.Binding"},
    {"apps", "v1", "Deployment", "deployments", "deploy", kStatus | kScale | kAll,
     "Name,Ready,Up-to-date,Available,Age,+Containers,+Images,+Selector", "apps.Deployment"},
    {"apps", "v1", "ReplicaSet", "replicasets", "rs", kStatus | kScale | kAll,
     "Name,Desired,Current,Ready,Age,+Containers,+Images,+Selector", "apps.ReplicaSet"},
    {"apps", "v1", "StatefulSet", "statefulsets", "sts", kStatus | kScale | kAll,
     "Name,Ready,Age,+Containers,+Images", "apps.StatefulSet"},
    {"apps", "v1", "DaemonSet", "daemonsets", "ds", kStatus | kAll,
     "Name,Desired,Current,Ready,Up-to-date,Available,Node "
     "Selector,Age,+Containers,+Images,+Selector",
     "apps.DaemonSet"},
};

constexpr Spec kGroupSpecs[] = {
    {"apps", "v1", "ControllerRevision", "controllerrevisions", "", 0,
     "Name,Controller,Revision,Age", "apps.ControllerRevision"},
    {"batch", "v1", "Job", "jobs", "", kStatus | kAll,
     "Name,Status,Completions,Duration,Age,+Containers,+Images,+Selector", "batch.Job"},
    {"batch", "v1", "CronJob", "cronjobs", "cj", kStatus | kAll,
     "Name,Schedule,Suspend,Active,Last Schedule,Age,+Containers,+Images", "batch.CronJob"},
    {"discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", 0,
     "Name,AddressType,Ports,Endpoints,Age", "discovery.EndpointSlice"},
    {"networking.k8s.io", "v1", "Ingress", "ingresses", "ing", kStatus,
     "Name,Class,Hosts,Address,Ports,Age", "networking.Ingress"},
    {"networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", kCluster,
     "Name,Controller,Parameters,Age", "networking.IngressClass"},
    {"networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", 0,
     "Name,Pod-Selector,Age", "networking.NetworkPolicy"},
    {"rbac.authorization.k8s.io", "v1", "Role", "roles", "", 0, "Name,Created At", "rbac.Role"},
    {"rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", 0, "Name,Role,Age",
     "rbac.RoleBinding"},
    {"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", kCluster,
     "Name,Created At", "rbac.ClusterRole"},
    {"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", kCluster,
     "Name,Role,Age", "rbac.ClusterRoleBinding"},
    {"admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration",
     "mutatingwebhookconfigurations", "", kCluster, "Name,Webhooks,Age",
     "admissionregistration.MutatingWebhookConfiguration"},
    {"admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration",
     "validatingwebhookconfigurations", "", kCluster, "Name,Webhooks,Age",
     "admissionregistration.ValidatingWebhookConfiguration"},
    {"apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
     "crd,crds", kCluster | kStatus, "Name,Created At", "apiextensions.CustomResourceDefinition"},
    {"coordination.k8s.io", "v1", "Lease", "leases", "", 0, "Name,Holder,Age",
     "coordination.Lease"},
    {"events.k8s.io", "v1", "Event", "events", "ev", 0,
     "Last Seen,Type,Reason,Object,+Subobject,+Source,Message,+First Seen,+Count,+Name",
     "events.Event"},
    {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", kStatus,
     "Name,Min Available,Max Unavailable,Allowed Disruptions,Age", "policy.PodDisruptionBudget"},
    {"storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", kCluster,
     "Name,Provisioner,Age", "storage.StorageClass"},
    {"scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", kCluster,
     "Name,Value,Global-Default,Age", "scheduling.PriorityClass"},
    {"autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa",
     kStatus | kAll, "Name,Reference,MinPods,MaxPods,Replicas,Age",
     "autoscaling.HorizontalPodAutoscaler"},
    {"authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "", kCluster | kUnstored, "Name",
     "authentication.TokenReview"},
    {"authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "",
     kCluster | kUnstored, "Name", "authentication.SelfSubjectReview"},
    {"authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "",
     kCluster | kUnstored, "Name", "authorization.SubjectAccessReview"},
    {"authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "",
     kCluster | kUnstored, "Name", "authorization.SelfSubjectAccessReview"},
    {"authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "",
     kUnstored, "Name", "authorization.LocalSubjectAccessReview"},
    {"authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "",
     kCluster | kUnstored, "Name", "authorization.SelfSubjectRulesReview"},
};

std::vector<std::string_view> parts(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    auto comma = text.find(',');
    out.push_back(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return out;
}

std::vector<Column> columns_of(std::string_view text) {
  std::vector<Column> columns;
  for (std::string_view name : parts(text)) {
    bool wide = name.starts_with('+');
    if (wide) name.remove_prefix(1);
    columns.push_back({name, "string", "", wide ? 1 : 0});
  }
  return columns;
}

// Lower-case kinds with static life, for `singular`.
std::string_view singular_of(std::string_view kind) {
  static std::set<std::string> kept;  // build_rows() runs once
  std::string low;
  for (char c : kind) low += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return *kept.insert(std::move(low)).first;
}

KindRow row_of(const Spec& spec) {
  KindRow row;
  Kind& kind = row.kind;
  kind.group = spec.group;
  kind.versions = {spec.version};
  kind.kind = spec.kind;
  kind.plural = spec.plural;
  kind.singular = singular_of(spec.kind);
  kind.short_names = parts(spec.shorts);
  if (spec.flags & kAll) kind.categories = {"all"};
  kind.namespaced = !(spec.flags & kCluster);
  kind.status = spec.flags & kStatus;
  kind.scale = spec.flags & kScale;
  kind.stored = !(spec.flags & kUnstored);
  kind.columns = columns_of(spec.columns);
  row.message = spec.message;
  return row;
}

std::vector<KindRow> build_rows() {
  std::vector<KindRow> rows;
  for (const Spec& spec : kCoreSpecs) rows.push_back(row_of(spec));
  for (const Spec& spec : kGroupSpecs) rows.push_back(row_of(spec));
  return rows;
}

}  // namespace

std::span<const KindRow> kubernetes_kinds() {
  static const std::vector<KindRow> rows = build_rows();
  return rows;
}

}  // namespace mizzen::config
