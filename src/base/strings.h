// Small functions on text that the standard library lacks. ASCII rules only, no locale.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mizzen {

std::string_view trim(std::string_view text);  // spaces and tabs, both ends
std::string lower(std::string_view text);
// What a hexadecimal digit of either case is worth; -1 for any other character.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
bool equals_ignore_case(std::string_view a, std::string_view b);

// Splits at every `separator`; "a,,b" gives three parts, "" gives one empty part.
// The views live as long as `text`.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);

// The whole of `text` as a decimal number; nothing for an empty, partial or overflowing one.
template <class Int>
std::optional<Int> parse_int(std::string_view text) {
  Int value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// RFC 4648: standard alphabet with padding, and URL-safe without.
std::string base64_encode(std::string_view bytes);
std::string base64url_encode(std::string_view bytes);
// Accepts either alphabet, with or without padding; nothing for anything else.
std::optional<std::string> base64_decode(std::string_view text);

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

std::string hex(std::span<const std::byte> bytes);  // lower case

// 64-bit FNV-1a: stable across runs and machines, not for untrusted keys.
std::uint64_t fnv1a(std::string_view bytes, std::uint64_t seed = 0xcbf29ce484222325ULL);

}  // namespace mizzen
