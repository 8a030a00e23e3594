// Memory of objects that come and go with every request, kept for the next one of their kind.
#pragma once

#include <cstddef>
#include <new>

#include "base/prefetch.h"

namespace mizzen {

// Base of a final class T that is allocated alone. Each thread keeps up to `Most` freed places; an
// object may be freed on another thread than its own. Under the address sanitizer nothing is kept,
// so that it sees what is used after its end.
template <class T, std::size_t Most = 64>
class Pooled {
 public:
  static void* operator new(std::size_t size) {
    Spare& spare = places();
    if (size != sizeof(T) || spare.first == nullptr) return ::operator new(size);
    Place* place = spare.first;
    spare.first = place->next;
    --spare.count;
    prefetch(spare.first, sizeof(T));
    return place;
  }
  static void operator delete(void* memory, std::size_t size) {
    Spare& spare = places();
    if (!kKeeps || size != sizeof(T) || spare.count >= Most) return ::operator delete(memory);
    spare.first = new (memory) Place{spare.first};
    ++spare.count;
  }

 protected:
  Pooled() = default;
  ~Pooled() = default;

 private:
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kKeeps = false;
#else
  static constexpr bool kKeeps = true;
#endif
  struct Place {
    Place* next;
  };
  struct Spare {
    Place* first = nullptr;
    std::size_t count = 0;
    ~Spare() {
      while (first != nullptr) {
        Place* next = first->next;
        ::operator delete(first);
        first = next;
      }
      count = Most;  // what is freed later on this thread is not kept
    }
  };
  static Spare& places() {
    thread_local Spare spare;
    return spare;
  }
};

}  // namespace mizzen
