// A schema and a value, one JSON document each, cut at the first zero byte.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "local/apiserver/parts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto cut = text.find('\0');
  if (cut == std::string_view::npos) return 0;
  auto schema = mizzen::object::parse_json(text.substr(0, cut));
  auto value = mizzen::object::parse_json(text.substr(cut + 1));
  if (schema && value) (void)mizzen::local::apply_schema(*schema, *value);
  return 0;
}
