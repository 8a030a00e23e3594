#include "base/cell_pool.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace mizzen {
namespace {

constexpr std::size_t kBlock = 16 * 1024;  // and aligned so
constexpr std::size_t kAlign = alignof(std::max_align_t);

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooled = false;  // its checks are worth more
#else
constexpr bool kPooled = true;
#endif

constexpr std::size_t rounded(std::size_t size) { return (size + kAlign - 1) / kAlign * kAlign; }

}  // namespace

struct CellPool::Block {
  Block* next = nullptr;
  Block* previous = nullptr;
  void* freed = nullptr;  // a list through the first bytes of cells
  std::uint32_t used = 0;
  std::uint32_t fresh = 0;  // cells from here on were never taken
};

namespace {

constexpr std::size_t kHead = rounded(5 * sizeof(void*));

}  // namespace

CellPool::CellPool(std::size_t size) : size_(rounded(size < sizeof(void*) ? sizeof(void*) : size)) {
  static_assert(sizeof(Block) <= kHead);
}

CellPool::Block* CellPool::add_block() {
  void* room =
      ::mmap(nullptr, 2 * kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(room);
  const std::size_t before = (kBlock - reinterpret_cast<std::uintptr_t>(room) % kBlock) % kBlock;
  if (before > 0) ::munmap(begin, before);
  if (before < kBlock) ::munmap(begin + before + kBlock, kBlock - before);
  ++blocks_;
  ++empty_;
  return new (begin + before) Block;
}

void CellPool::link(Block& block) {
  block.previous = nullptr;
  block.next = free_;
  if (free_ != nullptr) free_->previous = &block;
  free_ = &block;
}

void CellPool::unlink(Block& block) {
  (block.previous != nullptr ? block.previous->next : free_) = block.next;
  if (block.next != nullptr) block.next->previous = block.previous;
}

void* CellPool::take() {
  if (!kPooled) return ::operator new(size_);
  std::lock_guard lock(mutex_);
  if (free_ == nullptr) link(*add_block());
  Block& block = *free_;
  if (block.used++ == 0) --empty_;
  void* cell = block.freed;
  if (cell != nullptr) {
    block.freed = *static_cast<void**>(cell);
  } else {
    cell = reinterpret_cast<std::byte*>(&block) + kHead + size_ * block.fresh++;
  }
  const bool full = block.freed == nullptr && kHead + size_ * (block.fresh + 1) > kBlock;
  if (full) unlink(block);
  return cell;
}

void CellPool::give_back(void* cell) noexcept {
  if (!kPooled) return ::operator delete(cell);
  std::lock_guard lock(mutex_);
  Block& block = *reinterpret_cast<Block*>(reinterpret_cast<std::uintptr_t>(cell) & ~(kBlock - 1));
  const bool was_full = block.freed == nullptr && kHead + size_ * (block.fresh + 1) > kBlock;
  *static_cast<void**>(cell) = block.freed;
  block.freed = cell;
  if (was_full) link(block);
  if (--block.used > 0) return;
  if (empty_ == 0) {
    ++empty_;
    return;
  }
  unlink(block);
  ::munmap(&block, kBlock);
  --blocks_;
}

std::size_t CellPool::blocks() const {
  std::lock_guard lock(mutex_);
  return blocks_;
}

}  // namespace mizzen
