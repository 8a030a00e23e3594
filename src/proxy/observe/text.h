// Text that is put together from many small pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/copy.h"

namespace mizzen::proxy {

// Appending is a comparison and a few moves, where std::string's is two calls: a line of a log has
// fifty pieces. Keeps its memory until release(). One thread at a time.
class Text {
 public:
  // A short text that is copied without a look at its size.
  class Block {
   public:
    static constexpr std::size_t kMost = 15;
    Block() = default;
    explicit Block(std::string_view text) : size_(static_cast<std::uint8_t>(text.size())) {
      std::memcpy(text_, text.data(), size_);  // which the caller keeps within kMost
    }

   private:
    friend class Text;
    char text_[kMost] = {};
    std::uint8_t size_ = 0;
  };

  std::string_view view() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  Text& operator+=(std::string_view piece) {
    copy(room(piece.size()), piece);
    return *this;
  }
  Text& operator+=(const Block& block) {
    std::memcpy(room(sizeof block.text_), block.text_, sizeof block.text_);
    size_ -= sizeof block.text_ - block.size_;
    return *this;
  }
  Text& operator+=(char c) {
    *room(1) = c;
    return *this;
  }
  // Room at the end that the caller writes to at once; cut() gives back what was too much.
  char* room(std::size_t bytes) {
    if (capacity_ - size_ < bytes) grow(bytes);
    char* at = data_.get() + size_;
    size_ += bytes;
    return at;
  }
  // Ends the text at `end`, which lies in it.
  void cut(const char* end) { size_ = static_cast<std::size_t>(end - data_.get()); }
  void resize(std::size_t size) { size_ = std::min(size_, size); }  // never more than there is
  void clear() { size_ = 0; }
  // Drops bytes from the front, at most size().
  void drop(std::size_t bytes) {
    size_ -= bytes;
    if (size_ > 0) std::memmove(data_.get(), data_.get() + bytes, size_);
  }
  void release() {
    data_.reset();
    size_ = capacity_ = 0;
  }

 private:
  static void copy(char* to, std::string_view from) { copy_short(to, from); }
  void grow(std::size_t bytes) {
    const std::size_t wanted = std::max<std::size_t>({size_ + bytes, capacity_ * 2, 1024});
    auto larger = std::make_unique_for_overwrite<char[]>(wanted);
    if (size_ > 0) std::memcpy(larger.get(), data_.get(), size_);
    data_ = std::move(larger);
    capacity_ = wanted;
  }

  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace mizzen::proxy
