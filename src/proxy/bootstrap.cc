#include "proxy/bootstrap.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config_parts.h"

namespace mizzen::proxy {
namespace {

using Proto = envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::cluster::v3::Cluster;
using envoy::config::core::v3::ApiConfigSource;
using envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;

Result<Proto> parse_proto(std::string_view text) {
  MIZZEN_TRY(auto json, yaml_to_json(text));
  Proto proto;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  auto status = google::protobuf::util::JsonStringToMessage(json, &proto, options);
  if (!status.ok()) return fail(Code::kInvalid, std::string(status.message()));
  return proto;
}

xds::NodeInfo node_of(const Proto& proto, const BootstrapFlags& flags) {
  xds::NodeInfo node;
  node.id = flags.service_node.empty() ? proto.node().id() : flags.service_node;
  node.cluster = flags.service_cluster.empty() ? proto.node().cluster() : flags.service_cluster;
  node.region = proto.node().locality().region();
  node.zone = proto.node().locality().zone();
  node.sub_zone = proto.node().locality().sub_zone();
  if (proto.node().has_metadata()) {  // appends to what is there
    (void)google::protobuf::util::MessageToJsonString(proto.node().metadata(), &node.metadata_json);
  }
  if (node.metadata_json.empty()) node.metadata_json = "{}";
  return node;
}

Status discovery_tls(const Cluster& cluster, DiscoverySettings& to) {
  if (!cluster.has_transport_socket()) return {};
  UpstreamTlsContext context;
  if (!cluster.transport_socket().typed_config().UnpackTo(&context)) {
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

Result<DiscoverySettings> discovery_of(const Proto& proto, const ApiConfigSource& source) {
  if (source.api_type() != ApiConfigSource::DELTA_GRPC &&
      source.api_type() != ApiConfigSource::AGGREGATED_DELTA_GRPC &&
      source.api_type() != ApiConfigSource::GRPC &&
      source.api_type() != ApiConfigSource::AGGREGATED_GRPC) {
    return fail(Code::kUnsupported, "ads_config.api_type: only gRPC is supported");
  }
  if (source.grpc_services_size() < 1 || !source.grpc_services(0).has_envoy_grpc()) {
    return fail(Code::kUnsupported, "ads_config.grpc_services: one with envoy_grpc is needed");
  }
  const auto& service = source.grpc_services(0);
  const std::string& name = service.envoy_grpc().cluster_name();
  const Cluster* cluster = nullptr;
  for (const auto& each : proto.static_resources().clusters()) {
    if (each.name() == name) cluster = &each;
  }
  if (!cluster) {
    return fail(Code::kInvalid, "ads_config: there is no static cluster '" + name + "'");
  }
  const auto& groups = cluster->load_assignment().endpoints();
  if (groups.empty() || groups[0].lb_endpoints_size() == 0) {
    return fail(Code::kInvalid, "ads_config: cluster '" + name + "' has no endpoint");
  }
  DiscoverySettings settings;
  MIZZEN_TRY(auto address, compile_address(groups[0].lb_endpoints(0).endpoint().address()));
  settings.host = address.host;
  settings.port = address.port;
  settings.pipe = address.pipe;
  if (auto status = discovery_tls(*cluster, settings); !status) {
    return std::unexpected(status.error().in("static cluster '" + name + "'"));
  }
  if (settings.sni.empty()) settings.sni = settings.host;
  for (const auto& header : service.initial_metadata()) {
    settings.metadata.emplace_back(lower(header.key()), header.value());
  }
  return settings;
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
  note(proto.has_layered_runtime(), "layered_runtime");
  note(proto.has_overload_manager(), "overload_manager");
  note(proto.bootstrap_extensions_size() > 0, "bootstrap_extensions");
  note(proto.has_cluster_manager(), "cluster_manager");
}

}  // namespace

Result<Bootstrap> parse_bootstrap(std::string_view text, const BootstrapFlags& flags) {
  auto parsed = parse_proto(text);
  if (!parsed) return std::unexpected(parsed.error().in("bootstrap"));
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
  const auto& dynamic = proto.dynamic_resources();
  auto by_ads = [](const envoy::config::core::v3::ConfigSource& source) {
    return source.has_ads();
  };
  if (dynamic.has_lds_config() && !by_ads(dynamic.lds_config())) {
    return fail(Code::kUnsupported, "dynamic_resources.lds_config: only ads is supported");
  }
  if (dynamic.has_cds_config() && !by_ads(dynamic.cds_config())) {
    return fail(Code::kUnsupported, "dynamic_resources.cds_config: only ads is supported");
  }
  if (dynamic.has_ads_config()) {
    auto discovery = discovery_of(proto, dynamic.ads_config());
    if (!discovery) return std::unexpected(discovery.error().in("dynamic_resources"));
    if (made.node.id.empty()) {
      return fail(Code::kInvalid, "node.id: a proxy with a control plane needs one");
    }
    made.discovery = std::move(*discovery);
  }
  note_unused(proto, made.warnings);
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
