// Server-side tables of built-in kinds, as `kubectl get` prints them.
#pragma once

#include <vector>

#include "base/clock.h"
#include "config/kinds.h"
#include "object/json.h"

namespace mizzen::config {

// One cell per member of `kind.columns`, in order. Custom kinds are read by their JSON paths, and
// their columns lack the leading Name, as those of a CustomResourceDefinition do.
std::vector<object::Json> table_cells(const Kind& kind, const object::Json& object, WallTime now);

}  // namespace mizzen::config
