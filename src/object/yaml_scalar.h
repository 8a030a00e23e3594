// What a plain YAML scalar stands for. Internal to object.
#pragma once

#include <string_view>

#include "object/json.h"

namespace mizzen::object {

// true/false, null, a number or, for all else, the text itself.
Json plain_scalar(std::string_view text);

}  // namespace mizzen::object
