#include "flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace mizzen {
namespace {

// Flags of Envoy and pilot-agent without a meaning here, taken so that known command lines work.
constexpr std::string_view kIgnoredWithValue[] = {"--log_output_level",
                                                  "--proxyComponentLogLevel",
                                                  "--component-log-level",
                                                  "--log-format",
                                                  "--log-path",
                                                  "--restart-epoch",
                                                  "--base-id",
                                                  "--base-id-path",
                                                  "--drain-strategy",
                                                  "--local-address-ip-version",
                                                  "--stsPort",
                                                  "--templateFile",
                                                  "--tokenManagerPlugin",
                                                  "--meshConfig",
                                                  "--outlierLogPath",
                                                  "--stats-tag",
                                                  "--service-zone",
                                                  "--admin-address-path",
                                                  "--log_rotate",
                                                  "--log_target",
                                                  "--log_stacktrace_level",
                                                  "--log_caller",
                                                  "--file-flush-interval-msec",
                                                  "--file-flush-min-size-kb",
                                                  "--bootstrap-version",
                                                  "--trust-domain",
                                                  "--disconnectTimeout",
                                                  "--parentShutdownDuration",
                                                  "--drainDuration",
                                                  "--profiling",
                                                  "--hot-restart-version",
                                                  "--socket-mode",
                                                  "--socket-path"};
constexpr std::string_view kIgnoredAlone[] = {
    "--disable-hot-restart",          "--log_as_json",
    "--allow-unknown-static-fields",  "--reject-unknown-dynamic-fields",
    "--allow-unknown-fields",         "--ignore-unknown-dynamic-fields",
    "--enable-fine-grain-logging",    "--use-dynamic-base-id",
    "--disable-extensions",           "--cpuset-threads",
    "--enable-mutex-tracing",         "--log-format-escaped",
    "--skip-hot-restart-on-no-parent"};

Status set_flag(Flags& flags, std::string_view name, std::string_view value) {
  auto number = [&]() -> Result<unsigned> {
    auto parsed = parse_int<unsigned>(value);
    if (!parsed) return fail(Code::kInvalid, fmt::format("{}: {} is not a number", name, value));
    return *parsed;
  };
  if (name == "-c" || name == "--config-path") {
    flags.config_path = value;
  } else if (name == "--config-yaml") {
    flags.config_yaml = value;
  } else if (name == "--concurrency") {
    MIZZEN_TRY(flags.concurrency, number());
  } else if (name == "-l" || name == "--log-level" || name == "--proxyLogLevel") {
    flags.log_level = value;
  } else if (name == "--service-node") {
    flags.service_node = value;
  } else if (name == "--service-cluster" || name == "--serviceCluster") {
    flags.service_cluster = value;
  } else if (name == "--drain-time-s") {
    MIZZEN_TRY(unsigned seconds, number());
    flags.drain_time = std::chrono::seconds(seconds);
  } else if (name == "--parent-shutdown-time-s") {
    MIZZEN_TRY(unsigned seconds, number());
    flags.parent_shutdown_time = std::chrono::seconds(seconds);
  } else if (name == "--domain") {
    flags.domain = value;
  } else if (name == "--mode") {
    if (value == "validate") flags.mode = Flags::Mode::kValidate;
    if (value == "init_only") flags.mode = Flags::Mode::kInitOnly;
    if (value != "validate" && value != "serve" && value != "init_only") {
      return fail(Code::kInvalid,
                  fmt::format("--mode: {} is neither serve, validate nor init_only", value));
    }
  } else {
    return fail(Code::kNotFound, std::string(name));
  }
  return {};
}

}  // namespace

Result<Flags> parse_flags(std::span<const std::string> arguments) {
  Flags flags;
  std::size_t i = 0;
  if (!arguments.empty() && !arguments[0].starts_with('-')) {
    const std::string& command = arguments[0];
    i = 1;
    if (command == "istio-iptables") {
      flags.mode = Flags::Mode::kCapture;
      flags.rest.assign(arguments.begin() + 1, arguments.end());
      return flags;
    }
    if (command == "attend") {
      flags.mode = Flags::Mode::kAttend;
      return flags;
    }
    if (command == "version") {
      flags.mode = Flags::Mode::kVersion;
      return flags;
    }
    if (command == "proxy" || command == "agent") {
      flags.mode = command == "proxy" ? Flags::Mode::kPilot : Flags::Mode::kAgent;
      if (i < arguments.size() && !arguments[i].starts_with('-')) flags.role = arguments[i++];
      if (flags.role != "sidecar" && flags.role != "router") {
        return fail(Code::kInvalid,
                    fmt::format("{} {}: the role is sidecar or router", command, flags.role));
      }
    } else {
      return fail(Code::kInvalid, fmt::format("unknown command {}", command));
    }
  }
  for (; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      flags.mode = Flags::Mode::kHelp;
      return flags;
    }
    if (argument == "--version") {
      flags.mode = Flags::Mode::kVersion;
      return flags;
    }
    if (std::ranges::find(kIgnoredAlone, argument.substr(0, argument.find('='))) !=
        std::end(kIgnoredAlone))
      continue;
    auto equals = argument.starts_with("--") ? argument.find('=') : std::string_view::npos;
    std::string_view name = argument.substr(0, equals);
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else {
      if (i + 1 == arguments.size()) return fail(Code::kInvalid, fmt::format("{}: no value", name));
      value = arguments[++i];
    }
    if (std::ranges::find(kIgnoredWithValue, name) != std::end(kIgnoredWithValue)) continue;
    Status set = set_flag(flags, name, value);
    if (!set && set.error().code == Code::kNotFound) {
      return fail(Code::kInvalid, fmt::format("unknown flag {}", name));
    }
    MIZZEN_CHECKED(std::move(set));
  }
  return flags;
}

std::string_view usage() {
  return R"(mizzen-proxy: data plane of the mesh

  mizzen-proxy -c FILE [flags]            runs with an Envoy bootstrap (YAML or JSON)
  mizzen-proxy proxy sidecar|router       runs in an injected pod, all from its environment
  mizzen-proxy istio-iptables [flags]     sets the capture rules of this network namespace
  mizzen-proxy version

  -c, --config-path FILE    bootstrap
      --config-yaml TEXT    bootstrap, merged over the file
      --concurrency N       worker threads (0: one per core; default 2)
  -l, --log-level LEVEL     trace, debug, info, warning, error, off
      --service-node ID     node.id
      --service-cluster ID  node.cluster
      --drain-time-s N      how long connections may finish after SIGTERM (default 45)
      --parent-shutdown-time-s N  how long connections may go on in a process that was replaced
                            by POST /upgrade (default 900)
      --mode MODE           serve, validate (reads the configuration) or init_only (ends when ready)
)";
}

}  // namespace mizzen
