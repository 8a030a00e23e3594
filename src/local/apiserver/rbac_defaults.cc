// The roles that Kubernetes makes for every cluster, as far as users, kubectl and meshes count on
// them.
#include "local/apiserver/rbac.h"

namespace mizzen::local {

namespace {

using Words = std::vector<std::string>;

const Words kRead = {"get", "list", "watch"};
const Words kWrite = {"create", "delete", "deletecollection", "patch", "update"};

Json rule(const Words& groups, const Words& resources, const Words& verbs) {
  return {{"apiGroups", groups}, {"resources", resources}, {"verbs", verbs}};
}
Json url_rule(const Words& urls, const Words& verbs) {
  return {{"nonResourceURLs", urls}, {"verbs", verbs}};
}

void create_role(Store& store, const std::string& name, Json rules,
                 const std::string& aggregates_to = {}) {
  Json labels = {{"kubernetes.io/bootstrapping", "rbac-defaults"}};
  Json role = {{"apiVersion", "rbac.authorization.k8s.io/v1"},
               {"kind", "ClusterRole"},
               {"metadata", {{"name", name}}},
               {"rules", std::move(rules)}};
  if (!aggregates_to.empty()) {
    const std::string label = "rbac.authorization.k8s.io/aggregate-to-" + aggregates_to;
    const Json selector = {{"matchLabels", {{label, "true"}}}};
    role["aggregationRule"]["clusterRoleSelectors"] = Json::array({selector});
  }
  role["metadata"]["labels"] = std::move(labels);
  const std::string resource = "clusterroles.rbac.authorization.k8s.io";
  if (!store.get({resource, "", name})) (void)store.create(resource, std::move(role));
}

void bind_groups(Store& store, const std::string& role, const Words& groups) {
  const std::string resource = "clusterrolebindings.rbac.authorization.k8s.io";
  if (store.get({resource, "", role})) return;
  Json subjects = Json::array();
  for (const std::string& group : groups) {
    subjects.push_back(
        {{"kind", "Group"}, {"apiGroup", "rbac.authorization.k8s.io"}, {"name", group}});
  }
  (void)store.create(
      resource,
      {{"apiVersion", "rbac.authorization.k8s.io/v1"},
       {"kind", "ClusterRoleBinding"},
       {"metadata",
        {{"name", role}, {"labels", {{"kubernetes.io/bootstrapping", "rbac-defaults"}}}}},
       {"roleRef",
        {{"kind", "ClusterRole"}, {"apiGroup", "rbac.authorization.k8s.io"}, {"name", role}}},
       {"subjects", std::move(subjects)}});
}

// What a namespace's members see and change: secrets, accounts and ways into pods are not for
// viewers, roles are for its administrators only.
Json view_rules() {
  return Json::array(
      {rule({""},
            {"bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces",
             "persistentvolumeclaims", "pods", "pods/log", "pods/status", "replicationcontrollers",
             "replicationcontrollers/scale", "resourcequotas", "serviceaccounts", "services",
             "services/status"},
            kRead),
       rule({"apps"},
            {"controllerrevisions", "daemonsets", "deployments", "deployments/scale", "replicasets",
             "replicasets/scale", "statefulsets", "statefulsets/scale"},
            kRead),
       rule({"autoscaling"}, {"horizontalpodautoscalers"}, kRead),
       rule({"batch"}, {"cronjobs", "jobs"}, kRead),
       rule({"discovery.k8s.io"}, {"endpointslices"}, kRead),
       rule({"networking.k8s.io"}, {"ingresses", "networkpolicies"}, kRead),
       rule({"policy"}, {"poddisruptionbudgets"}, kRead)});
}

Json edit_rules() {
  Json rules = view_rules();
  Words into_pods = {"pods/attach", "pods/exec", "pods/portforward",
                     "pods/proxy",  "secrets",   "services/proxy"};
  rules.push_back(rule({""}, into_pods, kRead));
  rules.push_back(rule({""}, {"serviceaccounts"}, {"impersonate"}));
  into_pods.insert(
      into_pods.end(),
      {"configmaps", "endpoints", "events", "persistentvolumeclaims", "pods",
       "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services"});
  rules.push_back(rule({""}, into_pods, kWrite));
  rules.push_back(rule({""}, {"pods/eviction", "serviceaccounts/token"}, {"create"}));
  rules.push_back(rule({"apps"},
                       {"daemonsets", "deployments", "deployments/scale", "replicasets",
                        "replicasets/scale", "statefulsets", "statefulsets/scale"},
                       kWrite));
  rules.push_back(rule({"autoscaling"}, {"horizontalpodautoscalers"}, kWrite));
  rules.push_back(rule({"batch"}, {"cronjobs", "jobs"}, kWrite));
  rules.push_back(rule({"networking.k8s.io"}, {"ingresses", "networkpolicies"}, kWrite));
  rules.push_back(rule({"policy"}, {"poddisruptionbudgets"}, kWrite));
  return rules;
}

Json admin_rules() {
  Json rules = edit_rules();
  Words all = kRead;
  all.insert(all.end(), kWrite.begin(), kWrite.end());
  rules.push_back(rule({"rbac.authorization.k8s.io"}, {"rolebindings", "roles"}, all));
  rules.push_back(rule({"authorization.k8s.io"}, {"localsubjectaccessreviews"}, {"create"}));
  return rules;
}

}  // namespace

void create_default_roles(Store& store) {
  create_role(store, "cluster-admin",
              Json::array({rule({"*"}, {"*"}, {"*"}), url_rule({"*"}, {"*"})}));
  create_role(store, "admin", admin_rules(), "admin");
  create_role(store, "edit", edit_rules(), "edit");
  create_role(store, "view", view_rules(), "view");
  create_role(
      store, "system:discovery",
      Json::array({url_rule({"/", "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez",
                             "/openapi", "/openapi/*", "/readyz", "/version", "/version/"},
                            {"get"})}));
  create_role(
      store, "system:public-info-viewer",
      Json::array({url_rule({"/healthz", "/livez", "/readyz", "/version", "/version/"}, {"get"})}));
  create_role(
      store, "system:basic-user",
      Json::array({rule({"authorization.k8s.io"},
                        {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}, {"create"}),
                   rule({"authentication.k8s.io"}, {"selfsubjectreviews"}, {"create"})}));
  create_role(store, "system:auth-delegator",
              Json::array({rule({"authentication.k8s.io"}, {"tokenreviews"}, {"create"}),
                           rule({"authorization.k8s.io"}, {"subjectaccessreviews"}, {"create"})}));
  bind_groups(store, "cluster-admin", {"system:masters"});
  bind_groups(store, "system:discovery", {"system:authenticated"});
  bind_groups(store, "system:basic-user", {"system:authenticated"});
  bind_groups(store, "system:public-info-viewer",
              {"system:authenticated", "system:unauthenticated"});
}

}  // namespace mizzen::local
