// `x describe`: what the mesh's objects do to one pod or one service, in istioctl's words. Pure:
// objects in, text out.
#pragma once

#include <string>
#include <vector>

#include "kube/client.h"

namespace mizzen::cli {

using kube::Json;

// All objects of the kinds that matter, of every namespace.
struct MeshObjects {
  std::vector<Json> pods;
  std::vector<Json> services;
  std::vector<Json> virtual_services;
  std::vector<Json> destination_rules;
  std::vector<Json> gateways;
  std::vector<Json> peer_authentications;
  std::string root_namespace = "istio-system";
  std::string domain = "cluster.local";
};

std::string describe_pod(const MeshObjects& mesh, const Json& pod);
std::string describe_service(const MeshObjects& mesh, const Json& service);

// STRICT, PERMISSIVE or DISABLE: what the pod demands of connections, and the policies that say so
// ("name.namespace", the deciding one first).
struct EffectiveMtls {
  std::string mode = "PERMISSIVE";
  std::vector<std::string> applied;
};
EffectiveMtls effective_mtls(const MeshObjects& mesh, const Json& pod);

}  // namespace mizzen::cli
