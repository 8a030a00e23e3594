#include "control/store.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::control {

using object::Json;

namespace {

void read_millis(const Json& mesh, const char* key, std::int64_t* out) {
  const std::string text = object::string_at(mesh, {key});
  std::int64_t nanos = 0;
  if (!text.empty() && object::parse_go_duration(text, &nanos)) *out = nanos / 1'000'000;
}

}  // namespace

MeshConfig parse_mesh_config(std::string_view yaml, const MeshConfig& defaults) {
  MeshConfig out = defaults;
  const auto documents = object::parse_yaml(yaml);
  if (!documents || documents->empty()) return out;
  const Json& mesh = documents->front().value;
  out.trust_domain = object::string_at(mesh, {"trustDomain"}, out.trust_domain);
  out.root_namespace = object::string_at(mesh, {"rootNamespace"}, out.root_namespace);
  out.access_log_file = object::string_at(mesh, {"accessLogFile"}, out.access_log_file);
  out.access_log_format = object::string_at(mesh, {"accessLogFormat"}, out.access_log_format);
  out.access_log_json = object::string_at(mesh, {"accessLogEncoding"}) == "JSON";
  const std::string mode = object::string_at(mesh, {"outboundTrafficPolicy", "mode"});
  if (!mode.empty()) out.registry_only = mode == "REGISTRY_ONLY";
  out.auto_mtls = object::bool_at(mesh, {"enableAutoMtls"}, out.auto_mtls);
  out.mesh_id = object::string_at(mesh, {"defaultConfig", "meshId"}, out.mesh_id);
  read_millis(mesh, "connectTimeout", &out.connect_timeout_ms);
  read_millis(mesh, "protocolDetectionTimeout", &out.detection_timeout_ms);
  return out;
}

}  // namespace mizzen::control
