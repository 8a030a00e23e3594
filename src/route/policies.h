// Policies of single filters that a route may carry (typed_per_filter_config), as plain structs.
// The same structs serve the filter's own configuration in the chain.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "route/matchers.h"

namespace mizzen::route {

// envoy.extensions.filters.http.fault.v3.HTTPFault
struct Fault {
  std::optional<Fraction> delay_share;  // absent: no delay
  Duration delay{};
  std::optional<Fraction> abort_share;  // absent: no abort
  std::uint16_t abort_status = 0;       // 0 when a gRPC status is given
  std::int32_t abort_grpc_status = -1;
  std::vector<HeaderMatcher> headers;  // all must hold for the fault to act
  std::string upstream_cluster;        // when set, only for this cluster
  std::optional<std::uint32_t> max_active;
};

// envoy.extensions.filters.http.cors.v3.CorsPolicy
struct Cors {
  std::vector<StringMatcher> origins;
  std::string allow_methods;
  std::string allow_headers;
  std::string expose_headers;
  std::string max_age;
  std::optional<bool> allow_credentials;
  bool forward_unmatched_preflights = true;
  bool enabled = true;
};

// envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
struct LocalRateLimit {
  std::string stat_prefix;
  std::uint32_t max_tokens = 0;
  std::uint32_t tokens_per_fill = 1;
  Duration fill_interval{};
  std::uint16_t status = 429;
  bool enabled = false;
  bool enforced = false;
  bool per_connection = false;
};

// What a route, a virtual host or a weighted cluster says to single filters. The most specific one
// that says something wins: weighted cluster, route, virtual host, table.
struct PerFilter {
  std::shared_ptr<const Fault> fault;
  std::shared_ptr<const Cors> cors;
  std::shared_ptr<const LocalRateLimit> rate_limit;
  std::vector<std::string> disabled;  // filters switched off here, by name
};

}  // namespace mizzen::route
