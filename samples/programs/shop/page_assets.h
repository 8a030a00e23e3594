#pragma once

#include <string_view>

namespace mizzen::samples::shop {

std::string_view page_style();   // CSS; colours by --accent and --accent-dark
std::string_view page_script();  // JavaScript without modules

}  // namespace mizzen::samples::shop
