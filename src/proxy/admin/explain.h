// What would become of a request, and why: the same listeners, chains, tables, policies and
// clusters that carry traffic are asked by the same functions, for one request that is never sent.
// Costs the data path nothing: it reads the published configuration on the main thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/address.h"
#include "proxy/config/live_config.h"

namespace mizzen::proxy {

struct ExplainRequest {
  // How the connection comes: captured on its way out or in, or straight to the destination (a
  // gateway's port).
  enum class Way : std::uint8_t { kOutbound, kInbound, kDirect };
  Way way = Way::kOutbound;
  io::Address destination;
  io::Address source;
  std::string principal;  // SPIFFE id of a mutual TLS client; empty: none
  bool tls = false;       // the connection begins with a TLS handshake
  std::string server_name;
  std::string method = "GET";
  std::string authority;
  std::string path = "/";
  std::vector<std::pair<std::string, std::string>> headers;
  std::uint64_t random = 0;  // draws among weighted clusters
};

// From the query of the admin page /explain: way, destination, source, principal, tls, sni, method,
// authority, path, headers (a JSON object), random. Errors: kInvalid names the parameter.
Result<ExplainRequest> parse_explain(std::string_view query);

// What the request would first ask the control plane for (destinations.h), of names that this has
// not spoken about. Once they are known there may be others.
std::vector<std::string> unknown_destinations(const LiveConfig& config,
                                              const ExplainRequest& request);

// An object with `listener`, `filterChain`, `networkPolicies`, then for HTTP `routeConfig`,
// `virtualHost`, `reasons` (why each route before the chosen one did not match), `route`,
// `filters`, and `clusters` with their endpoints; `outcome` says the end in one sentence.
nlohmann::json explain(const LiveConfig& config, const ExplainRequest& request);

}  // namespace mizzen::proxy
