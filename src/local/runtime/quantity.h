// Kubernetes' resource quantities, as far as the runtime computes with them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "object/walker.h"

namespace mizzen::local {

// "100m", "1.5Gi", "2e3" in thousandths, rounded up.
inline std::optional<std::int64_t> quantity_thousandths(std::string_view text) {
  std::int64_t value = 0;
  if (!object::parse_quantity(text, &value)) return std::nullopt;
  return value;
}

}  // namespace mizzen::local
