// Worlds for proxies: translation with what proxies have in common done once per snapshot. One
// thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "control/snapshot.h"
#include "control/translate.h"
#include "xds/resource.h"

namespace mizzen::control {

class Generator {
 public:
  // Everything that `proxy` should have under `snapshot`. `before` is its previous world (or null):
  // what cannot have changed since is taken from it. `before_snapshot` is the one it was made from.
  // `with_secrets` false for a caller that has not proven who it is.
  std::shared_ptr<const xds::World> world(const std::shared_ptr<const Snapshot>& snapshot,
                                          const Proxy& proxy, bool with_secrets,
                                          const std::shared_ptr<const Snapshot>& before_snapshot,
                                          const std::shared_ptr<const xds::World>& before);

 private:
  struct Shared {
    Resources endpoints;
  };
  std::shared_ptr<const Snapshot> snapshot_;
  std::map<std::pair<std::string, ProxyKind>, Shared> shared_;  // by namespace
};

// Whether nothing that listeners and routes of `proxy` are made of differs between the two: a
// change of endpoints alone, of other workloads than its own.
bool same_configuration(const Snapshot& before, const Snapshot& now, const Proxy& proxy);

}  // namespace mizzen::control
