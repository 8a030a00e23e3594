// The compiled configuration of a proxy: immutable plain structs. Made from xDS resources on the
// main thread (compile.h), read by the workers through shared_ptr<const Snapshot>. Parts
// that did not change are shared between snapshots, so that a pointer comparison says "unchanged".
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "proxy/config/address.h"
#include "proxy/config/cluster.h"
#include "proxy/config/filters.h"
#include "proxy/config/listener.h"
#include "proxy/config/tls.h"
#include "route/table.h"

namespace mizzen::proxy {

// A cluster with its endpoints and secrets as they stand together.
struct ClusterEntry {
  std::shared_ptr<const Cluster> cluster;
  std::shared_ptr<const Endpoints> endpoints;  // null for kOriginalDst
};

// Transparent hash, so that look-ups by string_view make no string.
struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const {
    return std::hash<std::string_view>{}(name);
  }
};
template <class T>
using ByName = std::unordered_map<std::string, T, NameHash, std::equal_to<>>;

// A destination that the control plane has spoken about (destinations.h): all that it has to say is
// in the snapshot. Workers note its use.
class KnownDestination {
 public:
  void use(MonoTime now) { used_.store(now.time_since_epoch().count(), std::memory_order_relaxed); }
  MonoTime last_use() const { return MonoTime(Duration(used_.load(std::memory_order_relaxed))); }

 private:
  std::atomic<Duration::rep> used_{0};
};
using KnownDestinations = ByName<std::shared_ptr<KnownDestination>>;
using KnownDestinationsRef = std::shared_ptr<const KnownDestinations>;

struct Snapshot {
  std::uint64_t generation = 0;  // grows with every snapshot of this process
  std::vector<std::shared_ptr<const Listener>> listeners;  // only live (warmed) ones
  ByName<ClusterEntry> clusters;                           // only live (warmed) ones
  ByName<route::TableRef> routes;                          // RDS tables by name
  ByName<std::shared_ptr<const Secret>> secrets;
  KnownDestinationsRef destinations;  // by name; null: none was ever asked for

  // Whether the control plane has spoken about this destination.
  bool knows(std::string_view name, MonoTime now) const {
    if (!destinations) return false;
    auto found = destinations->find(name);
    if (found == destinations->end()) return false;
    found->second->use(now);
    return true;
  }
  const ClusterEntry* cluster(std::string_view name) const {
    auto found = clusters.find(name);
    return found == clusters.end() ? nullptr : &found->second;
  }
  // The table of a connection manager: its inline one, or the RDS one; null when not there (404).
  route::TableRef table(const HttpSettings& settings) const {
    if (settings.table) return settings.table;
    auto found = routes.find(settings.rds_name);
    return found == routes.end() ? nullptr : found->second;
  }
  const Secret* secret(std::string_view name) const {
    auto found = secrets.find(name);
    return found == secrets.end() ? nullptr : found->second.get();
  }
};
using SnapshotRef = std::shared_ptr<const Snapshot>;

}  // namespace mizzen::proxy
