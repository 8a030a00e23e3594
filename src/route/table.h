// A compiled route table: plain, immutable structs. Filled from Envoy's RouteConfiguration
// (envoy.config.route.v3) by src/proxy/config/routes.cc; read by match() in route/match.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "route/matchers.h"
#include "route/policies.h"

namespace mizzen::route {

struct Match {
  PathMatcher path;
  std::vector<HeaderMatcher> headers;  // all must hold
  std::vector<QueryMatcher> query;     // all must hold
  bool grpc_only = false;
  std::optional<Fraction> runtime_fraction;
};

struct HeaderValue {
  enum class Append : std::uint8_t { kAppend, kAddIfAbsent, kOverwriteOrAdd, kOverwriteIfExists };
  std::string name;   // lower case
  std::string value;  // may hold Envoy's %COMMANDS%; has_commands says so
  Append append = Append::kAppend;
  bool has_commands = false;
  bool keep_empty = false;
};

struct HeaderMutations {
  std::vector<HeaderValue> request_add;
  std::vector<std::string> request_remove;
  std::vector<HeaderValue> response_add;
  std::vector<std::string> response_remove;
  bool empty() const {
    return request_add.empty() && request_remove.empty() && response_add.empty() &&
           response_remove.empty();
  }
};

struct RegexRewrite {
  Regex regex;
  std::string substitution;
};

struct WeightedCluster {
  std::string cluster;
  std::uint32_t weight = 0;
  HeaderMutations headers;
  PerFilter per_filter;
  std::string host_rewrite;  // empty: as the route says
  bool has_metadata_match = false;
};

struct RetryPolicy {
  // Conditions of `retry_on`, as bits.
  enum On : std::uint32_t {
    k5xx = 1 << 0,
    kGatewayError = 1 << 1,
    kReset = 1 << 2,
    kConnectFailure = 1 << 3,
    kRetriable4xx = 1 << 4,
    kRefusedStream = 1 << 5,
    kRetriableStatusCodes = 1 << 6,
    kRetriableHeaders = 1 << 7,
    kResetBeforeRequest = 1 << 8,
    kEnvoyRateLimited = 1 << 9,
    kGrpcCancelled = 1 << 10,
    kGrpcDeadlineExceeded = 1 << 11,
    kGrpcResourceExhausted = 1 << 12,
    kGrpcUnavailable = 1 << 13,
    kGrpcInternal = 1 << 14,
    kHttp3PostConnectFailure = 1 << 15,
  };
  std::uint32_t on = 0;
  std::uint32_t attempts = 1;  // retries after the first try
  Duration per_try_timeout{};  // 0: none
  Duration per_try_idle_timeout{};
  std::vector<std::uint16_t> status_codes;
  std::vector<HeaderMatcher> response_headers;  // kRetriableHeaders
  std::vector<HeaderMatcher> request_headers;   // when not empty one must hold
  bool avoid_previous_hosts = false;
  std::uint32_t host_selection_attempts = 1;
  // envoy.retry_priorities.previous_priorities: its update_frequency; 0: not asked for.
  std::uint32_t leave_priority_after = 0;
  Duration base_backoff = std::chrono::milliseconds(25);
  Duration max_backoff = std::chrono::milliseconds(250);
  // rate_limited_retry_back_off: the first of these headers in the answer says when to come back.
  struct ResetHeader {
    std::string name;        // lower case
    bool timestamp = false;  // seconds since 1970; else seconds from now
  };
  std::vector<ResetHeader> reset_headers;
  Duration max_reset = std::chrono::seconds(300);
};
// The bits of "5xx,connect-failure,..."; unknown words are returned in `unknown`.
std::uint32_t parse_retry_on(std::string_view text, std::vector<std::string>* unknown);

struct HashPolicy {
  enum class Kind : std::uint8_t { kHeader, kCookie, kSourceIp, kQueryParameter };
  Kind kind = Kind::kHeader;
  std::string name;                    // header (lower case), cookie or parameter
  std::optional<Duration> cookie_ttl;  // set: a missing cookie is made; 0 is a session cookie
  std::string cookie_path;
  bool terminal = false;
  std::string cookie_attributes;  // as they are written: "; SameSite=Lax"
};

struct Mirror {
  std::string cluster;
  Fraction fraction;
  bool append_shadow_suffix = true;
};

struct Forward {               // RouteAction
  std::string cluster;         // empty when weighted or by header
  std::string cluster_header;  // the cluster's name is in this request header
  std::vector<WeightedCluster> weighted;
  std::uint32_t total_weight = 0;
  std::uint16_t cluster_not_found_status = 503;

  std::string prefix_rewrite;  // replaces what the path matched
  std::optional<RegexRewrite> regex_rewrite;
  std::string host_rewrite;  // literal; empty: none
  std::string host_rewrite_header;
  bool auto_host_rewrite = false;  // the endpoint's host name
  bool append_x_forwarded_host = false;

  Duration timeout = std::chrono::seconds(15);  // whole response; 0: none
  std::optional<Duration> idle_timeout;         // absent: as the connection says
  std::optional<Duration> max_stream_duration;
  std::optional<Duration> max_grpc_timeout;  // caps grpc-timeout; 0: whatever the client says
  std::optional<RetryPolicy> retry;
  std::vector<HashPolicy> hash;
  std::vector<Mirror> mirrors;
  std::vector<std::pair<std::string, bool>> upgrades;  // upgrade type, enabled
  bool terminate_connect = false;  // CONNECT ends here, its bytes go on (connect_config)
  bool high_priority = false;
};

struct Redirect {
  std::string scheme;  // empty: unchanged
  std::string host;
  std::uint16_t port = 0;
  std::string path;  // replaces path and query
  std::string prefix_rewrite;
  std::optional<RegexRewrite> regex_rewrite;
  std::uint16_t status = 301;
  bool strip_query = false;
};

struct DirectResponse {
  std::uint16_t status = 200;
  std::string body;
};

struct Route {
  std::string name;
  Match match;
  enum class Action : std::uint8_t { kForward, kRedirect, kDirectResponse, kNone };
  Action action = Action::kForward;
  Forward forward;
  Redirect redirect;
  DirectResponse direct;
  HeaderMutations headers;
  PerFilter per_filter;
  std::string operation;    // decorator: the span's name
  std::string stat_prefix;  // not empty: the route has statistics of its own
  std::string source;       // metadata istio.config: the VirtualService's path, or empty
};

struct VirtualHost {
  std::string name;
  std::vector<std::string> domains;
  std::vector<Route> routes;
  enum class RequireTls : std::uint8_t { kNone, kExternalOnly, kAll };
  RequireTls require_tls = RequireTls::kNone;
  HeaderMutations headers;
  PerFilter per_filter;
  std::optional<RetryPolicy> retry;    // for routes without one of their own
  bool include_attempt_count = false;  // x-envoy-attempt-count to the upstream
  bool include_attempt_count_in_response = false;
};

// One RouteConfiguration. Immutable once index() has run; shared by snapshots.
struct Table {
  std::string name;
  std::vector<VirtualHost> hosts;
  HeaderMutations headers;
  PerFilter per_filter;
  bool ignore_port = false;  // ignore_port_in_host_matching
  bool most_specific_mutations_win = false;
  std::string source;  // metadata istio.config

  // Builds the look-up of domains. Fails when a domain stands twice (both hosts are named) or is
  // not a domain. Must be called once, after `hosts` is complete.
  Status index();

  // The look-up, made by index(): positions in `hosts`. Keys in lower case, without the star.
  struct Wildcard {
    std::string text;
    std::size_t host;
  };
  std::unordered_map<std::string, std::size_t> exact;
  std::vector<Wildcard> suffixes;  // "*.foo.com", longest first
  std::vector<Wildcard> prefixes;  // "foo.*", longest first
  std::optional<std::size_t> any;  // "*"
};

using TableRef = std::shared_ptr<const Table>;

}  // namespace mizzen::route
