// Which fields of the schemas nothing acts on yet. The list shrinks as features land.
#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/strings.h"
#include "config/validate.h"
#include "istio/mesh.pb.h"
#include "object/walker_types.h"

namespace mizzen::config {
namespace {

// Kinds that are stored and validated only.
constexpr std::array<std::string_view, 6> kUnactedKinds = {
    "EnvoyFilter", "RequestAuthentication", "AuthorizationPolicy", "Telemetry",
    "WasmPlugin",  "TrafficExtension"};

// Of the mesh configuration, as "Message.field" by proto names. A field of the other kinds is acted
// on or refused (rules.h).
const std::set<std::string_view>& unacted_of_mesh() {
  static const std::set<std::string_view> fields = {
      "MeshConfig.proxy_listen_port",
      "MeshConfig.proxy_inbound_listen_port",
      "MeshConfig.proxy_http_port",
      "MeshConfig.hbone_idle_timeout",
      "MeshConfig.ingress_class",
      "MeshConfig.ingress_service",
      "MeshConfig.ingress_controller_mode",
      "MeshConfig.ingress_selector",
      "MeshConfig.enable_tracing",
      "MeshConfig.enable_envoy_access_log_service",
      "MeshConfig.inbound_traffic_policy",
      "MeshConfig.config_sources",
      "MeshConfig.ca_certificates",
      "MeshConfig.locality_lb_setting",
      "MeshConfig.zone_aware_lb_setting",
      "MeshConfig.inbound_cluster_stat_name",
      "MeshConfig.outbound_cluster_stat_name",
      "MeshConfig.certificates",
      "MeshConfig.service_settings",
      "MeshConfig.service_scope_configs",
      "MeshConfig.verify_certificate_at_client",
      "MeshConfig.ca",
      "MeshConfig.extension_providers",
      "MeshConfig.default_providers",
      "MeshConfig.tls_defaults",
      "MeshConfig.default_traffic_policy",
      "MeshConfig.service_entry_visibility",
      "OutboundTrafficPolicy.tls",
      "TLSConfig.ecdh_curves",
      "TLSConfig.cipher_suites",
      "ProxyConfig.config_path",
      "ProxyConfig.binary_path",
      "ProxyConfig.service_cluster",
      "ProxyConfig.tracing_service_name",
      "ProxyConfig.drain_duration",
      "ProxyConfig.discovery_refresh_delay",
      "ProxyConfig.zipkin_address",
      "ProxyConfig.statsd_udp_address",
      "ProxyConfig.envoy_metrics_service_address",
      "ProxyConfig.proxy_admin_port",
      "ProxyConfig.availability_zone",
      "ProxyConfig.control_plane_auth_policy",
      "ProxyConfig.custom_config_file",
      "ProxyConfig.stat_name_length",
      "ProxyConfig.proxy_bootstrap_template_path",
      "ProxyConfig.tracing",
      "ProxyConfig.sds",
      "ProxyConfig.envoy_access_log_service",
      "ProxyConfig.envoy_metrics_service",
      "ProxyConfig.runtime_values",
      "ProxyConfig.extra_stat_tags",
      "ProxyConfig.gateway_topology",
      "ProxyConfig.readiness_probe",
      "ProxyConfig.proxy_stats_matcher",
      "ProxyConfig.ca_certificates_pem",
      "ProxyConfig.private_key_provider",
      "ProxyConfig.proxy_headers",
      "ProxyConfig.file_flush_interval",
      "ProxyConfig.file_flush_min_size_kb",
      "ProxyConfig.stats_compression",
  };
  return fields;
}

void walk(const Json& value, const google::protobuf::Descriptor& type, const std::string& path,
          const std::set<std::string_view>& unacted, std::vector<std::string>* out) {
  const object::TypeInfo& info = object::type_info(type);
  if (info.special != object::Special::kNone || !value.is_object()) return;
  for (const auto& [key, item] : value.items()) {
    auto it = info.fields.find(key);
    if (it == info.fields.end() || item.is_null()) continue;
    const auto& field = *it->second.field;
    std::string here = path.empty() ? key : path + "." + key;
    if (unacted.contains(field.containing_type()->name() + "." + field.name())) {
      out->push_back(here);
      continue;
    }
    if (!field.message_type()) continue;
    if (field.is_map()) {
      const auto* inner = field.message_type()->map_value()->message_type();
      if (!inner || !item.is_object()) continue;
      for (const auto& [name, one] : item.items())
        walk(one, *inner, fmt::format("{}[{}]", here, name), unacted, out);
    } else if (field.is_repeated()) {
      for (std::size_t i = 0; item.is_array() && i < item.size(); ++i) {
        walk(item[i], *field.message_type(), fmt::format("{}[{}]", here, i), unacted, out);
      }
    } else {
      walk(item, *field.message_type(), here, unacted, out);
    }
  }
}

}  // namespace

std::vector<std::string> unacted_fields(const Kind& kind, const Json& object) {
  std::vector<std::string> out;
  if (std::ranges::find(kUnactedKinds, kind.kind) == kUnactedKinds.end()) return out;
  const Json* spec = object::find(object, {"spec"});
  if (!spec || !spec->is_object()) return out;
  for (const auto& [key, value] : spec->items()) out.push_back("spec." + key);
  if (out.empty()) out.emplace_back("spec");  // an empty policy means something too
  return out;
}

std::vector<std::string> unacted_mesh_fields(const Json& mesh) {
  std::vector<std::string> out;
  walk(mesh, *schema::mesh::MeshConfig::descriptor(), "", unacted_of_mesh(), &out);
  return out;
}

std::vector<std::string> unacted_proxy_fields(const Json& config) {
  std::vector<std::string> out;
  walk(config, *schema::mesh::ProxyConfig::descriptor(), "", unacted_of_mesh(), &out);
  return out;
}

}  // namespace mizzen::config
