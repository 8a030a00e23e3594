#include <cstdio>
#include <thread>

#include "base/log.h"
#include "flags.h"
#include "io/loop.h"
#include "proxy/bootstrap.h"
#include "proxy/capture.h"
#include "proxy/config_store.h"
#include "proxy/data_plane.h"
#include "proxy/self_facts.h"

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

int run(const Flags& flags) {
  auto bootstrap = bootstrap_of(flags);
  if (!bootstrap) return complain(bootstrap.error());
  for (const std::string& warning : bootstrap->warnings) log::warning("bootstrap", "{}", warning);
  proxy::ConfigStore store(system_clock());
  if (Status added = add_static(store, *bootstrap); !added) return complain(added.error());
  if (flags.mode == Flags::Mode::kValidate) return 0;

  io::EpollLoop loop;
  proxy::DataPlaneOptions options;
  options.concurrency = workers(flags);
  options.self = proxy::self_facts(bootstrap->node);
  if (flags.drain_time) options.drain_time = *flags.drain_time;
  bool draining = false;
  // Signals are blocked before the workers start, which inherit the mask.
  std::unique_ptr<proxy::DataPlane> data_plane;
  io::Signals signals(loop, {SIGTERM, SIGINT}, [&](int) {
    if (draining) return loop.stop();  // the second one does not wait
    draining = true;
    log::info("main", "draining");
    data_plane->drain([&] { loop.stop(); });
  });
  data_plane = std::make_unique<proxy::DataPlane>(loop, std::move(options));
  if (Status set = data_plane->set_snapshot(store.publish()); !set) return complain(set.error());
  loop.run();
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
