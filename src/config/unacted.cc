// Which fields of the schemas nothing acts on yet. The list shrinks as features land.
#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/strings.h"
#include "config/validate.h"
#include "object/walker_types.h"

namespace mizzen::config {
namespace {

// Kinds that are stored and validated only.
constexpr std::array<std::string_view, 12> kUnactedKinds = {
    "ServiceEntry", "Sidecar",     "WorkloadEntry",         "WorkloadGroup",
    "EnvoyFilter",  "ProxyConfig", "RequestAuthentication", "AuthorizationPolicy",
    "Telemetry",    "WasmPlugin",  "TrafficExtension",      ""};

// "Message.field" by proto names.
const std::set<std::string_view>& unacted() {
  static const std::set<std::string_view> fields = {
      "L4MatchAttributes.source_subnet",
      "HTTPSettings.http2_keep_alive",
      "OutlierDetection.outlier_detection_http_error_codes",
      "LoadBalancerSettings.locality_lb_setting",
      "LoadBalancerSettings.zone_aware_lb_setting",
      "TrafficPolicy.tunnel",
      "TrafficPolicy.proxy_protocol",
      "Server.default_endpoint",
      "RetryBudget.budget_interval",
  };
  return fields;
}

void walk(const Json& value, const google::protobuf::Descriptor& type, const std::string& path,
          std::vector<std::string>* out) {
  const object::TypeInfo& info = object::type_info(type);
  if (info.special != object::Special::kNone || !value.is_object()) return;
  for (const auto& [key, item] : value.items()) {
    auto it = info.fields.find(key);
    if (it == info.fields.end() || item.is_null()) continue;
    const auto& field = *it->second.field;
    std::string here = path.empty() ? key : path + "." + key;
    if (unacted().contains(field.containing_type()->name() + "." + field.name())) {
      out->push_back(here);
      continue;
    }
    if (!field.message_type()) continue;
    if (field.is_map()) {
      const auto* inner = field.message_type()->map_value()->message_type();
      if (!inner || !item.is_object()) continue;
      for (const auto& [name, one] : item.items())
        walk(one, *inner, fmt::format("{}[{}]", here, name), out);
    } else if (field.is_repeated()) {
      for (std::size_t i = 0; item.is_array() && i < item.size(); ++i) {
        walk(item[i], *field.message_type(), fmt::format("{}[{}]", here, i), out);
      }
    } else {
      walk(item, *field.message_type(), here, out);
    }
  }
}

}  // namespace

std::vector<std::string> unacted_fields(const Kind& kind, const Json& object) {
  std::vector<std::string> out;
  if (!kind.custom || !kind.descriptor) return out;
  const Json* spec = object::find(object, {"spec"});
  if (!spec || !spec->is_object()) return out;
  if (std::ranges::find(kUnactedKinds, kind.kind) != kUnactedKinds.end()) {
    for (const auto& [key, value] : spec->items()) out.push_back("spec." + key);
    if (out.empty()) out.emplace_back("spec");  // an empty policy means something too
    return out;
  }
  const auto* field = kind.descriptor->FindFieldByName("spec");
  walk(*spec, *field->message_type(), "spec", &out);
  return out;
}

}  // namespace mizzen::config
