// Control characters in field values (RFC 9110 5.5).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "http/eight.h"

namespace mizzen::http {

inline bool is_control(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && u != '\t') || u == 0x7f;
}

// The first control character but tab in [at, end), or `end`; eight at a time.
inline const char* find_control(const char* at, const char* end) {
  while (end - at >= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    const std::uint64_t del = word ^ each(0x7f);
    const std::uint64_t found =
        (((word - each(0x20)) & ~word) | ((del - each(1)) & ~del)) & each(0x80);
    if (found == 0) {
      at += 8;
      continue;
    }
    // A borrow may mark bytes after the first true one, never before it.
    at += std::countr_zero(found) / 8;
    if (is_control(*at)) return at;
    ++at;
  }
  while (at < end && !is_control(*at)) ++at;
  return at;
}

}  // namespace mizzen::http
