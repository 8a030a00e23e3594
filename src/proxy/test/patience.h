// How long a test of the whole waits for what must come; reached by failing ones alone.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace mizzen::proxy {

inline constexpr Duration kPatience = std::chrono::seconds(20);

}  // namespace mizzen::proxy
