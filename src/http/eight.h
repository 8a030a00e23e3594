// Eight characters at a time, in a word whose lowest byte is the first of them.
#pragma once

#include <cstdint>

namespace mizzen::http {

constexpr std::uint64_t each(std::uint64_t byte) { return byte * 0x0101010101010101; }

// The top bit of each byte that is from `first` to `last`, which are ASCII. What is added to a byte
// of seven bits never reaches its neighbour.
constexpr std::uint64_t in_range(std::uint64_t text, char first, char last) {
  const std::uint64_t low = text & each(0x7f);
  const std::uint64_t from_first = low + each(0x80 - static_cast<std::uint64_t>(first));
  const std::uint64_t beyond_last = low + each(0x7f - static_cast<std::uint64_t>(last));
  return (from_first ^ beyond_last) & ~text & each(0x80);
}

// ASCII letters as lower case, all else as it is.
constexpr std::uint64_t lower_eight(std::uint64_t text) {
  return text | in_range(text, 'A', 'Z') >> 2;
}

}  // namespace mizzen::http
