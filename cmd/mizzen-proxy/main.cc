#include <cstdio>

#include "agent_process.h"
#include "base/log.h"
#include "flags.h"
#include "process.h"
#include "proxy/bootstrap/capture.h"

// See api/schemas.h: only the admin pages and text files of xDS name schemas.
extern "C" {
extern const char mizzen_registers_schemas_late[1];
const char mizzen_registers_schemas_late[1] = {};
}

namespace mizzen {
namespace {

constexpr Duration kInitLimit = std::chrono::seconds(60);

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
  proxy::BootstrapFlags over{flags.service_node, flags.service_cluster, {}};
  if (flags.mode == Flags::Mode::kPilot || flags.mode == Flags::Mode::kAgent) {
    return proxy::bootstrap_from_environment(proxy::process_environment(), flags.role,
                                             flags.domain);
  }
  if (!flags.config_path.empty()) {
    over.overlay = flags.config_yaml;
    return proxy::load_bootstrap(flags.config_path, over);
  }
  if (!flags.config_yaml.empty()) return proxy::parse_bootstrap(flags.config_yaml, over);
  return fail(Code::kInvalid, "no configuration: -c FILE, --config-yaml TEXT, or `proxy sidecar`");
}

int serve(const Flags& flags, proxy::Bootstrap bootstrap, std::optional<Predecessor> predecessor) {
  const std::string program = own_arguments().front();
  pid_t successor = 0;
  {
    Process process(flags, std::move(bootstrap), std::move(predecessor));
    if (Status started = process.start(); !started) return complain(started.error());
    if (flags.mode == Flags::Mode::kInitOnly) {
      Status ready = process.run_until_ready(kInitLimit);
      return ready ? 0 : complain(ready.error());
    }
    process.run();
    successor = process.successor();
  }
  // Nobody else waits for the one that took over.
  if (successor != 0 && !is_attended()) become_attendant(program);
  return 0;
}

int run(const Flags& flags) {
  auto bootstrap = bootstrap_of(flags);
  if (!bootstrap) return complain(bootstrap.error());
  for (const std::string& warning : bootstrap->warnings) log::warning("bootstrap", "{}", warning);
  if (flags.mode == Flags::Mode::kValidate) {
    Status valid = validate(*bootstrap);
    return valid ? 0 : complain(valid.error());
  }
  if (flags.mode == Flags::Mode::kAgent) {
    AgentProcess agent(std::move(*bootstrap));
    if (Status started = agent.start(); !started) return complain(started.error());
    agent.run();
    return 0;
  }
  auto predecessor = Predecessor::from_environment();
  if (!predecessor) return complain(predecessor.error());
  return serve(flags, std::move(*bootstrap), std::move(*predecessor));
}

int main_of(const Flags& flags) {
  if (!flags.log_level.empty()) {
    auto level = log::parse_level(flags.log_level);
    if (!level) return complain({.message = "--log-level: unknown level " + flags.log_level});
    log::set_level(*level);
  }
  switch (flags.mode) {
    case Flags::Mode::kHelp:
      std::fputs(std::string(usage()).c_str(), stdout);
      return 0;
    case Flags::Mode::kVersion:
      std::puts("mizzen-proxy 0.1.0");
      return 0;
    case Flags::Mode::kAttend:
      return attend();
    case Flags::Mode::kCapture:
      return set_capture_rules(flags);
    default:
      return run(flags);
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
