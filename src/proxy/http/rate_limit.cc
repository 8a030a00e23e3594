#include "proxy/http/rate_limit.h"

#include <fmt/format.h>

#include <algorithm>

namespace mizzen::proxy {

bool RateLimits::take(const route::LocalRateLimit& policy, MonoTime now) {
  if (policy.fill_interval.count() <= 0) return true;
  std::string key = fmt::format("{}/{}/{}/{}", policy.stat_prefix, policy.max_tokens,
                                policy.tokens_per_fill, policy.fill_interval.count());
  std::lock_guard lock(mutex_);
  auto [at, made] = buckets_.try_emplace(std::move(key));
  Bucket& bucket = at->second;
  if (made) {
    bucket.tokens = policy.max_tokens;
    bucket.filled = now;
  }
  auto fills = (now - bucket.filled) / policy.fill_interval;
  if (fills > 0) {
    bucket.filled += fills * policy.fill_interval;
    std::uint64_t more = static_cast<std::uint64_t>(fills) * policy.tokens_per_fill;
    bucket.tokens = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(policy.max_tokens, bucket.tokens + more));
  }
  if (bucket.tokens == 0) return false;
  --bucket.tokens;
  return true;
}

}  // namespace mizzen::proxy
