#include "http/output.h"

#include <algorithm>

#include "base/prefetch.h"

namespace mizzen::http {

// The blocks that a thread keeps for reuse: at most 1 MiB.
struct OutputPool {
  using Block = Output::Block;
  static constexpr std::size_t kPooled = 64;

  Block* first = nullptr;
  std::size_t size = 0;

  ~OutputPool() {
    while (first != nullptr) delete std::exchange(first, first->next);
    size = kPooled;
  }
  Block* acquire() {
    Block* block = first;
    if (block == nullptr) {
      block = new Block;  // bytes left unset on purpose
    } else {
      first = block->next;
      --size;
      prefetch(first, 5 * kCacheLine);
    }
    block->next = nullptr;
    block->begin = block->end = 0;
    return block;
  }
  void give_back(Block* block) {
    if (size >= kPooled) {
      delete block;
      return;
    }
    block->next = std::exchange(first, block);
    ++size;
  }
};

namespace {
thread_local OutputPool pool;
}

void Output::add_block() {
  Block* block = pool.acquire();
  (last_ == nullptr ? first_ : last_->next) = block;
  last_ = block;
}

void Output::append_slowly(std::string_view bytes) {
  while (!bytes.empty()) {
    if (last_ == nullptr || last_->end == kBlock) add_block();
    const std::size_t part = std::min(bytes.size(), kBlock - last_->end);
    std::memcpy(last_->bytes + last_->end, bytes.data(), part);
    last_->end += part;
    size_ += part;
    bytes.remove_prefix(part);
  }
}

std::size_t Output::show(std::span<iovec> to) const {
  std::size_t filled = 0;
  for (Block* block = first_; block != nullptr && filled < to.size(); block = block->next) {
    if (block->begin == block->end) continue;
    to[filled++] = {block->bytes + block->begin, block->end - block->begin};
  }
  return filled;
}

void Output::drop_first() {
  Block* block = first_;
  first_ = block->next;
  if (first_ == nullptr) last_ = nullptr;
  pool.give_back(block);
}

void Output::drop(std::size_t bytes) {
  bytes = std::min(bytes, size_);
  size_ -= bytes;
  while (bytes > 0) {
    const std::size_t part = std::min(bytes, first_->end - first_->begin);
    first_->begin += part;
    bytes -= part;
    if (first_->begin == first_->end) drop_first();
  }
}

void Output::move_to(Output& to, std::size_t bytes) {
  bytes = std::min(bytes, size_);
  while (bytes > 0) {
    const std::size_t part = std::min(bytes, first_->end - first_->begin);
    to.append({first_->bytes + first_->begin, part});
    drop(part);
    bytes -= part;
  }
}

void Output::clear() {
  while (first_ != nullptr) drop_first();
  size_ = 0;
}

}  // namespace mizzen::http
