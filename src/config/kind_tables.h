// The kinds as written down. Internal to config.
#pragma once

#include <span>
#include <string>

#include "config/kinds.h"

namespace mizzen::config {

struct KindRow {
  Kind kind;
  std::string message;  // below mizzen.schema
};

std::span<const KindRow> istio_kinds();
std::span<const KindRow> kubernetes_kinds();

}  // namespace mizzen::config
