// Where a resource comes from (envoy.config.core.v3.ConfigSource), as a plain value.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace envoy::config::core::v3 {
class ApiConfigSource;
class ConfigSource;
}  // namespace envoy::config::core::v3

namespace mizzen::proxy {

struct ConfigOrigin {
  enum class Kind : std::uint8_t { kAds, kPath, kGrpc };
  Kind kind = Kind::kAds;
  std::string path;       // kPath: a DiscoveryResponse in .yaml, .yml, .json, .pb or .pb_text
  std::string directory;  // kPath: whose changes are watched; the path's own unless said otherwise
  std::string cluster;    // kGrpc: a static cluster
  bool delta = false;     // kGrpc
  std::vector<std::pair<std::string, std::string>> metadata;  // kGrpc: request headers
  auto operator<=>(const ConfigOrigin&) const = default;
};

// kUnsupported names what this proxy cannot read from (REST, Google gRPC).
Result<ConfigOrigin> compile_origin(const envoy::config::core::v3::ConfigSource& source);
Result<ConfigOrigin> compile_origin(const envoy::config::core::v3::ApiConfigSource& source);

// initial_fetch_timeout; nothing when it is not set. 0: no limit.
std::optional<Duration> fetch_timeout_of(const envoy::config::core::v3::ConfigSource& source);

}  // namespace mizzen::proxy
