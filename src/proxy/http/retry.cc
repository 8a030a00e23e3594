#include "proxy/http/retry.h"

#include <algorithm>
#include <string>

#include "base/strings.h"
#include "proxy/http/request_view.h"
#include "route/match.h"

namespace mizzen::proxy {

using Policy = route::RetryPolicy;

bool retries_failure(const Policy& policy, const UpstreamFailure& failure) {
  switch (failure.fault) {
    case UpstreamFault::kOverflow:
    case UpstreamFault::kNoHealthyUpstream:
      return false;
    case UpstreamFault::kConnectFailure:
    case UpstreamFault::kConnectTimeout:
      if ((policy.on & Policy::kConnectFailure) != 0) return true;
      break;
    case UpstreamFault::kRemoteRefused:
      if ((policy.on & Policy::kRefusedStream) != 0) return true;
      break;
    default:
      break;
  }
  if (failure.unsent && (policy.on & Policy::kResetBeforeRequest) != 0) return true;
  return (policy.on & (Policy::k5xx | Policy::kGatewayError | Policy::kReset)) != 0;
}

bool retries_timeout(const Policy& policy) {
  return (policy.on & (Policy::k5xx | Policy::kGatewayError | Policy::kReset)) != 0;
}

namespace {

bool retries_grpc(std::uint32_t on, int status) {
  switch (status) {
    case 1:
      return (on & Policy::kGrpcCancelled) != 0;
    case 4:
      return (on & Policy::kGrpcDeadlineExceeded) != 0;
    case 8:
      return (on & Policy::kGrpcResourceExhausted) != 0;
    case 13:
      return (on & Policy::kGrpcInternal) != 0;
    case 14:
      return (on & Policy::kGrpcUnavailable) != 0;
    default:
      return false;
  }
}

// ":status" is a header to the matchers of a policy.
std::optional<std::string> value_of(const http::ResponseHead& head, std::string_view name) {
  if (name == ":status") return std::to_string(head.status);
  return head.headers.joined(name);
}

}  // namespace

bool retries_response(const Policy& policy, const http::ResponseHead& head) {
  int status = head.status;
  if ((policy.on & Policy::k5xx) != 0 && status >= 500 && status < 600) return true;
  if ((policy.on & Policy::kGatewayError) != 0 && status >= 502 && status <= 504) return true;
  if ((policy.on & Policy::kRetriable4xx) != 0 && status == 409) return true;
  if ((policy.on & Policy::kEnvoyRateLimited) != 0 && head.headers.has("x-envoy-ratelimited")) {
    return true;
  }
  if ((policy.on & Policy::kRetriableStatusCodes) != 0 &&
      std::ranges::find(policy.status_codes, status) != policy.status_codes.end()) {
    return true;
  }
  if ((policy.on & Policy::kRetriableHeaders) != 0) {
    for (const route::HeaderMatcher& matcher : policy.response_headers) {
      if (route::matches(matcher, value_of(head, matcher.name))) return true;
    }
  }
  if (auto grpc = head.headers.get("grpc-status")) {
    if (auto value = parse_int<int>(*grpc)) return retries_grpc(policy.on, *value);
  }
  return false;
}

bool retries_request(const Policy& policy, const http::RequestHead& request) {
  if (policy.request_headers.empty()) return true;
  const HeadView view(request);
  return std::ranges::any_of(policy.request_headers, [&](const route::HeaderMatcher& matcher) {
    return route::matches(matcher, view);
  });
}

std::optional<Duration> reset_after(const Policy& policy, const http::ResponseHead& head,
                                    WallTime now) {
  for (const Policy::ResetHeader& header : policy.reset_headers) {
    const auto value = head.headers.get(header.name);
    if (!value) continue;
    const auto seconds = parse_int<std::int64_t>(*value);
    if (!seconds || *seconds < 0 || *seconds > 1'000'000'000'000) continue;
    Duration wait = std::chrono::seconds(std::min<std::int64_t>(*seconds, 1'000'000'000));
    if (header.timestamp) {
      wait = WallTime(std::chrono::seconds(std::min<std::int64_t>(*seconds, 9'000'000'000))) - now;
    }
    if (wait <= policy.max_reset) return std::max(wait, Duration::zero());
  }
  return std::nullopt;
}

Duration backoff(const Policy& policy, std::uint32_t attempt, std::uint64_t random) {
  auto base = std::max<std::int64_t>(policy.base_backoff.count(), 1);
  auto most = std::max(policy.max_backoff.count(), base);
  std::int64_t factor = (std::int64_t{1} << std::min<std::uint32_t>(attempt, 20)) - 1;
  std::int64_t range = factor > most / base ? most : base * factor;
  return Duration(static_cast<std::int64_t>(random % static_cast<std::uint64_t>(range)));
}

}  // namespace mizzen::proxy
