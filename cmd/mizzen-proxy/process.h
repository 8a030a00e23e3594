// The main thread of a proxy: bootstrap, identity, control plane, configuration, pages; and the
// data plane's threads that it feeds.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "flags.h"
#include "io/loop.h"
#include "proxy/admin.h"
#include "proxy/bootstrap.h"
#include "proxy/config_feed.h"
#include "proxy/data_plane.h"
#include "proxy/local_agent.h"
#include "proxy/xds_source.h"

namespace mizzen {

class Process {
 public:
  Process(const Flags& flags, proxy::Bootstrap bootstrap);
  Status start();
  void run();  // until SIGTERM or SIGINT and the drain after it; a second signal does not wait

 private:
  proxy::LocalAgentHooks agent_hooks();
  proxy::AdminHooks admin_hooks();
  std::optional<std::string> not_ready() const;
  void publish(proxy::SnapshotRef snapshot);
  void stop();

  proxy::Bootstrap bootstrap_;
  io::EpollLoop loop_;
  io::Signals signals_;  // before the workers, which inherit the mask
  proxy::DataPlane data_plane_;
  proxy::ConfigFeed feed_;
  std::optional<proxy::XdsSource> source_;
  std::unique_ptr<proxy::LocalAgent> agent_;  // in injected pods
  std::unique_ptr<proxy::AdminServer> admin_;
  unsigned concurrency_;
  Duration drain_time_;
  bool failed_ = false;  // by /healthcheck/fail
  bool draining_ = false;
};

// Reads the static resources only; for `--mode validate`.
Status validate(const proxy::Bootstrap& bootstrap);

}  // namespace mizzen
