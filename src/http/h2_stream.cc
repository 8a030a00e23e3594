#include "http/h2_stream.h"

#include <algorithm>
#include <bit>

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kLeastSlots = 8;

}  // namespace

Stream* StreamTable::add(std::unique_ptr<Stream> stream) {
  if ((size_ + 1) * 2 > slots_.size()) grow();
  std::size_t at = slot(stream->id);
  while (slots_[at] != nullptr) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = std::move(stream);
  ++size_;
  return slots_[at].get();
}

std::unique_ptr<Stream> StreamTable::take(Stream* stream) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = slot(stream->id);
  while (slots_[hole].get() != stream) hole = (hole + 1) & mask;
  std::unique_ptr<Stream> taken = std::move(slots_[hole]);
  --size_;
  // Who would not be found behind the hole moves into it.
  for (std::size_t at = (hole + 1) & mask; slots_[at] != nullptr; at = (at + 1) & mask) {
    const std::size_t wants = slot(slots_[at]->id);
    if (((at - wants) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = std::move(slots_[at]);
    hole = at;
  }
  return taken;
}

void StreamTable::grow() {
  auto old = std::move(slots_);
  slots_ = std::vector<std::unique_ptr<Stream>>(std::max(kLeastSlots, old.size() * 2));
  size_ = 0;
  shift_ = 32 - static_cast<unsigned>(std::countr_zero(slots_.size()));
  for (auto& stream : old) {
    if (stream) add(std::move(stream));
  }
}

void StreamQueue::push(Stream* stream) {
  if (std::exchange(stream->queued, true)) return;
  stream->previous = last_;
  stream->next = nullptr;
  (last_ == nullptr ? first_ : last_->next) = stream;
  last_ = stream;
}

void StreamQueue::remove(Stream* stream) {
  if (!std::exchange(stream->queued, false)) return;
  (stream->previous == nullptr ? first_ : stream->previous->next) = stream->next;
  (stream->next == nullptr ? last_ : stream->next->previous) = stream->previous;
}

}  // namespace mizzen::http::h2
