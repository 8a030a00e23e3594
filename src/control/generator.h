// Worlds for proxies: translation with what proxies have in common done once per snapshot. One
// thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

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
  // What the proxies of a namespace (and of the same labels and place, where those matter) have in
  // common.
  struct Common {
    std::shared_ptr<const Snapshot> scope;  // what they may see
    Resources listeners;
    Resources routes;  // of sidecars; null for gateways, whose labels always matter
    Resources clusters;
    Resources endpoints;
    Resources names;             // null until a proxy asks for it
    std::uint64_t snapshot = 0;  // the number of the one that it was made of
  };
  struct Key {
    std::string name_space;
    ProxyKind kind;
    bool auto_address;
    Labels labels;
    std::string locality;
    auto operator<=>(const Key&) const = default;
  };
  Common& common(const Proxy& proxy);
  // `now`, or `before` when they say the same; resources that did not change are shared with it.
  static Resources settle(const Resources& before, Resources now);

  std::shared_ptr<const Snapshot> snapshot_;
  bool labels_matter_ = false;
  bool localities_matter_ = false;
  std::map<Key, Common> common_;
};

// Whether nothing that listeners and routes of `proxy` are made of differs between the two: a
// change of endpoints alone, of other workloads than its own.
bool same_configuration(const Snapshot& before, const Snapshot& now, const Proxy& proxy);

}  // namespace mizzen::control
