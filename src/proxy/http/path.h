// Paths of requests, normalised as Envoy's connection manager does (normalize_path, merge_slashes,
// path_with_escaped_slashes_action). Pure.
#pragma once

#include <string>
#include <string_view>

#include "proxy/config/filters.h"

namespace mizzen::proxy {

enum class PathVerdict { kUnchanged, kChanged, kRefuse, kRedirect };

// Puts the normal form of `path` (origin form, with its query, which is left alone) into `out` when
// it differs. kRefuse: 400. kRedirect: 307 to `out` (escaped slashes were unescaped).
PathVerdict normalize_path(std::string_view path, const HttpSettings& settings, std::string& out);

}  // namespace mizzen::proxy
