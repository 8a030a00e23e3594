// Copying what is mostly short.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mizzen {

// The first and the last `Word` of `from`, which is at least one long; where it is less than two,
// they overlap.
template <class Word>
void copy_ends(char* to, std::string_view from) {
  Word first;
  Word last;
  std::memcpy(&first, from.data(), sizeof first);
  std::memcpy(&last, from.data() + from.size() - sizeof last, sizeof last);
  std::memcpy(to, &first, sizeof first);
  std::memcpy(to + from.size() - sizeof last, &last, sizeof last);
}

// Copies `from` to `to`, which has room for it and does not overlap it; up to 32 bytes without a
// call. Returns where the copy ends. Inlined always: of a literal only the moves are left.
[[gnu::always_inline]] inline char* copy_short(char* to, std::string_view from) {
  const std::size_t size = from.size();
  if (size < 4) {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  } else if (size < 8) {
    copy_ends<std::uint32_t>(to, from);
  } else if (size <= 16) {
    copy_ends<std::uint64_t>(to, from);
  } else if (size <= 32) {
    copy_ends<std::array<std::uint64_t, 2>>(to, from);
  } else {
    std::memcpy(to, from.data(), size);
  }
  return to + size;
}

}  // namespace mizzen
