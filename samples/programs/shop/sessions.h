// Sessions of the front-end: a JSON object per visitor.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "samples/shop/common.h"

namespace mizzen::samples::shop {

class Sessions {
 public:
  virtual ~Sessions() = default;
  // An empty object for an unknown id.
  virtual void load(const std::string& id, JsonDone done) = 0;
  virtual void save(const std::string& id, const Json& session,
                    std::function<void(Status)> done) = 0;
};

// In this process, at most 10,000: the oldest go first. Gone with it.
std::unique_ptr<Sessions> sessions_in_memory();
// In the Redis at `host`:6379, for a day each.
std::unique_ptr<Sessions> sessions_in_redis(io::Loop& loop, std::string host);

}  // namespace mizzen::samples::shop
