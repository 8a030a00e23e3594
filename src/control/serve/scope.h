// What of the mesh one proxy sees: services exported to it, and what its Sidecar lets in. Pure; any
// thread.
#pragma once

#include <memory>

#include "control/mesh/snapshot.h"

namespace mizzen::control {

// The snapshot as the proxy sees it, to be given to translation. `whole` itself where nothing is
// hidden; what is returned keeps `whole` alive. Gateways have no Sidecar.
std::shared_ptr<const Snapshot> scope_for(const std::shared_ptr<const Snapshot>& whole,
                                          const Proxy& proxy);

// Whether proxies of one namespace with different labels may see different things.
bool scope_by_labels(const Snapshot& snapshot);

}  // namespace mizzen::control
