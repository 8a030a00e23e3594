#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>

#include "base/log.h"
#include "flags.h"
#include "io/loop.h"
#include "proxy/bootstrap.h"
#include "proxy/capture.h"
#include "proxy/config_feed.h"
#include "proxy/data_plane.h"
#include "proxy/self_facts.h"
#include "proxy/xds_source.h"

namespace mizzen {
namespace {

constexpr unsigned kDefaultWorkers = 2;

int complain(const Error& error) {
  std::fprintf(stderr, "mizzen-proxy: %s\n", error.message.c_str());
  return 1;
}

int set_capture_rules(const Flags& flags) {
  auto options = proxy::parse_capture(flags.rest);
  if (!options) return complain(options.error().in("istio-iptables"));
  Status applied = proxy::apply_capture(*options);
  return applied ? 0 : complain(applied.error().in("istio-iptables"));
}

Result<proxy::Bootstrap> bootstrap_of(const Flags& flags) {
  proxy::BootstrapFlags over{flags.service_node, flags.service_cluster};
  if (flags.mode == Flags::Mode::kPilot || flags.mode == Flags::Mode::kAgent) {
    return proxy::bootstrap_from_environment(proxy::process_environment(), flags.role, flags.domain);
  }
  if (!flags.config_path.empty()) return proxy::load_bootstrap(flags.config_path, over);
  if (!flags.config_yaml.empty()) return proxy::parse_bootstrap(flags.config_yaml, over);
  return fail(Code::kInvalid, "no configuration: -c FILE, --config-yaml TEXT, or `proxy sidecar`");
}

unsigned workers(const Flags& flags) {
  if (!flags.concurrency) return kDefaultWorkers;
  return *flags.concurrency != 0 ? *flags.concurrency : std::max(std::thread::hardware_concurrency(), 1u);
}

Status add_static(proxy::ConfigStore& store, const proxy::Bootstrap& bootstrap) {
  for (const std::string& bytes : bootstrap.secrets) MIZZEN_CHECKED(store.add_static_secret(bytes));
  for (const std::string& bytes : bootstrap.clusters) MIZZEN_CHECKED(store.add_static_cluster(bytes));
  for (const std::string& bytes : bootstrap.listeners) MIZZEN_CHECKED(store.add_static_listener(bytes));
  return {};
}

// The main thread's parts, in the order in which they are made.
class Process {
 public:
  Process(const Flags& flags, proxy::Bootstrap bootstrap)
      : bootstrap_(std::move(bootstrap)),
        // Signals are blocked before the workers start, which inherit the mask.
        signals_(loop_, {SIGTERM, SIGINT}, [this](int) { stop(); }),
        data_plane_(loop_, options(flags)),
        feed_(loop_, [this](proxy::SnapshotRef snapshot) { publish(std::move(snapshot)); }) {}

  Status start() {
    MIZZEN_CHECKED(add_static(feed_.store(), bootstrap_));
    feed_.touch();
    if (bootstrap_.discovery) {
      source_.emplace(loop_, feed_, *bootstrap_.discovery, bootstrap_.node);
      source_->start();
    }
    return {};
  }
  void run() { loop_.run(); }

 private:
  proxy::DataPlaneOptions options(const Flags& flags) const {
    proxy::DataPlaneOptions options;
    options.concurrency = workers(flags);
    options.self = proxy::self_facts(bootstrap_.node);
    if (flags.drain_time) options.drain_time = *flags.drain_time;
    return options;
  }

  void publish(proxy::SnapshotRef snapshot) {
    if (draining_) return;
    if (Status set = data_plane_.set_snapshot(std::move(snapshot)); !set) {
      log::error("main", "{}", set.error().message);
    }
  }

  void stop() {
    if (draining_) return loop_.stop();  // the second signal does not wait
    draining_ = true;
    log::info("main", "draining");
    data_plane_.drain([this] { loop_.stop(); });
  }

  proxy::Bootstrap bootstrap_;
  io::EpollLoop loop_;
  io::Signals signals_;
  proxy::DataPlane data_plane_;
  proxy::ConfigFeed feed_;
  std::optional<proxy::XdsSource> source_;
  bool draining_ = false;
};

int run(const Flags& flags) {
  auto bootstrap = bootstrap_of(flags);
  if (!bootstrap) return complain(bootstrap.error());
  for (const std::string& warning : bootstrap->warnings) log::warning("bootstrap", "{}", warning);
  if (flags.mode == Flags::Mode::kValidate) {
    proxy::ConfigStore store(system_clock());
    Status added = add_static(store, *bootstrap);
    return added ? 0 : complain(added.error());
  }
  Process process(flags, std::move(*bootstrap));
  if (Status started = process.start(); !started) return complain(started.error());
  process.run();
  return 0;
}

int main_of(const Flags& flags) {
  if (!flags.log_level.empty()) {
    auto level = log::parse_level(flags.log_level);
    if (!level) return complain({.message = "--log-level: unknown level " + flags.log_level});
    log::set_level(*level);
  }
  switch (flags.mode) {
    case Flags::Mode::kHelp: std::fputs(std::string(usage()).c_str(), stdout); return 0;
    case Flags::Mode::kVersion: std::puts("mizzen-proxy 0.1.0"); return 0;
    case Flags::Mode::kCapture: return set_capture_rules(flags);
    default: return run(flags);
  }
}

}  // namespace
}  // namespace mizzen

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  auto flags = mizzen::parse_flags(arguments);
  if (!flags) {
    mizzen::complain(flags.error());
    std::fputs("Try mizzen-proxy --help.\n", stderr);
    return 2;
  }
  return mizzen::main_of(*flags);
}
