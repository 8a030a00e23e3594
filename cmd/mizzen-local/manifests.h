// What `up` puts into a new cluster.
#pragma once

#include <vector>

#include "local/runtime/cluster.h"

namespace mizzen::local {

std::vector<Manifest>
installation_manifests();                // Istio's definitions, control plane, ingress gateway
std::vector<Manifest> demo_manifests();  // Bookinfo behind the gateway

}  // namespace mizzen::local
