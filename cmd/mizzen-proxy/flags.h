// The command line: Envoy's flags, and the arguments that an injected pod gives (`proxy sidecar
// ...`).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace mizzen {

struct Flags {
  enum class Mode : std::uint8_t {
    kEnvoy,     // `mizzen-proxy -c FILE ...`
    kPilot,     // `mizzen-proxy proxy sidecar ...`: all else from the environment
    kAgent,     // `mizzen-proxy agent ...`: the agent alone, beside a stock Envoy
    kCapture,   // `mizzen-proxy istio-iptables ...`
    kValidate,  // `--mode validate`: reads the configuration and ends
    kAttend,    // `mizzen-proxy attend`: what a first process becomes that was replaced
    kInitOnly,  // `--mode init_only`: ends when it would be ready to serve
    kHelp,
    kVersion,
  };
  Mode mode = Mode::kEnvoy;
  std::string config_path;                         // -c, --config-path
  std::string config_yaml;                         // --config-yaml, merged over the file
  std::optional<unsigned> concurrency;             // --concurrency; 0 is the number of cores
  std::string log_level;                           // -l, --log-level, --proxyLogLevel
  std::string service_node;                        // --service-node
  std::string service_cluster;                     // --service-cluster, --serviceCluster
  std::optional<std::chrono::seconds> drain_time;  // --drain-time-s
  std::optional<std::chrono::seconds> parent_shutdown_time;  // --parent-shutdown-time-s
  std::string role = "sidecar";                              // `proxy sidecar` or `proxy router`
  std::string domain;                                        // --domain
  std::vector<std::string> rest;                             // arguments of istio-iptables
};

// Reads argv[1...]. An unknown flag is kInvalid and named; flags of Envoy and of pilot-agent that
// mean nothing here are taken and ignored.
Result<Flags> parse_flags(std::span<const std::string> arguments);

std::string_view usage();

}  // namespace mizzen
