#include "proxy/bootstrap/bootstrap.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/json_to_wire.h"
#include "api/names.h"
#include "api/struct_json.h"
#include "base/strings.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

using Proto = envoy::config::bootstrap::v3::Bootstrap;

// Envoy's default of initial_fetch_timeout.
constexpr Duration kDefaultFetchTimeout = std::chrono::seconds(15);
using envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;

Result<Proto> parse_proto(std::string_view text) {
  MIZZEN_TRY(const auto json, read_yaml(text));
  MIZZEN_TRY(const std::string bytes,
             api::json_to_wire(json, "envoy.config.bootstrap.v3.Bootstrap"));
  Proto proto;
  if (!proto.ParseFromString(bytes)) return fail(Code::kInvalid, "text that is not UTF-8");
  return proto;
}

xds::NodeInfo node_of(const Proto& proto, const BootstrapFlags& flags) {
  xds::NodeInfo node;
  node.id = flags.service_node.empty() ? proto.node().id() : flags.service_node;
  node.cluster = flags.service_cluster.empty() ? proto.node().cluster() : flags.service_cluster;
  node.region = proto.node().locality().region();
  node.zone = proto.node().locality().zone();
  node.sub_zone = proto.node().locality().sub_zone();
  node.metadata_json = api::struct_to_json(proto.node().metadata()).dump();
  return node;
}

Status discovery_tls(const envoy::config::cluster::v3::Cluster& cluster, DiscoverySettings& to) {
  if (!cluster.has_transport_socket()) return {};
  UpstreamTlsContext context;
  const auto& socket = cluster.transport_socket().typed_config();
  if (!socket.Is<UpstreamTlsContext>() || !context.ParseFromString(socket.value())) {
    return fail(Code::kUnsupported, "transport_socket: only TLS is supported for a control plane");
  }
  to.tls = true;
  to.sni = context.sni();
  const auto& common = context.common_tls_context();
  if (common.tls_certificates_size() + common.tls_certificate_sds_secret_configs_size() > 0) {
    return fail(Code::kUnsupported,
                "transport_socket: client certificates towards the control "
                "plane are not supported; a token is sent instead");
  }
  const auto& trust = common.has_combined_validation_context()
                          ? common.combined_validation_context().default_validation_context()
                          : common.validation_context();
  if (!trust.trusted_ca().filename().empty()) {
    to.root_file = trust.trusted_ca().filename();
  } else {
    MIZZEN_TRY(to.root_pem, data_of(trust.trusted_ca()));
  }
  if (to.root_file.empty() && to.root_pem.empty()) {
    return fail(Code::kInvalid,
                "transport_socket: trusted_ca is missing: the control plane must "
                "be verified");
  }
  return {};
}

Result<DiscoverySettings> settings_of(const envoy::config::cluster::v3::Cluster& cluster,
                                      const ConfigOrigin& origin) {
  const std::string& name = cluster.name();
  const auto& groups = cluster.load_assignment().endpoints();
  if (groups.empty() || groups[0].lb_endpoints_size() == 0) {
    return fail(Code::kInvalid, "cluster '" + name + "' has no endpoint");
  }
  DiscoverySettings settings;
  MIZZEN_TRY(auto address, compile_address(groups[0].lb_endpoints(0).endpoint().address()));
  settings.host = address.host;
  settings.port = address.port;
  settings.pipe = address.pipe;
  if (auto status = discovery_tls(cluster, settings); !status) {
    return std::unexpected(status.error().in("static cluster '" + name + "'"));
  }
  if (settings.sni.empty()) settings.sni = settings.host;
  settings.metadata = origin.metadata;
  settings.delta = origin.delta;
  return settings;
}

// cds_config or lds_config.
Result<DynamicType> dynamic_type(const envoy::config::core::v3::ConfigSource& source,
                                 std::string_view field) {
  DynamicType made;
  auto origin = compile_origin(source);
  if (!origin) return std::unexpected(origin.error().in("dynamic_resources." + std::string(field)));
  made.origin = std::move(*origin);
  made.fetch_timeout = fetch_timeout_of(source).value_or(kDefaultFetchTimeout);
  return made;
}

Status compile_dynamic(const Proto& proto, Bootstrap& made) {
  const auto& dynamic = proto.dynamic_resources();
  if (dynamic.has_cds_config()) {
    MIZZEN_TRY(made.dynamic_clusters, dynamic_type(dynamic.cds_config(), "cds_config"));
  }
  if (dynamic.has_lds_config()) {
    MIZZEN_TRY(made.dynamic_listeners, dynamic_type(dynamic.lds_config(), "lds_config"));
  }
  if (dynamic.has_ads_config()) {
    auto origin = compile_origin(dynamic.ads_config());
    if (!origin) return std::unexpected(origin.error().in("dynamic_resources.ads_config"));
    auto settings = discovery_settings(made.clusters, *origin);
    if (!settings) return std::unexpected(settings.error().in("dynamic_resources.ads_config"));
    made.discovery = std::move(*settings);
  }
  for (const auto* type : {&made.dynamic_clusters, &made.dynamic_listeners}) {
    if (!*type) continue;
    const ConfigOrigin& origin = (*type)->origin;
    if (origin.kind == ConfigOrigin::Kind::kAds && !made.discovery) {
      return fail(Code::kInvalid, "dynamic_resources: `ads` is said, but ads_config is missing");
    }
    if (origin.kind != ConfigOrigin::Kind::kGrpc) continue;
    auto settings = discovery_settings(made.clusters, origin);
    if (!settings) return std::unexpected(settings.error().in("dynamic_resources"));
  }
  const bool asks = made.discovery || made.dynamic_clusters || made.dynamic_listeners;
  if (asks && made.node.id.empty()) {
    return fail(Code::kInvalid, "node.id: a proxy with a control plane needs one");
  }
  return {};
}

// Istio and Envoy limit connections by keys of the runtime, dotted or nested.
void take_runtime(const google::protobuf::Struct& layer, const std::string& prefix, Bootstrap& to) {
  constexpr std::string_view kListener = "envoy.resource_limits.listener.";
  constexpr std::string_view kLimit = ".connection_limit";
  for (const auto& [name, value] : layer.fields()) {
    const std::string key = prefix + name;
    if (value.has_struct_value()) {
      take_runtime(value.struct_value(), key + ".", to);
      continue;
    }
    const auto limit = value.has_number_value()
                           ? static_cast<std::uint32_t>(value.number_value())
                           : parse_int<std::uint32_t>(value.string_value()).value_or(0);
    if (key == "overload.global_downstream_max_connections") {
      to.connection_limits.all = limit;
    } else if (key.starts_with(kListener) && key.ends_with(kLimit)) {
      const std::size_t size = key.size() - kListener.size() - kLimit.size();
      to.connection_limits.by_listener[key.substr(kListener.size(), size)] = limit;
    } else {
      to.warnings.push_back("bootstrap: runtime key '" + key + "' has no effect in this proxy");
    }
  }
}

// Blocks of a bootstrap without meaning here; each is said once.
void note_unused(const Proto& proto, std::vector<std::string>& warnings) {
  auto note = [&](bool set, std::string_view field) {
    if (set) warnings.push_back(fmt::format("bootstrap: {} has no effect in this proxy", field));
  };
  note(proto.has_hds_config(), "hds_config");
  note(proto.stats_sinks_size() > 0, "stats_sinks");
  note(proto.has_stats_config(), "stats_config");
  note(proto.has_watchdogs() || proto.has_watchdog(), "watchdogs");
  note(proto.has_tracing(), "tracing");
  note(proto.has_overload_manager(), "overload_manager");
  note(proto.bootstrap_extensions_size() > 0, "bootstrap_extensions");
  note(proto.has_cluster_manager(), "cluster_manager");
}

}  // namespace

Result<DiscoverySettings> discovery_settings(const std::vector<std::string>& clusters,
                                             const ConfigOrigin& origin) {
  for (const std::string& bytes : clusters) {
    envoy::config::cluster::v3::Cluster cluster;
    if (!cluster.ParseFromString(bytes) || cluster.name() != origin.cluster) continue;
    return settings_of(cluster, origin);
  }
  return fail(Code::kInvalid, "there is no static cluster '" + origin.cluster + "'");
}

Result<Bootstrap> parse_bootstrap(std::string_view text, const BootstrapFlags& flags) {
  auto parsed = parse_proto(text);
  if (!parsed) return std::unexpected(parsed.error().in("bootstrap"));
  if (!flags.overlay.empty()) {
    auto overlay = parse_proto(flags.overlay);
    if (!overlay) return std::unexpected(overlay.error().in("--config-yaml"));
    parsed->MergeFrom(*overlay);
  }
  const Proto& proto = *parsed;
  Bootstrap made;
  made.node = node_of(proto, flags);
  for (const auto& listener : proto.static_resources().listeners()) {
    made.listeners.push_back(listener.SerializeAsString());
  }
  for (const auto& cluster : proto.static_resources().clusters()) {
    made.clusters.push_back(cluster.SerializeAsString());
  }
  for (const auto& secret : proto.static_resources().secrets()) {
    made.secrets.push_back(secret.SerializeAsString());
  }
  if (proto.admin().has_address()) {
    MIZZEN_TRY(made.admin, compile_address(proto.admin().address()));
  }
  MIZZEN_CHECKED(compile_dynamic(proto, made));
  note_unused(proto, made.warnings);
  for (const auto& layer : proto.layered_runtime().layers()) {
    if (layer.has_static_layer()) take_runtime(layer.static_layer(), "", made);
  }
  made.wire = proto.SerializeAsString();
  return made;
}

Result<Bootstrap> load_bootstrap(const std::string& path, const BootstrapFlags& flags) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, "cannot read bootstrap '" + path + "'");
  std::stringstream text;
  text << file.rdbuf();
  auto made = parse_bootstrap(text.view(), flags);
  if (!made) return std::unexpected(made.error().in(path));
  return made;
}

}  // namespace mizzen::proxy
