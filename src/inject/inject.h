// Sidecar injection as a pure function on Kubernetes objects. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace mizzen::inject {

using Json = nlohmann::json;

struct Settings {
  std::string proxy_image = "mizzen/proxyv2:latest";
  std::string image_pull_policy = "IfNotPresent";
  std::string discovery_address = "istiod.istio-system.svc:15012";
  std::string root_namespace = "istio-system";
  std::string domain = "cluster.local";
  std::string trust_domain = "cluster.local";
  std::string mesh_id = "cluster.local";
  std::string cluster_id = "Kubernetes";
  std::string revision = "default";
  std::string log_level = "warning";
  bool merge_metrics = true;  // enablePrometheusMerge of the mesh
  // The ProxyConfig (JSON) of a pod: the mesh's, ProxyConfig objects' and `annotation`'s, which is
  // the pod's own `proxy.istio.io/config`. Without it the annotation alone counts.
  std::function<Json(const std::string& name_space, const Json& labels, const Json& annotation)>
      proxy_config;
  bool inject_by_default = true;  // a pod of an enabled namespace that says nothing is injected
};

enum class Decision : std::uint8_t {
  kInject,
  kOptedOut,     // by label, annotation or the namespace's labels
  kHostNetwork,  // capture rules would change the node itself
  kAlready,      // the sidecar is there
};

// Whether a pod (or pod template) is to be injected; `namespace_labels` is the namespace's
// metadata.labels (an object or null). The pod's own `sidecar.istio.io/inject` goes before the
// namespace's label.
Decision decide(const Json& pod, const Json& namespace_labels, const Settings& settings);

// The pod with its sidecar (or, with the annotation `inject.istio.io/templates: gateway`, made a
// gateway): init container, proxy, volumes, labels, annotations, probes. `pod` has metadata and
// spec, as a Pod or a pod template; `owner_name` is the pod's maker if it is known ("reviews-v1",
// "Deployment"), else empty. Fails on a malformed pod, naming the field.
Result<Json> inject_pod(const Json& pod, const std::string& name_space,
                        const std::string& owner_kind, const std::string& owner_name,
                        const Settings& settings);

// What `kube-inject` does to a document: a workload with a pod template (Deployment, StatefulSet,
// DaemonSet, ReplicaSet, Job, CronJob), a Pod or a List comes back injected, anything else as it
// was.
Result<Json> inject_document(const Json& document, const Settings& settings);

// RFC 6902 operations that turn `before` into `after`.
Json json_patch(const Json& before, const Json& after);

}  // namespace mizzen::inject
