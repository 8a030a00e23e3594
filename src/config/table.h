// Server-side tables of built-in kinds, as `kubectl get` prints them.
#pragma once

#include <vector>

#include "base/clock.h"
#include "config/kinds.h"
#include "object/json.h"

namespace mizzen::config {

// One cell per member of `kind.columns`, in order. For custom kinds by their JSON paths.
std::vector<object::Json> table_cells(const Kind& kind, const object::Json& object, WallTime now);

}  // namespace mizzen::config
