// What the proxy has been told, and what of it is live: takes xDS updates, static resources and the
// agent's secrets, and makes snapshots. No I/O, main thread only.
//
// A bad resource is rejected with its reason and the old one stays; the good ones of the same
// response are taken. A new cluster or listener goes live when its endpoints, routes and secrets
// have come; one that is replaced stays until then. A route table that names a cluster which is
// still warming waits for it, and a removed cluster stays as long as a live route names it, so that
// no request falls between two responses. All these waits are bounded by initial_fetch_timeout, or
// kWarmingLimit where a source has none.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "proxy/config/compile.h"
#include "proxy/config/snapshot.h"
#include "proxy/feed/destinations.h"
#include "xds/client.h"

namespace mizzen::proxy {

inline constexpr Duration kWarmingLimit = std::chrono::seconds(15);

// A resource as it came, for config_dump.
struct Wire {
  std::string version;
  std::string bytes;
  WallTime updated{};
};
struct Refused {
  Wire wire;
  std::string reason;
};

// One resource of any type in its states.
template <class Compiled>
struct Stored {
  std::optional<Compiled> active;
  Wire active_wire;
  std::optional<Compiled> warming;
  Wire warming_wire;
  MonoTime deadline{};         // of warming
  std::uint64_t sequence = 0;  // of the response that it came with
  std::optional<Refused> refused;
  bool is_static = false;
  bool removed = false;  // clusters: stays only for live routes, until the deadline
};

struct CompiledRoutes {
  route::TableRef table;
  std::set<std::string> clusters;  // that it names
};

class ConfigStore {
 public:
  explicit ConfigStore(const Clock& clock);

  // Static resources of a bootstrap (serialized protobufs). An error names the resource.
  Status add_static_listener(std::string_view bytes);
  Status add_static_cluster(std::string_view bytes);
  Status add_static_secret(std::string_view bytes);

  // Takes a discovery response of any of the five types, or of kDestinationType; what comes back
  // goes into the NACK.
  // A type it does not know is rejected as a whole.
  std::vector<xds::Rejection> apply(const xds::Update& update);

  // Directories of the files that listeners and clusters name (certificates and the like).
  std::set<std::string> directories() const;
  // Compiles anew what names a file that says something else by now. Where that fails, what was
  // there stays.
  void read_files_again();

  // A secret that this process made or read itself; it takes the place of SDS for that name.
  void set_secret(std::shared_ptr<const Secret> secret);

  // A destination is called that the configuration does not know: needed() names it from now on.
  // False when it does so already.
  bool want(std::string_view destination) { return destinations_.want(destination, clock_.mono()); }

  // What the listeners and clusters need of a type, by the origin that it comes from.
  std::map<ConfigOrigin, std::set<std::string>> needed(std::string_view type_url) const;
  // Those that come by ADS.
  std::set<std::string> needed_by_ads(std::string_view type_url) const;

  // A first response of a type will not come (initial_fetch_timeout): what there is serves.
  void give_up(std::string_view type_url) { versions_.try_emplace(std::string(type_url)); }

  // Whether there is something new for workers, and the next time something may become live by
  // itself (a warming limit); nothing when none.
  bool changed() const { return changed_; }
  std::optional<MonoTime> next_deadline() const;

  // Moves what has become warm, makes a snapshot and clears changed(). Unchanged parts are shared
  // with the one before.
  SnapshotRef publish();
  SnapshotRef latest() const { return latest_; }

  // True when clusters and listeners have been received, where they are dynamic, and none of the
  // first ones is still warming.
  bool initialized(bool dynamic_clusters, bool dynamic_listeners) const;

  const std::map<std::string, Stored<CompiledCluster>>& clusters() const { return clusters_; }
  const std::map<std::string, Stored<CompiledListener>>& listeners() const { return listeners_; }
  const std::map<std::string, Stored<CompiledRoutes>>& routes() const { return routes_; }
  const std::map<std::string, Stored<std::shared_ptr<const Endpoints>>>& endpoints() const {
    return endpoints_;
  }
  const std::map<std::string, Stored<std::shared_ptr<const Secret>>>& secrets() const {
    return secrets_;
  }
  // system_version_info of the last accepted response of a type.
  std::string version(std::string_view type_url) const;

 private:
  Result<void> take(const xds::Update& update, const xds::Resource& resource);
  void remove(std::string_view type_url, const std::string& name);
  void warn(std::string_view type_url, std::string_view name, const Warnings& warnings);
  bool answered(std::string_view type_url, const std::string& name) const;
  bool secrets_here(const Needs& needs) const;
  bool cluster_ready(const CompiledCluster& cluster) const;
  bool listener_ready(const CompiledListener& listener) const;
  bool routes_ready(const CompiledRoutes& routes) const;
  std::set<std::string> clusters_in_use() const;
  void promote();
  void drop_unused();
  MonoTime deadline(const Needs& needs) const;
  template <class Compiled, class Compile>
  void read_again(std::map<std::string, Stored<Compiled>>& all, Compile compile);
  std::set<std::string> all_needed(std::string_view type_url) const;
  void take_destinations(const xds::Update& update);
  std::uint64_t live_through() const;

  const Clock& clock_;
  std::map<std::string, Stored<CompiledCluster>> clusters_;
  std::map<std::string, Stored<CompiledListener>> listeners_;
  std::map<std::string, Stored<CompiledRoutes>> routes_;
  std::map<std::string, Stored<std::shared_ptr<const Endpoints>>> endpoints_;
  std::map<std::string, Stored<std::shared_ptr<const Secret>>> secrets_;
  std::set<std::string> own_secrets_;
  // Names that the server has spoken about, if only to deny them; by type URL.
  std::map<std::string, std::set<std::string>, std::less<>> answered_;
  std::map<std::string, std::string, std::less<>> versions_;
  std::set<std::string> warned_;
  Destinations destinations_;
  std::uint64_t sequence_ = 0;  // of responses
  bool changed_ = true;
  std::uint64_t generation_ = 0;
  SnapshotRef latest_;
};

}  // namespace mizzen::proxy
