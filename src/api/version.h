// The version of all programs: Istio's, whose API they speak, and our name.
#pragma once

#include <string_view>

namespace mizzen::api {

inline constexpr std::string_view kVersion = "1.32.0-mizzen";

}  // namespace mizzen::api
