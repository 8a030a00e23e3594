// The filter phase of a stream: fault injection, CORS, authorization, local rate limits.
#include <algorithm>

#include "proxy/http/authorization.h"
#include "proxy/http/stream.h"

namespace mizzen::proxy {

void Stream::run_filters() {
  while (filter_ < settings().filters.size()) {
    const HttpFilter& filter = settings().filters[filter_++];
    if (!filter.disabled && !run_filter(filter)) return;
  }
  act();
}

bool Stream::run_filter(const HttpFilter& filter) {
  auto policy = [&]<class T>(std::shared_ptr<const T> route::PerFilter::*member) -> const T* {
    return table_ == nullptr ? nullptr : route::effective(decision_, *table_, member);
  };
  if (const auto* fault = std::get_if<FaultFilter>(&filter.settings)) {
    const route::Fault* rules = policy(&route::PerFilter::fault);
    if (rules == nullptr) rules = fault->policy.get();
    return rules == nullptr || run_fault(*rules);
  }
  if (std::holds_alternative<CorsFilter>(filter.settings)) {
    const route::Cors* rules = policy(&route::PerFilter::cors);
    return rules == nullptr || !rules->enabled || run_cors(*rules);
  }
  if (const auto* rbac = std::get_if<RbacFilter>(&filter.settings)) {
    if (rbac->rules == nullptr) return true;
    HeadView view(request_);
    auto details = denied(*rbac->rules, connection_.facts(), info_.remote, &view);
    if (!details) return true;
    reply(403, "RBAC: access denied", *details);
    return false;
  }
  if (const auto* limit = std::get_if<RateLimitFilter>(&filter.settings)) {
    const route::LocalRateLimit* rules = policy(&route::PerFilter::rate_limit);
    if (rules == nullptr) rules = limit->policy.get();
    if (rules == nullptr || !rules->enabled || worker().shared().rate_limits.take(*rules, now())) {
      return true;
    }
    if (!rules->enforced) return true;
    reply(rules->status, "local_rate_limited", "local_rate_limited", Flag::kRL);
    return false;
  }
  return true;  // grpc_stats only counts; the router is act()
}

bool Stream::run_fault(const route::Fault& fault) {
  if (!fault.upstream_cluster.empty() && fault.upstream_cluster != info_.cluster_name) return true;
  HeadView view(request_);
  for (const route::HeaderMatcher& header : fault.headers) {
    if (!route::matches(header, view)) return true;
  }
  if (!delayed_by_fault_ && fault.delay_share && fault.delay.count() > 0 &&
      fault.delay_share->draws(worker().random())) {
    delayed_by_fault_ = true;
    flag(Flag::kDI);
    enter(State::kDelayed);
    --filter_;  // to this filter again, for its abort
    arm(Limit::kPause, fault.delay);
    return false;
  }
  delayed_by_fault_ = true;
  if (!fault.abort_share || !fault.abort_share->draws(worker().random())) return true;
  abort_by_fault(fault);
  return false;
}

void Stream::abort_by_fault(const route::Fault& fault) {
  int status = fault.abort_status;
  if (status == 0) {
    status = 200;
    info_.is_grpc = true;
  }
  LocalReply local;
  local.status = status;
  local.body = "fault filter abort";
  local.details = "fault_filter_abort";
  local.flags = static_cast<std::uint32_t>(Flag::kFI);
  local.grpc_status = fault.abort_grpc_status;
  reply(local);
}

// The Fetch standard's preflight; a simple request only remembers that its origin is allowed.
bool Stream::run_cors(const route::Cors& cors) {
  auto origin = request_.headers.get("origin");
  if (!origin) return true;
  // A matcher that takes a literal "*" stands for every origin, as in Envoy.
  bool allowed = std::ranges::any_of(cors.origins, [&](const route::StringMatcher& matcher) {
    return matcher.matches("*") || matcher.matches(*origin);
  });
  bool preflight = request_.method == "OPTIONS" &&
                   !request_.headers.get_or("access-control-request-method", "").empty();
  if (!allowed) {
    if (!preflight || cors.forward_unmatched_preflights) return true;
    reply(200, "", "cors_response");
    return false;
  }
  if (!preflight) {
    cors_ = &cors;
    return true;
  }
  http::Headers& headers = response_.headers;
  headers.add("access-control-allow-origin", *origin);
  if (cors.allow_credentials.value_or(false))
    headers.add("access-control-allow-credentials", "true");
  if (!cors.allow_methods.empty()) headers.add("access-control-allow-methods", cors.allow_methods);
  if (!cors.allow_headers.empty()) headers.add("access-control-allow-headers", cors.allow_headers);
  if (!cors.max_age.empty()) headers.add("access-control-max-age", cors.max_age);
  if (!cors.expose_headers.empty()) {
    headers.add("access-control-expose-headers", cors.expose_headers);
  }
  reply(200, "", "cors_response");
  return false;
}

}  // namespace mizzen::proxy
