#include <algorithm>

#include "config/validate.h"
#include "control/mesh/store.h"
#include "istio/mesh.pb.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::control {

using object::Json;

namespace {

using Spec = schema::mesh::MeshConfig;

std::int64_t millis(const google::protobuf::Duration& duration) {
  return duration.seconds() * 1000 + duration.nanos() / 1'000'000;
}

void take(const std::string& from, std::string* to) {
  if (!from.empty()) *to = from;
}

template <class Repeated>
void take_list(const Repeated& from, std::vector<std::string>* to) {
  if (!from.empty()) to->assign(from.begin(), from.end());
}

void read_access_log(const Spec& spec, MeshConfig* out, std::vector<std::string>* problems) {
  take(spec.access_log_file(), &out->access_log_file);
  out->access_log_json = spec.access_log_encoding() == Spec::JSON;
  if (!out->access_log_json) {
    take(spec.access_log_format(), &out->access_log_format);
    return;
  }
  if (spec.access_log_format().empty()) return;
  const auto fields = object::parse_json(spec.access_log_format());
  if (!fields || !fields->is_object()) {
    problems->push_back("accessLogFormat: with accessLogEncoding JSON it must be a JSON object");
    return;
  }
  out->access_log_format = fields->dump();
}

NamespaceSelector read_selector(const schema::mesh::LabelSelector& spec) {
  NamespaceSelector out;
  for (const auto& [key, value] : spec.match_labels()) out.labels[key] = value;
  for (const auto& expression : spec.match_expressions()) {
    out.expressions.push_back({expression.key(),
                               expression.operator_(),
                               {expression.values().begin(), expression.values().end()}});
  }
  return out;
}

PathRule path_rule(Spec::ProxyPathNormalization::NormalizationType type) {
  switch (type) {
    case Spec::ProxyPathNormalization::NONE:
      return PathRule::kNone;
    case Spec::ProxyPathNormalization::MERGE_SLASHES:
      return PathRule::kMergeSlashes;
    case Spec::ProxyPathNormalization::DECODE_AND_MERGE_SLASHES:
      return PathRule::kDecodeAndMergeSlashes;
    default:
      return PathRule::kBase;
  }
}

void read_traffic(const Spec& spec, MeshConfig* out, std::vector<std::string>* problems) {
  using Outbound = Spec::OutboundTrafficPolicy;
  if (spec.has_outbound_traffic_policy()) {
    out->registry_only = spec.outbound_traffic_policy().mode() == Outbound::REGISTRY_ONLY;
    if (spec.outbound_traffic_policy().mode() == Outbound::ALLOW_ANY_DYNAMIC_DNS) {
      problems->push_back(
          "outboundTrafficPolicy.mode: ALLOW_ANY_DYNAMIC_DNS is not supported, ALLOW_ANY holds");
    }
  }
  if (spec.has_connect_timeout()) out->connect_timeout_ms = millis(spec.connect_timeout());
  if (spec.has_protocol_detection_timeout()) {
    out->detection_timeout_ms = millis(spec.protocol_detection_timeout());
  }
  if (spec.has_dns_refresh_rate()) out->dns_refresh_ms = millis(spec.dns_refresh_rate());
  if (spec.has_tcp_keepalive()) {
    const auto& keepalive = spec.tcp_keepalive();
    out->keepalive =
        Keepalive{keepalive.probes(), static_cast<std::uint32_t>(keepalive.time().seconds()),
                  static_cast<std::uint32_t>(keepalive.interval().seconds())};
  }
  if (spec.has_default_http_retry_policy()) {
    out->default_retries = spec.default_http_retry_policy().SerializeAsString();
    out->has_default_retries = true;
  }
  out->path_rule = path_rule(spec.path_normalization().normalization());
  out->h2_upgrade = spec.h2_upgrade_policy() == Spec::UPGRADE;
}

}  // namespace

bool NamespaceSelector::matches(const Labels& have) const {
  if (!labels_match(labels, have)) return false;
  return std::ranges::all_of(expressions, [&](const Expression& expression) {
    const auto found = have.find(expression.key);
    const bool there = found != have.end();
    const bool in =
        there && std::ranges::find(expression.values, found->second) != expression.values.end();
    if (expression.op == "In") return in;
    if (expression.op == "NotIn") return !in;
    if (expression.op == "Exists") return there;
    return expression.op == "DoesNotExist" && !there;
  });
}

MeshConfig parse_mesh_config(std::string_view yaml, const MeshConfig& defaults,
                             std::vector<std::string>* problems) {
  MeshConfig out = defaults;
  const auto documents = object::parse_yaml(yaml);
  if (!documents) {
    problems->push_back(documents.error().message);
    return out;
  }
  if (documents->empty() || !documents->front().value.is_object()) return out;
  const Json& mesh = documents->front().value;
  Spec spec;
  for (const object::FieldError& error : object::decode(mesh, &spec)) {
    problems->push_back(object::to_string(error));
  }
  for (const std::string& field : config::unacted_mesh_fields(mesh)) {
    problems->push_back(field + ": read but not acted on yet");
  }
  take(spec.trust_domain(), &out.trust_domain);
  take_list(spec.trust_domain_aliases(), &out.trust_domain_aliases);
  take(spec.root_namespace(), &out.root_namespace);
  take(spec.default_config().mesh_id(), &out.mesh_id);
  if (spec.has_enable_auto_mtls()) out.auto_mtls = spec.enable_auto_mtls();
  if (spec.has_enable_prometheus_merge()) out.prometheus_merge = spec.enable_prometheus_merge();
  take_list(spec.default_service_export_to(), &out.service_export_to);
  take_list(spec.default_virtual_service_export_to(), &out.virtual_service_export_to);
  take_list(spec.default_destination_rule_export_to(), &out.destination_rule_export_to);
  for (const auto& selector : spec.discovery_selectors()) {
    out.discovery_selectors.push_back(read_selector(selector));
  }
  out.tls13_only = spec.mesh_m_tls().min_protocol_version() == Spec::TLSConfig::TLSV1_3;
  read_access_log(spec, &out, problems);
  read_traffic(spec, &out, problems);
  if (const Json* proxies = object::find(mesh, {"defaultConfig"}); proxies != nullptr) {
    out.default_proxy_config = proxies->dump();
  }
  return out;
}

}  // namespace mizzen::control
