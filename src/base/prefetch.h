// Memory that will be written soon, asked for before it is needed.
#pragma once

#include <cstddef>

namespace mizzen {

inline constexpr std::size_t kCacheLine = 64;

// Has the caches fetch `size` bytes at `memory`, none for a null pointer. Costs about an
// instruction for each line. Where the type of what stands there is not known, as many lines are
// asked for as most of its kind have in use.
inline void prefetch(const void* memory, std::size_t size) {
  if (memory == nullptr) return;
  const char* const at = static_cast<const char*>(memory);
  for (std::size_t done = 0; done < size; done += kCacheLine) __builtin_prefetch(at + done, 1);
}

}  // namespace mizzen
