// Token buckets of local rate limits, shared by all workers of a proxy.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "route/policies.h"

namespace mizzen::proxy {

// Any thread.
class RateLimits {
 public:
  // Takes a token of the policy's bucket; false when it is empty. Buckets are known by the policy's
  // words, so that an unchanged policy keeps its count over snapshots.
  bool take(const route::LocalRateLimit& policy, MonoTime now);

 private:
  struct Bucket {
    std::uint32_t tokens = 0;
    MonoTime filled{};
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;  // guarded by mutex_
};

}  // namespace mizzen::proxy
