// Which fields of Envoy's messages this proxy acts on. A field that is set and stands in no list is
// refused by name, so that nothing meaningful is ever silently ignored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::proxy {

// Looks at every field that is set in `bytes`, a message of `type` (its name or type URL), down
// through nested messages (not into Any: that is looked at when it is unpacked). Harmless fields
// that have no effect here are added to `warnings` as "path: why". kUnsupported names the first
// field that would change what traffic does. Types that no schema here knows are not looked at.
Status check_fields(std::string_view type, std::string_view bytes,
                    std::vector<std::string>* warnings);

// For tests: entries of the lists that name no message or field of Envoy's. Empty when all is well.
std::vector<std::string> misspelt_fields();

}  // namespace mizzen::proxy
