#include "object/yaml_scalar.h"

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace mizzen::object {
namespace {

// Decimal, 0x, 0o, 0b, and a leading zero as octal: file modes are written so.
bool whole_number(std::string_view text, Json* out) {
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'o' || text[1] == 'b')) {
    base = text[1] == 'x' ? 16 : text[1] == 'o' ? 8 : 2;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (!negative) {
    *out = value <= INT64_MAX ? Json(static_cast<std::int64_t>(value)) : Json(value);
  } else if (value <= std::uint64_t{1} << 63) {
    *out = static_cast<std::int64_t>(0 - value);
  } else {
    return false;
  }
  return true;
}

bool real_number(std::string_view text, Json* out) {
  std::string_view digits = text;
  if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9'))) return false;
  bool any = std::ranges::any_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!any || digits.find_first_not_of("0123456789.eE+-") != digits.npos) return false;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  *out = value;
  return true;
}

}  // namespace

Json plain_scalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  Json number;
  if (whole_number(text, &number) || real_number(text, &number)) return number;
  return std::string(text);
}

}  // namespace mizzen::object
