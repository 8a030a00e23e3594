// The main thread of a proxy: bootstrap, identity, control plane, configuration, pages; and the
// data plane's threads that it feeds.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "flags.h"
#include "io/loop.h"
#include "proxy/admin/admin.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/data_plane.h"
#include "proxy/feed/feed.h"
#include "proxy/feed/local_agent.h"
#include "proxy/feed/sources.h"
#include "upgrade.h"

namespace mizzen {

class Process {
 public:
  // `predecessor`: whose place this process takes.
  Process(const Flags& flags, proxy::Bootstrap bootstrap,
          std::optional<Predecessor> predecessor = std::nullopt);
  Status start();
  // Until SIGTERM or SIGINT and the drain after it (a second signal does not wait), or until
  // another process has taken the place of this one and all connections have ended.
  void run();
  // The process that took over and is this one's child; 0: none.
  pid_t successor() const { return replaced_ ? successor_->pid() : 0; }
  // `--mode init_only`: ends as soon as the proxy would be ready; an error when that takes longer
  // than `limit`.
  Status run_until_ready(Duration limit);

 private:
  proxy::LocalAgentHooks agent_hooks();
  proxy::AdminHooks admin_hooks();
  std::optional<std::string> not_ready() const;
  void publish(proxy::SnapshotRef snapshot);
  void stop(int signal);
  Status listen_pages();
  void take_over();  // once ready
  Status upgrade(unsigned concurrency);
  void on_successor_ready();

  proxy::Bootstrap bootstrap_;
  io::EpollLoop loop_;
  io::Signals signals_;  // before the workers, which inherit the mask
  proxy::DataPlane data_plane_;
  proxy::ConfigFeed feed_;
  proxy::ConfigSources sources_;
  std::unique_ptr<proxy::LocalAgent> agent_;  // in injected pods
  std::unique_ptr<proxy::AdminServer> admin_;
  unsigned concurrency_;
  Duration drain_time_;
  Duration hand_over_time_;
  std::optional<Predecessor> predecessor_;
  std::unique_ptr<Successor> successor_;
  io::TimerId take_over_timer_ = 0;
  io::TimerId give_back_timer_ = 0;  // memory, to the kernel
  bool failed_ = false;              // by /healthcheck/fail
  bool draining_ = false;
  bool upgrading_ = false;
  bool replaced_ = false;
};

// Reads the static resources only; for `--mode validate`.
Status validate(const proxy::Bootstrap& bootstrap);

}  // namespace mizzen
