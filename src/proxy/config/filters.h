// What filter chains do, as plain structs: connection managers, TCP proxies, their filters in
// order, and access logs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "http/codec.h"
#include "route/rbac.h"
#include "route/table.h"

namespace mizzen::proxy {

// --- Access logs ---

struct AccessLog {
  std::string path;  // "/dev/stdout", "/dev/stderr" or a file
  // Envoy's text with %COMMANDS%; a line of JSON as written in configuration, behind a byte 0.
  std::string format;
  // A line of JSON, cut where values come in: text, then the format of a value (empty at the end).
  struct JsonPart {
    std::string before;
    std::string value;
  };
  std::vector<JsonPart> json;  // empty: lines are text
  // Filter: only requests with one of these response flags ("NR"); empty: all.
  std::vector<std::string> only_flags;
  std::optional<std::uint16_t> minimum_status;  // status_code_filter GE
};

// --- Network filters ---

struct NetworkRbac {
  std::shared_ptr<const route::Rbac> rules;
  std::string stat_prefix;
};
using NetworkFilter = std::variant<NetworkRbac>;

struct TcpSettings {
  std::string stat_prefix;
  std::string cluster;
  std::vector<std::pair<std::string, std::uint32_t>> weighted;  // cluster, weight; when not empty
  std::uint32_t total_weight = 0;
  std::optional<Duration> idle_timeout = std::chrono::hours(1);  // absent: none
  std::optional<Duration> max_duration;                          // of a connection
  std::uint32_t max_connect_attempts = 1;
  // tunneling_config: the bytes go as the body of an HTTP request to the cluster.
  struct Tunnel {
    std::string target;  // "host:port"
    bool post = false;   // instead of CONNECT
  };
  std::optional<Tunnel> tunnel;
  std::vector<route::HashPolicy> hash;
  std::vector<AccessLog> access_logs;
};

// --- HTTP filters ---

struct FaultFilter {
  std::shared_ptr<const route::Fault> policy;  // null: only what routes say
};
struct CorsFilter {};
struct RbacFilter {
  std::shared_ptr<const route::Rbac> rules;  // null: nothing to enforce
  std::shared_ptr<const route::Rbac> shadow;
  std::string shadow_stat_prefix;
};
struct RateLimitFilter {
  std::shared_ptr<const route::LocalRateLimit> policy;
};
struct GrpcStatsFilter {};
struct GrpcWebFilter {};
struct RouterFilter {
  bool suppress_envoy_headers = false;
};
struct HttpFilter {
  std::string name;  // the filter's name in the chain
  bool disabled = false;
  std::variant<FaultFilter, CorsFilter, RbacFilter, RateLimitFilter, GrpcStatsFilter, GrpcWebFilter,
               RouterFilter>
      settings;
};

struct Tracing {
  double client_sampling = 100;
  double random_sampling = 100;
  double overall_sampling = 100;
  std::vector<std::pair<std::string, std::string>> literal_tags;
  std::vector<std::pair<std::string, std::string>> header_tags;  // tag, request header
};

// envoy.config.core.v3.KeepaliveSettings: PINGs on idle HTTP/2 connections.
struct KeepAliveSettings {
  Duration interval{};
  Duration timeout{};  // without an answer the connection is dead
  double jitter_percent = 15;
};

// envoy HttpConnectionManager.
struct HttpSettings {
  std::string stat_prefix;
  route::TableRef table;  // inline route_config; null when by RDS
  std::string rds_name;
  std::vector<HttpFilter> filters;  // ends with the router
  bool grpc_web = false;            // one of them is the gRPC-Web filter

  enum class Codec : std::uint8_t { kAuto, kHttp1, kHttp2 };
  Codec codec = Codec::kAuto;
  std::string server_name = "envoy";
  enum class ServerHeader : std::uint8_t { kOverwrite, kAppendIfAbsent, kPassThrough };
  ServerHeader server_header = ServerHeader::kOverwrite;
  enum class ClientCert : std::uint8_t {
    kSanitize,
    kForwardOnly,
    kAppendForward,
    kSanitizeSet,
    kAlwaysForwardOnly,
  };
  ClientCert forward_client_cert = ClientCert::kSanitize;
  bool xfcc_subject = false, xfcc_cert = false, xfcc_chain = false, xfcc_dns = false,
       xfcc_uri = false;

  bool use_remote_address = false;
  std::uint32_t xff_trusted_hops = 0;
  bool skip_xff_append = false;
  bool generate_request_id = true;
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  bool normalize_path = false;
  bool merge_slashes = false;
  enum class EscapedSlashes : std::uint8_t { kKeep, kReject, kUnescapeRedirect, kUnescapeForward };
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  bool strip_any_host_port = false;
  bool strip_matching_host_port = false;
  bool strip_trailing_host_dot = false;
  bool proxy_100_continue = false;
  std::string via;
  std::vector<std::string> upgrades;  // "websocket", "CONNECT"
  bool accept_http_10 = false;
  std::string default_host_for_http_10;
  bool http1_allow_absolute_url = true;
  http::HeaderCase header_case = http::HeaderCase::kLower;
  http::Limits limits;
  std::optional<KeepAliveSettings> h2_keep_alive;

  std::optional<Duration> idle_timeout = std::chrono::hours(1);  // absent: none
  std::optional<Duration> stream_idle_timeout = std::chrono::minutes(5);
  std::optional<Duration> request_timeout;
  std::optional<Duration> request_headers_timeout;
  std::optional<Duration> max_connection_duration;
  std::optional<Duration> max_stream_duration;
  std::uint32_t max_requests_per_connection = 0;
  Duration drain_timeout = std::chrono::seconds(5);
  Duration delayed_close_timeout = std::chrono::seconds(1);

  std::vector<AccessLog> access_logs;
  std::optional<Tracing> tracing;
};

}  // namespace mizzen::proxy
