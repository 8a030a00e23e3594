// Versions of built-in kinds that differ in more than their name: HorizontalPodAutoscaler v1, whose
// one target is a percentage of the processor, is stored as v2.
#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

constexpr const char* kTarget = "targetCPUUtilizationPercentage";

bool is_autoscaler_v1(const Type& type, std::string_view version) {
  return version == "v1" && type.group == "autoscaling";
}

}  // namespace

void to_stored_version(const Type& type, std::string_view version, Json& object) {
  if (!is_autoscaler_v1(type, version) || !at_path(object, {"spec"}).is_object()) return;
  Json& spec = object["spec"];
  const Json target = at_path(spec, {kTarget});
  spec.erase(kTarget);
  if (!target.is_number_integer()) return;
  const Json resource = {{"name", "cpu"},
                         {"target", {{"type", "Utilization"}, {"averageUtilization", target}}}};
  spec["metrics"] = Json::array({Json{{"type", "Resource"}, {"resource", resource}}});
}

Json as_version(const Type& type, std::string_view version, const Json& stored) {
  Json object = stored;
  object["apiVersion"] = type.api_version(version);
  object["kind"] = type.kind;
  if (!is_autoscaler_v1(type, version) || !at_path(object, {"spec"}).is_object()) return object;
  for (const Json& metric : at_path(object, {"spec", "metrics"})) {
    const Json& target = at_path(metric, {"resource", "target", "averageUtilization"});
    if (text_at(metric, {"resource", "name"}) == "cpu" && target.is_number_integer()) {
      object["spec"][kTarget] = target;
    }
  }
  object["spec"].erase("metrics");
  return object;
}

}  // namespace mizzen::local
