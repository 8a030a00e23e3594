// Conditions of a VirtualService's HTTP route. Internal to control.
#pragma once

#include <algorithm>
#include <string_view>

#include "control/mesh/schema_types.h"
#include "control/translate/http_route.h"

namespace envoy::type::matcher::v3 {
class StringMatcher;
}

namespace mizzen::control {

// Whether a match may hold at all for this proxy, port and gateway; what it says of those is
// decided here and does not go into the route.
bool match_applies(const HttpMatchSpec& match, const RouteContext& context);

// The rest of the match; `match` null takes every request. `whole_segments`: a prefix ends at a
// slash.
void fill_match(const HttpMatchSpec* match, bool whole_segments,
                envoy::config::route::v3::RouteMatch* out);

// Whether `names`, as an object of `name_space` has them, hold `gateway` ("mesh", or
// "namespace/name").
template <class Names>
bool names_gateway(const Names& names, std::string_view name_space, std::string_view gateway) {
  return std::ranges::any_of(names, [&](const std::string& name) {
    if (name == gateway) return true;
    return name != "mesh" && gateway.size() == name_space.size() + 1 + name.size() &&
           gateway.starts_with(name_space) && gateway[name_space.size()] == '/' &&
           gateway.ends_with(name);
  });
}

// What a match says of the proxy that asks: its namespace and labels.
template <class Match>
bool source_applies(const Match& match, const Proxy& proxy) {
  if (!match.source_namespace().empty() && match.source_namespace() != proxy.name_space) {
    return false;
  }
  return std::ranges::all_of(match.source_labels(), [&](const auto& label) {
    const auto found = proxy.labels.find(label.first);
    return found != proxy.labels.end() && found->second == label.second;
  });
}

void fill_string(const StringMatchSpec& match, envoy::type::matcher::v3::StringMatcher* out);

}  // namespace mizzen::control
