// VirtualServices that hand routes to others. Internal to control.
#pragma once

#include <string_view>
#include <vector>

#include "control/mesh/snapshot.h"

namespace mizzen::control {

// The rules with every delegating route replaced by the routes of its delegate (a VirtualService
// without hosts, exported to the root's namespace): the conditions of both hold, and the root says
// what the delegate leaves unsaid of timeouts, retries, headers and the like. Left out is a route
// whose delegate is not there, or one of whose conditions does not lie within any of the root's.
// Delegates do not delegate further.
std::vector<VirtualServiceRule> expand_delegates(std::vector<VirtualServiceRule> rules,
                                                 std::string_view domain);

}  // namespace mizzen::control
