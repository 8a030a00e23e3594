// The shop's pages as a browser gets them: one frame, a style and a script; what they show is
// fetched by the script from the JSON API.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "samples/service.h"

namespace mizzen::samples::shop {

// "/", "/index.html", "/category.html", "/detail.html", "/basket.html", "/customer-orders.html",
// "/shop.css", "/shop.js" and "/images/..."; nothing for other paths. `version` "v2" has red
// buttons, all others blue ones.
std::optional<Reply> page(std::string_view path, std::string_view version);

}  // namespace mizzen::samples::shop
