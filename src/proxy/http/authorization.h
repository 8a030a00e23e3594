// Authorization of connections and requests by the chain's RBAC rules (route/rbac.h decides).
#pragma once

#include <optional>
#include <string>

#include "proxy/facts.h"
#include "route/rbac.h"

namespace mizzen::proxy {

// The details of a refusal, "rbac_access_denied_matched_policy[...]", or nothing when allowed.
std::optional<std::string> denied(const route::Rbac& rules, const ConnectionInfo& connection,
                                  const io::Address& remote, const route::RequestView* request);

// The same for the network filters of a TCP chain.
std::optional<std::string> denied_by_chain(const FilterChain& chain,
                                           const ConnectionInfo& connection);

}  // namespace mizzen::proxy
