// Envoy's admin documents (envoy.admin.v3) of what a ConfigStore holds, as JSON text. Main thread
// only; resources are decoded from their wire bytes for this and nothing else.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/feed/store.h"
#include "proxy/observe/stats.h"

namespace mizzen::proxy {

struct DumpQuery {
  bool include_eds = false;
  std::string resource;    // "dynamic_listeners": only the entries of this field
  std::string mask;        // field paths, comma separated
  std::string name_regex;  // only resources whose name it matches
};

// /config_dump: BootstrapConfigDump, ClustersConfigDump, EndpointsConfigDump (with include_eds),
// ListenersConfigDump, RoutesConfigDump, SecretsConfigDump. Private keys read "[redacted]".
// kNotFound for an unknown `resource`, kInvalid for a bad mask or regex.
Result<std::string> config_dump(const ConfigStore& store, const Bootstrap& bootstrap,
                                const DumpQuery& query);

// /clusters?format=json (envoy.admin.v3.Clusters), and the same as lines of text. `limits` (may be
// null) knows which hosts are ejected.
std::string clusters_json(const Snapshot& snapshot, const SharedLimits* limits);
std::string clusters_text(const Snapshot& snapshot, const SharedLimits* limits);

// `cluster.<name>.*` of circuit breakers and outlier detection, for the clusters in use.
void add_cluster_stats(const SharedLimits& limits, const Snapshot& snapshot, StatsReport& report);

// /listeners?format=json (envoy.admin.v3.Listeners) and as text.
std::string listeners_json(const Snapshot& snapshot);
std::string listeners_text(const Snapshot& snapshot);

// /certs (envoy.admin.v3.Certificates). `now` counts the days that are left.
std::string certs_json(const Snapshot& snapshot, WallTime now);

struct ServerFacts {
  std::string state;  // "LIVE", "INITIALIZING", "DRAINING"
  Duration uptime{};
  unsigned concurrency = 0;
  std::string log_level;
  Duration drain_time{};
  unsigned epoch = 0;  // restart_epoch
};
// /server_info (envoy.admin.v3.ServerInfo).
std::string server_info_json(const ServerFacts& facts, const Bootstrap& bootstrap);

}  // namespace mizzen::proxy
