// What injection puts into a pod. Internal to inject.
#pragma once

#include <string>

#include "inject/inject.h"

namespace mizzen::inject {

struct PodFacts {
  const std::string& name_space;
  const std::string& owner_kind;
  const std::string& owner_name;
  const Settings& settings;
  const Json& proxy_config;  // an object
  // A member of its proxyMetadata; empty when there is none.
  std::string proxy_metadata(const char* name) const;
};

// The annotation `proxy.istio.io/config` as JSON; an empty object without it. kInvalid when it is
// not YAML of an object.
Result<Json> annotated_proxy_config(const Json& pod);

Result<Json> inject_sidecar(const Json& pod, const PodFacts& facts);
// For a pod whose own container `istio-proxy` has the image `auto`.
Result<Json> inject_gateway(const Json& pod, const PodFacts& facts);

// HTTP, TCP and gRPC probes of the application become HTTP probes of the agent, which asks the
// application itself: a kubelet has no certificate. Returns what the agent must know
// (ISTIO_KUBE_APP_PROBERS), an empty object when nothing was changed.
Json rewrite_probes(Json* spec);

// The `name` annotation of the pod, else `otherwise`.
std::string annotation(const Json& pod, std::string_view name, std::string_view otherwise);

// Entry point of both: volumes, environment and mounts of a proxy container.
Json proxy_environment(const Json& pod, const PodFacts& facts, const Json& app_probers);
Json proxy_mounts();
Json proxy_volumes();
Json proxy_resources(const Json& pod);

}  // namespace mizzen::inject
