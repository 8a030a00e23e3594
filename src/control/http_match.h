// Conditions of a VirtualService's HTTP route. Internal to control.
#pragma once

#include "control/http_route.h"
#include "control/schema_types.h"

namespace envoy::type::matcher::v3 {
class StringMatcher;
}

namespace mizzen::control {

// Whether a match may hold at all for this proxy, port and gateway; what it says of those is
// decided here and does not go into the route.
bool match_applies(const HttpMatchSpec& match, const RouteContext& context);

// The rest of the match; `match` null takes every request.
void fill_match(const HttpMatchSpec* match, envoy::config::route::v3::RouteMatch* out);

// True when every request fits.
bool takes_all(const HttpMatchSpec& match);

void fill_string(const StringMatchSpec& match, envoy::type::matcher::v3::StringMatcher* out);

}  // namespace mizzen::control
