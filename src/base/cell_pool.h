// Memory for objects of one size that come in crowds and go again: an own pool, so that what a
// crowd has left goes back to the system, which the holes that it leaves in the common heap do not.
#pragma once

#include <cstddef>
#include <mutex>

namespace mizzen {

// Lives as long as the process. Any thread.
class CellPool {
 public:
  // `size` of a cell in bytes, at most 4096.
  explicit CellPool(std::size_t size);
  CellPool(const CellPool&) = delete;

  // Aligned as operator new does. Never null: throws std::bad_alloc when the system has none.
  void* take();
  void give_back(void* cell) noexcept;
  std::size_t blocks() const;  // that it holds now, of 16 KiB each

 private:
  struct Block;
  Block* add_block();
  void link(Block& block);
  void unlink(Block& block);

  const std::size_t size_;
  mutable std::mutex mutex_;
  Block* free_ = nullptr;  // the blocks that have a free cell
  std::size_t blocks_ = 0;
  std::size_t empty_ = 0;  // blocks without any used cell: one is kept
};

// A base for classes that are made by operator new and live in a pool of their own.
template <class T>
struct InCells {
  static void* operator new(std::size_t size) {
    return size == sizeof(T) ? cells().take() : ::operator new(size);
  }
  static void operator delete(void* object, std::size_t size) noexcept {
    size == sizeof(T) ? cells().give_back(object) : ::operator delete(object);
  }
  static CellPool& cells() {
    static CellPool& kCells = *new CellPool(sizeof(T));
    return kCells;
  }
};

}  // namespace mizzen
