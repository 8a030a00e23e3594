// The shop's pictures, drawn as SVG: a pair of socks per product, each with its pattern.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mizzen::samples::shop {

// The name of the picture of the product at `place` in the catalogue, e.g. "holy".
std::string_view picture_name(std::size_t place);

// "holy_1.svg" (the pair) or "holy_2.svg" (one sock, closer); nothing for other names.
std::optional<std::string> picture(std::string_view file);

}  // namespace mizzen::samples::shop
