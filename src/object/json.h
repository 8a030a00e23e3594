// JSON as the whole tree uses it. Objects keep their keys sorted, as Kubernetes' YAML output has
// them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::object {

using Json = nlohmann::json;

// Bounds on outside input; a document beyond them is refused with Code::kLimit.
struct Limits {
  std::size_t max_bytes = 8 << 20;
  int max_depth = 128;
  std::size_t max_documents = 10000;  // YAML only
};

// One JSON text (RFC 8259). Duplicate keys are refused; the error names the byte offset.
Result<Json> parse_json(std::string_view text, const Limits& limits = {});

// The value at a path of object keys, or nullptr when a step is missing or not an object.
// The pointer lives as long as `value` is not changed.
const Json* find(const Json& value, std::initializer_list<std::string_view> path);

// Strings, numbers and booleans at a path; the fallback when absent or of another type.
std::string string_at(const Json& value, std::initializer_list<std::string_view> path,
                      std::string_view fallback = {});
std::int64_t int_at(const Json& value, std::initializer_list<std::string_view> path,
                    std::int64_t fallback = 0);
bool bool_at(const Json& value, std::initializer_list<std::string_view> path,
             bool fallback = false);

// Removes object members that are null, all the way down (Kubernetes does not store them).
void drop_nulls(Json& value);

// Kubernetes JSONPath as `additionalPrinterColumns` and `kubectl -o jsonpath` use it:
// `.spec.hosts`,
// `.a['b.c']`, `.items[0]`, `.items[*].name`, `..x`, `[?(@.type=="Ready")]`, `{range}` is not
// included. Every match in order; an unparsable path is an error.
Result<std::vector<Json>> json_path(const Json& value, std::string_view path);

}  // namespace mizzen::object
