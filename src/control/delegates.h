// VirtualServices that hand routes to others. Internal to control.
#pragma once

#include <string_view>
#include <vector>

#include "control/snapshot.h"

namespace mizzen::control {

// The rules with every delegating route replaced by the routes of its delegate (a VirtualService
// without hosts): both their conditions hold, and what the root says of timeouts, retries, headers
// and the like goes before what the delegate says. A route whose delegate is not there, or whose
// conditions exclude each other, is left out. Delegates do not delegate further.
std::vector<VirtualServiceRule> expand_delegates(std::vector<VirtualServiceRule> rules,
                                                 std::string_view domain);

}  // namespace mizzen::control
