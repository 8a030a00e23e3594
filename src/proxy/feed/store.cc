#include "proxy/feed/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

void collect_clusters(const route::Table& table, std::set<std::string>& to) {
  for (const auto& host : table.hosts) {
    for (const auto& route : host.routes) {
      if (!route.forward.cluster.empty()) to.insert(route.forward.cluster);
      for (const auto& weighted : route.forward.weighted) to.insert(weighted.cluster);
      for (const auto& mirror : route.forward.mirrors) to.insert(mirror.cluster);
    }
  }
}

void collect_clusters(const FilterChain& chain, std::set<std::string>& to) {
  if (const auto* tcp = std::get_if<std::shared_ptr<const TcpSettings>>(&chain.terminal)) {
    if (!(*tcp)->cluster.empty()) to.insert((*tcp)->cluster);
    for (const auto& [name, weight] : (*tcp)->weighted) to.insert(name);
  } else if (const auto& http = std::get<std::shared_ptr<const HttpSettings>>(chain.terminal);
             http->table) {
    collect_clusters(*http->table, to);
  }
}

void collect_clusters(const Listener& listener, std::set<std::string>& to) {
  for (const auto& chain : listener.chains) collect_clusters(chain, to);
  if (listener.default_chain) collect_clusters(*listener.default_chain, to);
}

template <class Compiled>
void promote_one(Stored<Compiled>& stored, bool& changed) {
  stored.active = std::move(stored.warming);
  stored.warming.reset();
  stored.active_wire = std::move(stored.warming_wire);
  stored.warming_wire = {};
  changed = true;
}

template <class Map>
void note_deadlines(const Map& map, std::optional<MonoTime>& next) {
  for (const auto& [name, stored] : map) {
    if (!stored.warming && !stored.removed) continue;
    if (stored.deadline == MonoTime::max()) continue;
    if (!next || stored.deadline < *next) next = stored.deadline;
  }
}

}  // namespace

ConfigStore::ConfigStore(const Clock& clock) : clock_(clock) {}

Status ConfigStore::add_static_listener(std::string_view bytes) {
  Warnings warnings;
  MIZZEN_TRY(auto compiled, compile_listener(bytes, &warnings));
  std::string name = compiled.listener->name.empty() ? to_string(compiled.listener->addresses[0])
                                                     : compiled.listener->name;
  auto& stored = listeners_[name];
  stored.is_static = true;
  stored.deadline = deadline(compiled.needs);
  stored.warming = std::move(compiled);
  stored.warming_wire = {"", std::string(bytes), clock_.wall()};
  warn(api::kListenerType, name, warnings);
  changed_ = true;
  return {};
}

Status ConfigStore::add_static_cluster(std::string_view bytes) {
  Warnings warnings;
  MIZZEN_TRY(auto compiled, compile_cluster(bytes, &warnings));
  auto& stored = clusters_[compiled.cluster->name];
  warn(api::kClusterType, compiled.cluster->name, warnings);
  stored.is_static = true;
  stored.deadline = deadline(compiled.needs);
  stored.warming = std::move(compiled);
  stored.warming_wire = {"", std::string(bytes), clock_.wall()};
  changed_ = true;
  return {};
}

Status ConfigStore::add_static_secret(std::string_view bytes) {
  Warnings warnings;
  MIZZEN_TRY(auto secret, compile_secret(bytes, &warnings));
  auto& stored = secrets_[secret->name];
  own_secrets_.insert(secret->name);
  stored.is_static = true;
  stored.active = std::move(secret);
  stored.active_wire = {"", std::string(bytes), clock_.wall()};
  changed_ = true;
  return {};
}

void ConfigStore::set_secret(std::shared_ptr<const Secret> secret) {
  auto& stored = secrets_[secret->name];
  own_secrets_.insert(secret->name);
  stored.active_wire.updated = clock_.wall();
  stored.active_wire.version = fmt::format("{:x}", secret->version_hash);
  stored.active = std::move(secret);
  changed_ = true;
}

std::vector<xds::Rejection> ConfigStore::apply(const xds::Update& update) {
  std::vector<xds::Rejection> rejections;
  ++sequence_;
  if (update.type_url == api::kDestinationType) {
    take_destinations(update);
    return rejections;
  }
  if (xds::type_order(update.type_url) >= 5) {
    return {{"", "type '" + update.type_url + "' is not supported by this proxy"}};
  }
  for (const auto& resource : update.resources) {
    auto status = take(update, resource);
    if (status) continue;
    log::warning("xds", "{} '{}' rejected: {}", xds::short_type(update.type_url), resource.name,
                 status.error().message);
    rejections.push_back({resource.name, status.error().message});
  }
  for (const auto& name : update.removed) remove(update.type_url, name);
  if (rejections.empty())
    versions_[update.type_url] = update.version;
  else
    versions_.try_emplace(update.type_url);
  changed_ = true;
  return rejections;
}

void ConfigStore::take_destinations(const xds::Update& update) {
  const MonoTime now = clock_.mono();
  for (const auto& resource : update.resources) {
    destinations_.answer(resource.name, true, sequence_, now);
  }
  for (const auto& name : update.removed) destinations_.answer(name, false, sequence_, now);
  changed_ = true;
}

// Everything that came with this response or before it is live.
std::uint64_t ConfigStore::live_through() const {
  std::uint64_t first = sequence_ + 1;
  const auto look = [&](const auto& map) {
    for (const auto& [name, stored] : map) {
      if (stored.warming) first = std::min(first, stored.sequence);
    }
  };
  look(clusters_);
  look(listeners_);
  look(routes_);
  return first - 1;
}

// Puts a compiled resource where it belongs, or keeps the reason why it is not there.
template <class Map, class Compiled>
Status store(Map& map, const xds::Resource& resource, Result<Compiled> compiled, const Clock& clock,
             std::uint64_t sequence, std::optional<MonoTime> deadline = std::nullopt) {
  auto& stored = map[resource.name];
  Wire wire{resource.version, resource.bytes, clock.wall()};
  if (!compiled) {
    stored.refused = Refused{std::move(wire), compiled.error().message};
    return std::unexpected(std::move(compiled.error()));
  }
  stored.refused.reset();
  stored.removed = false;
  stored.warming = std::move(*compiled);
  stored.warming_wire = std::move(wire);
  stored.sequence = sequence;
  stored.deadline = deadline.value_or(clock.mono() + kWarmingLimit);
  return {};
}

std::set<std::string> ConfigStore::directories() const {
  std::set<std::string> out;
  const auto collect = [&out](const auto& compiled) {
    if (!compiled) return;
    for (const auto& [path, hash] : compiled->needs.files) {
      out.insert(std::filesystem::path(path).parent_path().string());
    }
  };
  for (const auto& [name, stored] : listeners_) collect(stored.active), collect(stored.warming);
  for (const auto& [name, stored] : clusters_) collect(stored.active), collect(stored.warming);
  return out;
}

template <class Compiled, class Compile>
void ConfigStore::read_again(std::map<std::string, Stored<Compiled>>& all, Compile compile) {
  for (auto& [name, stored] : all) {
    const bool warming = stored.warming.has_value();
    const auto& now = warming ? stored.warming : stored.active;
    if (!now || stored.removed) continue;
    const bool changed = std::ranges::any_of(now->needs.files, [](const auto& file) {
      const auto text = file_text(file.first);
      return text && fnv1a(*text) != file.second;
    });
    if (!changed) continue;
    Wire wire = warming ? stored.warming_wire : stored.active_wire;
    Result<Compiled> again = compile(wire.bytes, *now);
    if (!again) {
      log::warning("config", "'{}' keeps its certificates: {}", name, again.error().message);
      continue;
    }
    log::info("config", "'{}' has read its certificates again", name);
    stored.deadline = deadline(again->needs);
    stored.warming = std::move(*again);
    stored.warming_wire = std::move(wire);
    changed_ = true;
  }
}

void ConfigStore::read_files_again() {
  Warnings said;  // when they came
  read_again(listeners_, [&said](const std::string& bytes, const CompiledListener&) {
    return compile_listener(bytes, &said);
  });
  read_again(clusters_, [&said](const std::string& bytes, const CompiledCluster& before) {
    auto compiled = compile_cluster(bytes, &said);
    if (!compiled) return compiled;
    auto made = std::make_shared<Cluster>(*compiled->cluster);
    made->added_via_api = before.cluster->added_via_api;
    compiled->cluster = std::move(made);
    return compiled;
  });
}

MonoTime ConfigStore::deadline(const Needs& needs) const {
  const Duration limit = needs.fetch_timeout.value_or(kWarmingLimit);
  return limit.count() == 0 ? MonoTime::max() : clock_.mono() + limit;
}

Status ConfigStore::take(const xds::Update& update, const xds::Resource& resource) {
  Warnings warnings;
  const auto& type = update.type_url;
  auto taken = [&](Status status) {
    if (status) warn(type, resource.name, warnings);
    return status;
  };
  answered_[type].insert(resource.name);
  if (type == api::kClusterType) {
    auto found = clusters_.find(resource.name);
    if (found != clusters_.end() && found->second.is_static) {
      return fail(Code::kExists, "a static cluster of this name is there already");
    }
    auto compiled = compile_cluster(resource.bytes, &warnings);
    if (compiled) {
      auto live = std::make_shared<Cluster>(*compiled->cluster);
      live->added_via_api = true;
      compiled->cluster = std::move(live);
    }
    const auto limit = compiled ? deadline(compiled->needs) : MonoTime{};
    return taken(store(clusters_, resource, std::move(compiled), clock_, sequence_, limit));
  }
  if (type == api::kListenerType) {
    auto found = listeners_.find(resource.name);
    if (found != listeners_.end() && found->second.is_static) {
      return fail(Code::kExists, "a static listener of this name is there already");
    }
    auto compiled = compile_listener(resource.bytes, &warnings);
    const auto limit = compiled ? deadline(compiled->needs) : MonoTime{};
    return taken(store(listeners_, resource, std::move(compiled), clock_, sequence_, limit));
  }
  if (type == api::kRouteType) {
    auto table = compile_routes(resource.bytes, &warnings);
    if (!table) {
      return store(routes_, resource, Result<CompiledRoutes>(std::unexpected(table.error())),
                   clock_, sequence_);
    }
    CompiledRoutes compiled{std::move(*table), {}};
    collect_clusters(*compiled.table, compiled.clusters);
    return taken(
        store(routes_, resource, Result<CompiledRoutes>(std::move(compiled)), clock_, sequence_));
  }
  if (type == api::kEndpointType) {
    return taken(store(endpoints_, resource, compile_endpoints(resource.bytes, &warnings), clock_,
                       sequence_));
  }
  if (own_secrets_.contains(resource.name)) return {};
  return taken(
      store(secrets_, resource, compile_secret(resource.bytes, &warnings), clock_, sequence_));
}

void ConfigStore::remove(std::string_view type_url, const std::string& name) {
  answered_[std::string(type_url)].insert(name);
  if (type_url == api::kListenerType) {
    auto found = listeners_.find(name);
    if (found != listeners_.end() && !found->second.is_static) listeners_.erase(found);
  } else if (type_url == api::kClusterType) {
    auto found = clusters_.find(name);
    if (found == clusters_.end() || found->second.is_static) return;
    found->second.removed = true;
    found->second.warming.reset();
    found->second.deadline = clock_.mono() + kWarmingLimit;
    if (!found->second.active) clusters_.erase(found);
  } else if (type_url == api::kEndpointType) {
    // "Not there" for a cluster that is: it has no endpoints.
    auto found = endpoints_.find(name);
    if (found == endpoints_.end()) return;
    auto empty = std::make_shared<Endpoints>();
    empty->name = name;
    found->second.active = std::move(empty);
    found->second.warming.reset();
    found->second.active_wire = {"", "", clock_.wall()};
  } else if (type_url == api::kSecretType) {
    // Kept: a live TLS context outlives the server's forgetting it.
  }
  // Routes stay until no listener asks for them: an RDS removal would mean 404 for everything.
}

void ConfigStore::warn(std::string_view type_url, std::string_view name, const Warnings& warnings) {
  for (const auto& warning : warnings) {
    // Once per kind of field, not once per resource.
    auto field = warning.substr(warning.find_last_of('.', warning.find(':')) + 1);
    if (warned_.size() > 1000 || !warned_.insert(field).second) continue;
    log::warning("xds", "{} '{}': {}", xds::short_type(type_url), name, warning);
  }
}

bool ConfigStore::answered(std::string_view type_url, const std::string& name) const {
  auto found = answered_.find(type_url);
  return found != answered_.end() && found->second.contains(name);
}

bool ConfigStore::secrets_here(const Needs& needs) const {
  return std::ranges::all_of(needs.secrets, [&](const std::string& name) {
    auto found = secrets_.find(name);
    return (found != secrets_.end() && found->second.active) || answered(api::kSecretType, name);
  });
}

bool ConfigStore::cluster_ready(const CompiledCluster& compiled) const {
  if (compiled.cluster->type == Cluster::Type::kEds &&
      !answered(api::kEndpointType, compiled.cluster->eds_name)) {
    return false;
  }
  return secrets_here(compiled.needs);
}

bool ConfigStore::listener_ready(const CompiledListener& compiled) const {
  bool routed = std::ranges::all_of(compiled.needs.routes, [&](const std::string& name) {
    auto found = routes_.find(name);
    return (found != routes_.end() && found->second.active) ||
           (found == routes_.end() && answered(api::kRouteType, name));
  });
  return routed && secrets_here(compiled.needs);
}

bool ConfigStore::routes_ready(const CompiledRoutes& compiled) const {
  return std::ranges::none_of(compiled.clusters, [&](const std::string& name) {
    auto found = clusters_.find(name);
    return found != clusters_.end() && !found->second.active;
  });
}

std::set<std::string> ConfigStore::clusters_in_use() const {
  std::set<std::string> used;
  for (const auto& [name, stored] : routes_) {
    if (stored.active) used.insert(stored.active->clusters.begin(), stored.active->clusters.end());
  }
  for (const auto& [name, stored] : listeners_) {
    if (stored.active) collect_clusters(*stored.active->listener, used);
  }
  return used;
}

void ConfigStore::promote() {
  MonoTime now = clock_.mono();
  bool changed = false;
  // In the order in which they lean on each other.
  for (auto& [name, stored] : secrets_) {
    if (stored.warming) promote_one(stored, changed);
  }
  for (auto& [name, stored] : endpoints_) {
    if (stored.warming) promote_one(stored, changed);
  }
  auto each = [&](auto& map, auto ready, std::string_view what) {
    for (auto& [name, stored] : map) {
      if (!stored.warming) continue;
      if (!ready(*stored.warming)) {
        if (now < stored.deadline) continue;
        log::warning("xds", "{} '{}' goes live without all it needs", what, name);
      }
      promote_one(stored, changed);
    }
  };
  each(
      clusters_, [this](const auto& compiled) { return cluster_ready(compiled); }, "CDS");
  each(
      routes_, [this](const auto& compiled) { return routes_ready(compiled); }, "RDS");
  each(
      listeners_, [this](const auto& compiled) { return listener_ready(compiled); }, "LDS");
}

void ConfigStore::drop_unused() {
  auto drop = [this](auto& map, std::string_view type) {
    auto wanted = all_needed(type);
    auto unwanted = [&](const std::string& name) { return !wanted.contains(name); };
    std::erase_if(map, [&](const auto& entry) { return unwanted(entry.first); });
    // What is wanted again later is waited for again.
    if (auto found = answered_.find(type); found != answered_.end()) {
      std::erase_if(found->second, unwanted);
    }
  };
  // In this order: routes that nobody asks for hold no cluster, clusters that are gone ask for no
  // endpoints.
  drop(routes_, api::kRouteType);
  MonoTime now = clock_.mono();
  bool any_removed =
      std::ranges::any_of(clusters_, [](const auto& entry) { return entry.second.removed; });
  if (any_removed) {
    auto used = clusters_in_use();
    std::erase_if(clusters_, [&](const auto& entry) {
      return entry.second.removed && (!used.contains(entry.first) || now >= entry.second.deadline);
    });
  }
  drop(endpoints_, api::kEndpointType);
}

std::map<ConfigOrigin, std::set<std::string>> ConfigStore::needed(std::string_view type_url) const {
  std::map<ConfigOrigin, std::set<std::string>> names;
  auto each = [](const auto& map, auto add) {
    for (const auto& [name, stored] : map) {
      if (stored.active) add(*stored.active);
      if (stored.warming) add(*stored.warming);
    }
  };
  std::set<std::string>& by_ads = names[ConfigOrigin{}];
  auto note = [&](const Needs& needs, const std::string& name) {
    if (needs.origins.empty()) {
      by_ads.insert(name);
      return;
    }
    auto origin = needs.origins.find({std::string(type_url), name});
    names[origin == needs.origins.end() ? ConfigOrigin{} : origin->second].insert(name);
  };
  if (type_url == api::kDestinationType) {
    by_ads = destinations_.names();
  } else if (type_url == api::kEndpointType) {
    each(clusters_, [&](const CompiledCluster& compiled) {
      if (!compiled.cluster->eds_name.empty()) note(compiled.needs, compiled.cluster->eds_name);
    });
  } else if (type_url == api::kRouteType) {
    each(listeners_, [&](const CompiledListener& compiled) {
      for (const auto& name : compiled.needs.routes) note(compiled.needs, name);
    });
  } else if (type_url == api::kSecretType) {
    auto add = [&](const Needs& needs) {
      for (const auto& name : needs.secrets) {
        if (!own_secrets_.contains(name)) note(needs, name);
      }
    };
    each(clusters_, [&](const CompiledCluster& compiled) { add(compiled.needs); });
    each(listeners_, [&](const CompiledListener& compiled) { add(compiled.needs); });
  }
  return names;
}

std::set<std::string> ConfigStore::needed_by_ads(std::string_view type_url) const {
  auto all = needed(type_url);
  auto found = all.find(ConfigOrigin{});
  return found == all.end() ? std::set<std::string>() : std::move(found->second);
}

std::set<std::string> ConfigStore::all_needed(std::string_view type_url) const {
  std::set<std::string> names;
  for (auto& [origin, its] : needed(type_url)) names.insert(its.begin(), its.end());
  return names;
}

std::optional<MonoTime> ConfigStore::next_deadline() const {
  std::optional<MonoTime> next;
  note_deadlines(clusters_, next);
  note_deadlines(listeners_, next);
  note_deadlines(routes_, next);
  return next;
}

SnapshotRef ConfigStore::publish() {
  promote();
  drop_unused();
  auto made = std::make_shared<Snapshot>();
  made->generation = ++generation_;
  for (const auto& [name, stored] : listeners_) {
    if (stored.active) made->listeners.push_back(stored.active->listener);
  }
  for (const auto& [name, stored] : clusters_) {
    if (!stored.active) continue;
    ClusterEntry entry{stored.active->cluster, stored.active->endpoints};
    if (entry.cluster->type == Cluster::Type::kEds) {
      auto found = endpoints_.find(entry.cluster->eds_name);
      if (found != endpoints_.end() && found->second.active)
        entry.endpoints = *found->second.active;
    }
    if (!entry.endpoints && entry.cluster->type != Cluster::Type::kOriginalDst) {
      static const auto kEmpty = std::make_shared<const Endpoints>();
      entry.endpoints = kEmpty;
    }
    made->clusters.emplace(name, std::move(entry));
  }
  for (const auto& [name, stored] : routes_) {
    if (stored.active) made->routes.emplace(name, stored.active->table);
  }
  for (const auto& [name, stored] : secrets_) {
    if (stored.active) made->secrets.emplace(name, *stored.active);
  }
  made->destinations = destinations_.known(live_through());
  changed_ = false;
  latest_ = made;
  return latest_;
}

bool ConfigStore::initialized(bool dynamic_clusters, bool dynamic_listeners) const {
  if (dynamic_clusters && !versions_.contains(api::kClusterType)) return false;
  if (dynamic_listeners && !versions_.contains(api::kListenerType)) return false;
  auto settled = [](const auto& map) {
    return std::ranges::all_of(
        map, [](const auto& entry) { return entry.second.active || !entry.second.warming; });
  };
  return settled(clusters_) && settled(listeners_);
}

std::string ConfigStore::version(std::string_view type_url) const {
  auto found = versions_.find(type_url);
  return found == versions_.end() ? std::string() : found->second;
}

}  // namespace mizzen::proxy
