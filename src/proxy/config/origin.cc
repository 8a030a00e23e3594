#include "proxy/config/origin.h"

#include <algorithm>

#include "base/strings.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "proxy/config/compile.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<ConfigOrigin> compile_origin(const envoy::config::core::v3::ApiConfigSource& source) {
  using Api = envoy::config::core::v3::ApiConfigSource;
  ConfigOrigin origin;
  origin.kind = ConfigOrigin::Kind::kGrpc;
  switch (source.api_type()) {
    case Api::GRPC:
    case Api::AGGREGATED_GRPC:
      break;
    case Api::DELTA_GRPC:
    case Api::AGGREGATED_DELTA_GRPC:
      origin.delta = true;
      break;
    default:
      return fail(Code::kUnsupported, "api_type: " + Api::ApiType_Name(source.api_type()) +
                                          " is not supported by this proxy; GRPC and DELTA_GRPC "
                                          "are");
  }
  if (source.grpc_services_size() < 1 || !source.grpc_services(0).has_envoy_grpc()) {
    return fail(Code::kUnsupported, "grpc_services: one with envoy_grpc is needed");
  }
  const auto& service = source.grpc_services(0);
  origin.cluster = service.envoy_grpc().cluster_name();
  for (const auto& header : service.initial_metadata()) {
    origin.metadata.emplace_back(lower(header.key()), header.value());
  }
  return origin;
}

Result<ConfigOrigin> compile_origin(const envoy::config::core::v3::ConfigSource& source) {
  if (source.has_api_config_source()) {
    auto origin = compile_origin(source.api_config_source());
    if (!origin) return std::unexpected(origin.error().in("api_config_source"));
    return origin;
  }
  ConfigOrigin origin;
  if (source.has_path_config_source() || !source.path().empty()) {
    const auto& file = source.path_config_source();
    origin.kind = ConfigOrigin::Kind::kPath;
    origin.path = source.has_path_config_source() ? file.path() : source.path();
    origin.directory = file.watched_directory().path().empty() ? directory_of(origin.path)
                                                               : file.watched_directory().path();
    if (origin.path.empty()) return fail(Code::kInvalid, "path_config_source.path: is empty");
  }
  return origin;  // ads, self, or nothing said
}

std::optional<Duration> fetch_timeout_of(const envoy::config::core::v3::ConfigSource& source) {
  if (!source.has_initial_fetch_timeout()) return std::nullopt;
  return duration_of(source.initial_fetch_timeout());
}

Status note_source(std::string_view type_url, const std::string& name,
                   const envoy::config::core::v3::ConfigSource& source, Needs* needs) {
  MIZZEN_TRY(auto origin, compile_origin(source));
  if (needs == nullptr) return {};
  if (const auto limit = fetch_timeout_of(source)) {
    const bool endless =
        limit->count() == 0 || (needs->fetch_timeout && needs->fetch_timeout->count() == 0);
    needs->fetch_timeout =
        endless ? Duration{} : std::max(*limit, needs->fetch_timeout.value_or(*limit));
  }
  if (origin.kind != ConfigOrigin::Kind::kAds) {
    needs->origins[{std::string(type_url), name}] = std::move(origin);
  }
  return {};
}

}  // namespace mizzen::proxy
