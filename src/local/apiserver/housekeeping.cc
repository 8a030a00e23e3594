// What the API server does unasked: a new cluster's first objects, namespaces from their birth to
// their end, custom kinds as their definitions come and go, old events.
#include <fmt/core.h>

#include "base/log.h"
#include "io/address.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/rbac.h"

namespace mizzen::local {

namespace {

constexpr const char* kCrds = "customresourcedefinitions.apiextensions.k8s.io";
constexpr auto kEventLife = std::chrono::hours(1);

Json condition(std::string_view type, std::string_view reason, std::string_view message,
               WallTime now) {
  return {{"type", type},
          {"status", "True"},
          {"reason", reason},
          {"message", message},
          {"lastTransitionTime", rfc3339(now)}};
}

Json new_namespace(const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", "Namespace"},
          {"metadata", {{"name", name}, {"labels", {{"kubernetes.io/metadata.name", name}}}}},
          {"spec", {{"finalizers", {"kubernetes"}}}},
          {"status", {{"phase", "Active"}}}};
}

}  // namespace

void Api::Parts::bootstrap() {
  for (const char* ns : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    if (!store_.get({"namespaces", "", ns})) (void)store_.create("namespaces", new_namespace(ns));
    fill_namespace(ns);
  }
  create_default_roles(store_);
  if (!store_.get({"services", "default", "kubernetes"})) {
    auto range = io::Cidr::parse(options_.service_cidr);
    std::string address = "10.96.0.1";
    if (range) {
      const auto& b = range->base().bytes();
      address = fmt::format("{}.{}.{}.{}", b[0], b[1], b[2], b[3] + 1);
    }
    Json service = {
        {"apiVersion", "v1"},
        {"kind", "Service"},
        {"metadata",
         {{"name", "kubernetes"},
          {"namespace", "default"},
          {"labels", {{"component", "apiserver"}, {"provider", "kubernetes"}}}}},
        {"spec", {{"type", "ClusterIP"}, {"clusterIP", address}, {"ports", Json::array()}}}};
    service["spec"]["ports"].push_back(
        {{"name", "https"}, {"port", 443}, {"protocol", "TCP"}, {"targetPort", 6443}});
    apply_defaults(*types_.find_resource("services"), service);
    service["spec"]["clusterIPs"] = {address};
    service["status"] = {{"loadBalancer", Json::object()}};
    (void)store_.create("services", std::move(service));
  }
  if (!watches_.empty()) return;
  if (auto watch =
          store_.watch("namespaces", {}, [this](const Event& event) { on_namespace(event); })) {
    watches_.push_back(std::move(*watch));
  }
  if (auto watch = store_.watch(kCrds, {}, [this](const Event& event) { on_crd(event); })) {
    watches_.push_back(std::move(*watch));
  }
  // Whatever goes may have been the last thing that a dying namespace waited for.
  for (const char* resource : {"pods", "services", "deployments.apps", "replicasets.apps"}) {
    auto watch = store_.watch(resource, {}, [this](const Event& event) {
      if (event.type != EventType::kDeleted) return;
      Object ns = store_.get({"namespaces", "", namespace_of(*event.object)});
      if (ns && is_deleting(*ns)) empty_namespace(name_of(*ns));
    });
    if (watch) watches_.push_back(std::move(*watch));
  }
  expire_events();
}

void Api::Parts::on_namespace(const Event& event) {
  if (event.type == EventType::kDeleted) return;
  const std::string name = name_of(*event.object);
  Object now = store_.get({"namespaces", "", name});
  if (!now) return;
  if (is_deleting(*now)) return empty_namespace(name);
  fill_namespace(name);
}

void Api::Parts::fill_namespace(const std::string& ns) {
  if (!store_.get({"serviceaccounts", ns, "default"})) {
    (void)store_.create("serviceaccounts",
                        {{"apiVersion", "v1"},
                         {"kind", "ServiceAccount"},
                         {"metadata", {{"name", "default"}, {"namespace", ns}}}});
  }
  const Key key{"configmaps", ns, "kube-root-ca.crt"};
  Object current = store_.get(key);
  if (!current) {
    (void)store_.create("configmaps",
                        {{"apiVersion", "v1"},
                         {"kind", "ConfigMap"},
                         {"metadata", {{"name", "kube-root-ca.crt"}, {"namespace", ns}}},
                         {"data", {{"ca.crt", options_.root_ca_pem}}}});
  } else if (text_at(*current, {"data", "ca.crt"}) != options_.root_ca_pem) {
    (void)store_.modify(key, [this](Json& object) {
      object["data"]["ca.crt"] = options_.root_ca_pem;
      return true;
    });
  }
}

void Api::Parts::empty_namespace(const std::string& ns) {
  bool left = false;
  for (const auto& resource : store_.resources()) {
    TypeRef type = types_.find_resource(resource);
    if (!type || !type->namespaced) continue;
    for (const Object& object : store_.list(resource, ns)) {
      const Key key{resource, ns, name_of(*object)};
      if (!is_deleting(*object)) (void)store_.remove(key);
      if (store_.get(key)) left = true;
    }
  }
  if (left) return;
  (void)store_.modify({"namespaces", "", ns}, [](Json& object) {
    object["spec"]["finalizers"] = Json::array();
    return true;
  });
}

void Api::Parts::on_crd(const Event& event) {
  const std::string name = name_of(*event.object);
  if (event.type == EventType::kDeleted) {
    types_.remove_custom(name);
    store_.drop(name);
    return;
  }
  types_.set_custom(*event.object);
  if (is_deleting(*event.object)) return;
  const Json& spec = at_path(*event.object, {"spec"});
  Json stored = Json::array();
  for (const auto& version : at_path(spec, {"versions"})) {
    if (object::bool_at(version, {"storage"})) stored.push_back(version.value("name", ""));
  }
  const Json& accepted = at_path(*event.object, {"status", "acceptedNames"});
  if (accepted == at_path(spec, {"names"})) return;
  (void)store_.modify({kCrds, "", name}, [&](Json& object) {
    const WallTime now = store_.wall();
    object["status"] = {
        {"acceptedNames", object["spec"]["names"]},
        {"storedVersions", stored},
        {"conditions",
         Json::array({condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
                      condition("Established", "InitialNamesAccepted",
                                "the initial names have been accepted", now)})}};
    return true;
  });
}

void Api::Parts::expire_events() {
  const std::string limit = rfc3339(store_.wall() - kEventLife);
  for (const Object& event : store_.list("events")) {
    std::string last = text_at(*event, {"lastTimestamp"});
    if (last.empty()) last = text_at(*event, {"metadata", "creationTimestamp"});
    if (last < limit) (void)store_.remove({"events", namespace_of(*event), name_of(*event)});
  }
}

}  // namespace mizzen::local
