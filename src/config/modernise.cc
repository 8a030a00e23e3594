// Names of older releases, rewritten to today's.
#include "config/validate.h"

namespace mizzen::config {
namespace {

Json* member(Json& value, std::string_view key) {
  if (!value.is_object()) return nullptr;
  auto it = value.find(key);
  return it == value.end() ? nullptr : &*it;
}

template <class Fn>
void each(Json* list, Fn fn) {
  if (!list || !list->is_array()) return;
  for (Json& item : *list) fn(item);
}

// Moves `from` to `to` unless that is there already; `shape` makes the new value.
template <class Fn>
void rename(Json& value, std::string_view from, std::string_view to, Fn shape) {
  Json* old = member(value, from);
  if (!old) return;
  if (!value.contains(to)) value[std::string(to)] = shape(*old);
  value.erase(std::string(from));
}

Json same(const Json& value) { return value; }
Json percentage(const Json& value) { return {{"value", value}}; }

void traffic_policy(Json& policy) {
  if (Json* outlier = member(policy, "outlierDetection")) {
    const Json* errors = member(*outlier, "consecutiveErrors");
    // It counted errors of gateways alone: the rule for all of 5xx, which acts by default, goes.
    if (errors != nullptr && errors->is_number() && *errors > 0 &&
        !outlier->contains("consecutive5xxErrors")) {
      (*outlier)["consecutive5xxErrors"] = 0;
    }
    rename(*outlier, "consecutiveErrors", "consecutiveGatewayErrors", same);
  }
  if (Json* balancer = member(policy, "loadBalancer")) {
    if (Json* simple = member(*balancer, "simple"); simple && *simple == "LEAST_CONN")
      *simple = "LEAST_REQUEST";
    rename(*balancer, "warmupDurationSecs", "warmup", [](const Json& value) {
      return Json{{"duration", value}};
    });
    if (Json* hash = member(*balancer, "consistentHash")) {
      rename(*hash, "minimumRingSize", "ringHash", [](const Json& value) {
        return Json{{"minimumRingSize", value}};
      });
    }
  }
  each(member(policy, "portLevelSettings"), traffic_policy);
}

void http_route(Json& route) {
  rename(route, "mirrorPercent", "mirrorPercentage", percentage);
  rename(route, "mirror_percent", "mirrorPercentage", percentage);
  if (Json* fault = member(route, "fault")) {
    for (std::string_view part : {"delay", "abort"}) {
      if (Json* one = member(*fault, part)) rename(*one, "percent", "percentage", percentage);
    }
  }
  if (Json* cors = member(route, "corsPolicy")) {
    rename(*cors, "allowOrigin", "allowOrigins", [](const Json& value) {
      Json out = Json::array();
      for (const Json& origin : value) out.push_back({{"exact", origin}});
      return out;
    });
  }
}

}  // namespace

void modernise(const Kind& kind, Json& object) {
  Json* spec = member(object, "spec");
  if (!kind.custom || !spec) return;
  if (kind.kind == "VirtualService") {
    each(member(*spec, "http"), http_route);
  } else if (kind.kind == "DestinationRule") {
    if (Json* policy = member(*spec, "trafficPolicy")) traffic_policy(*policy);
    each(member(*spec, "subsets"), [](Json& subset) {
      if (Json* policy = member(subset, "trafficPolicy")) traffic_policy(*policy);
    });
  }
}

}  // namespace mizzen::config
