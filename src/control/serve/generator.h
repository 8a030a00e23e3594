// Worlds for proxies: translation with what proxies have in common done once per snapshot, and what
// a change cannot have touched not done again. One thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/mesh/snapshot.h"
#include "control/serve/learned_scope.h"
#include "control/translate/translate.h"
#include "xds/resource.h"

namespace mizzen::control {

// Resources of one set of services, which several proxies have in common.
struct Part {
  Resources listeners;
  Resources routes;  // of sidecars; null for gateways, whose labels always matter
  Resources clusters;
  Resources endpoints;
  Resources secrets;  // likewise
  std::vector<std::string> hosts;
  std::map<std::uint16_t, SharedPort> shared_ports;
  bool outside = false;        // rules in it ask what other services there are
  std::uint64_t snapshot = 0;  // the number of the one that it was made of
};

// What one proxy was given last, and what it was made of. The owner keeps it between calls, and
// makes a new one when the proxy itself (labels, address, place) is another.
struct Served {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const xds::World> world;
  Resources listeners;     // that it shares with others
  Resources clusters;      // likewise
  Resources destinations;  // kDestinationType
  Wanted wanted;           // of on-demand scope
  std::uint64_t directory = 0;
  bool asked = true;     // its names have changed since
  Part* part = nullptr;  // of the generator, while `part_snapshot` is its last or the one before
  std::uint64_t part_snapshot = 0;
};

// What of two snapshots differs.
struct Difference {
  bool rules = false;                // anything but services
  std::set<std::string> configured;  // services, by host, but for those of `endpoints`
  std::set<std::string> endpoints;   // services whose endpoints alone differ
};
Difference difference(const Snapshot& before, const Snapshot& now);

class Generator {
 public:
  // Brings `served` to `snapshot`: everything that `proxy` should have. `with_secrets` false for a
  // caller that has not proven who it is. `names` are those that it asks for (kDestinationType);
  // they count when the proxy's scope is on demand.
  void serve(const std::shared_ptr<const Snapshot>& snapshot, const Proxy& proxy, bool with_secrets,
             const std::vector<std::string>& names, Served* served);

 private:
  // What the proxies of a namespace (and of the same labels and place, where those matter) have in
  // common.
  struct Common {
    std::shared_ptr<const Snapshot> scope;  // what they may see
    std::unique_ptr<Directory> directory;   // null until one of them asks
    std::uint64_t directory_number = 0;
    std::unordered_map<std::string, Resources> clusters;   // by host
    std::unordered_map<std::string, Resources> endpoints;  // by host
    Part whole;
    std::map<Wanted, Part> parts;
    Resources names;  // null until a proxy asks for it
    std::uint64_t snapshot = 0;
  };
  struct Key {
    std::string name_space;
    ProxyKind kind;
    bool auto_address;
    Labels labels;
    std::string locality;
    auto operator<=>(const Key&) const = default;
  };
  void take(const std::shared_ptr<const Snapshot>& snapshot);
  Common& common(const Proxy& proxy);
  void resolve(Common& common, const Proxy& proxy, const std::vector<std::string>& names,
               Served* served);
  const Part& part_for(Common& common, const Proxy& proxy, bool learns, Served* served);
  void update(Common& common, const Proxy& proxy, bool learns, const Wanted& wanted, Part* part);
  void translate(Common& common, const Proxy& proxy, const Snapshot& scope, Part* part);
  void translate_endpoints(Common& common, const Proxy& proxy, Part* part);
  const Resources& clusters_of(Common& common, const Proxy& proxy, const Service& service);
  const Resources& endpoints_of(Common& common, const Proxy& proxy, const Service& service);
  bool keeps_own(const Proxy& proxy, const Snapshot& snapshot, const Served& served) const;

  std::shared_ptr<const Snapshot> snapshot_;
  std::string version_;               // of worlds made now
  Difference difference_;             // of it and the one before
  std::uint64_t before_ = 0;          // the number of that
  std::uint64_t rules_changed_ = 0;   // the number of the last one with other rules
  std::uint64_t config_changed_ = 0;  // or with other services
  std::uint64_t last_directory_ = 0;
  bool labels_matter_ = false;
  bool localities_matter_ = false;
  std::map<Key, Common> common_;
};

}  // namespace mizzen::control
