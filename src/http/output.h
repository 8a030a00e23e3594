// Bytes waiting to be written, in blocks that go back to a per-thread pool when empty.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace mizzen::http {

// An empty one owns no memory. One thread at a time.
class Output {
 public:
  Output() = default;
  Output(Output&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)),
        last_(std::exchange(other.last_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Output& operator=(Output&& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(size_, other.size_);
    return *this;
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() { clear(); }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void append(std::string_view bytes) {
    if (last_ != nullptr && bytes.size() <= kBlock - last_->end) {
      if (!bytes.empty()) std::memcpy(last_->bytes + last_->end, bytes.data(), bytes.size());
      last_->end += bytes.size();
      size_ += bytes.size();
    } else {
      append_slowly(bytes);
    }
  }

  // Room for `size` bytes (at most kBlock) in one piece behind the last; commit() says how many of
  // them were written.
  char* reserve(std::size_t size) {
    if (last_ == nullptr || size > kBlock - last_->end) add_block();
    return last_->bytes + last_->end;
  }
  void commit(std::size_t size) {
    last_->end += size;
    size_ += size;
  }

  // Fills `to` with the bytes in order; returns how many entries were filled.
  std::size_t show(std::span<iovec> to) const;
  // Drops bytes from the front; at most size().
  void drop(std::size_t bytes);
  // Moves up to `bytes` from the front to the end of `to`.
  void move_to(Output& to, std::size_t bytes);
  void clear();

  static constexpr std::size_t kBlock = 16 * 1024 - 3 * sizeof(void*);

 private:
  friend struct OutputPool;
  struct Block {
    Block* next;
    std::size_t begin;
    std::size_t end;
    char bytes[kBlock];
  };

  void append_slowly(std::string_view bytes);
  void add_block();
  void drop_first();

  Block* first_ = nullptr;
  Block* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mizzen::http
