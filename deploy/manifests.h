// The installation's manifests, compiled in, so that a program needs no files beside it.
#pragma once

#include <span>
#include <string_view>

namespace mizzen::deploy {

struct Manifest {
  std::string_view name;  // "40-control-plane.yaml"
  std::string_view yaml;  // one or more documents
};

// In the order in which they are to be applied. Custom resource definitions are not among them.
std::span<const Manifest> manifests();

}  // namespace mizzen::deploy
