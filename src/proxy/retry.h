// Whether a failed try may be tried again, and when. Pure; the stream does the work.
#pragma once

#include <cstdint>

#include "proxy/upstream.h"
#include "route/table.h"

namespace mizzen::proxy {

// A try that ended without a response.
bool retries_failure(const route::RetryPolicy& policy, const UpstreamFailure& failure);
// A try that passed per_try_timeout.
bool retries_timeout(const route::RetryPolicy& policy);
// A try that was answered.
bool retries_response(const route::RetryPolicy& policy, const http::ResponseHead& head);

// Exponential back-off with full jitter before retry number `attempt` (from 1).
Duration backoff(const route::RetryPolicy& policy, std::uint32_t attempt, std::uint64_t random);

}  // namespace mizzen::proxy
