// The matcher: a request and a table in, a decision with its reasons out. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "route/table.h"

namespace mizzen::route {

// What the matcher may ask about a request. Implemented over http::RequestHead by the proxy.
class RequestView {
 public:
  virtual ~RequestView() = default;
  virtual std::string_view method() const = 0;
  virtual std::string_view scheme() const = 0;
  virtual std::string_view authority() const = 0;
  virtual std::string_view path() const = 0;  // with the query
  // The values of an ordinary header (lower-case name), joined by "," when there are several;
  // `scratch` may hold the joined text. Nothing when absent.
  virtual std::optional<std::string_view> header(std::string_view name,
                                                 std::string& scratch) const = 0;
};

// Why a decision fell as it did, line by line. For `explain` and tests; null on the data path.
struct Trace {
  std::vector<std::string> lines;
};

struct Decision {
  enum class Kind : std::uint8_t {
    kForward,
    kRedirect,
    kDirectResponse,
    kNoVirtualHost,  // 404 NR
    kNoRoute,        // 404 NR
    kTlsRequired,    // 301 to https (require_tls)
  };
  Kind kind = Kind::kNoVirtualHost;
  const VirtualHost* host = nullptr;  // these point into the table: hold its TableRef
  const Route* route = nullptr;
  const WeightedCluster* weighted = nullptr;
  std::string_view cluster;  // kForward; into the table, or the request's header (cluster_header)
};

// `random` draws the weighted cluster and runtime fractions; one number per request, kept over its
// retries. `tls`: the request came in over TLS (for require_tls).
Decision match(const Table& table, const RequestView& request, std::uint64_t random,
               bool tls = false, Trace* trace = nullptr);

// The virtual host for an authority ("host", "host:port"), or null.
const VirtualHost* find_host(const Table& table, std::string_view authority);

// Single matchers, shared with other filters and `explain`.
bool matches(const PathMatcher& matcher, std::string_view path_without_query);
bool matches(const HeaderMatcher& matcher, const RequestView& request);
// The same for a value already fetched (response headers of a retry policy).
bool matches(const HeaderMatcher& matcher, std::optional<std::string_view> value);
bool matches(const QueryMatcher& matcher, std::string_view path);

// The first value of a query parameter of "/path?a=1&b"; "" for a parameter without "=".
std::optional<std::string_view> query_parameter(std::string_view path, std::string_view name);

// The path to send upstream after prefix or regex rewrite; the query stays. Nothing when unchanged.
std::optional<std::string> rewritten_path(const Route& route, std::string_view path);

// The authority to send upstream, or nothing when unchanged (auto_host_rewrite is the caller's).
std::optional<std::string> rewritten_host(const Decision& decision, const RequestView& request);

// The Location of a redirect (Decision::Kind kRedirect or kTlsRequired).
std::string redirect_location(const Decision& decision, const RequestView& request);

// The most specific per-filter policy, e.g. effective(decision, table, &PerFilter::fault).
template <class T>
const T* effective(const Decision& decision, const Table& table,
                   std::shared_ptr<const T> PerFilter::*policy) {
  if (decision.weighted && (decision.weighted->per_filter.*policy)) {
    return (decision.weighted->per_filter.*policy).get();
  }
  if (decision.route && (decision.route->per_filter.*policy)) {
    return (decision.route->per_filter.*policy).get();
  }
  if (decision.host && (decision.host->per_filter.*policy)) {
    return (decision.host->per_filter.*policy).get();
  }
  return (table.per_filter.*policy).get();
}

// The retry policy of the route, else of its virtual host; null for none.
const RetryPolicy* retry_policy(const Decision& decision);

}  // namespace mizzen::route
