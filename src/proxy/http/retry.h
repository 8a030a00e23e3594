// Whether a failed try may be tried again, and when. Pure; the stream does the work.
#pragma once

#include <cstdint>
#include <optional>

#include "proxy/upstream.h"
#include "route/table.h"

namespace mizzen::proxy {

// A try that ended without a response.
bool retries_failure(const route::RetryPolicy& policy, const UpstreamFailure& failure);
// A try that passed per_try_timeout.
bool retries_timeout(const route::RetryPolicy& policy);
// A try that was answered.
bool retries_response(const route::RetryPolicy& policy, const http::ResponseHead& head);

// Whether the policy holds for this request at all (retriable_request_headers).
bool retries_request(const route::RetryPolicy& policy, const http::RequestHead& request);

// What a retriable answer says about when to come back (rate_limited_retry_back_off); nothing when
// it does not, or says more than the policy allows.
std::optional<Duration> reset_after(const route::RetryPolicy& policy,
                                    const http::ResponseHead& head, WallTime now);

// Exponential back-off with full jitter before retry number `attempt` (from 1).
Duration backoff(const route::RetryPolicy& policy, std::uint32_t attempt, std::uint64_t random);

}  // namespace mizzen::proxy
