#include "io/timer.h"

#include <algorithm>
#include <bit>

#include "io/loop.h"

namespace mizzen::io {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);
constexpr std::uint64_t kFarthest = (std::uint64_t{1} << 36) - 1;

}  // namespace

void Timer::arm(Duration from_now) { loop_->timers().arm(*this, loop_->now() + from_now); }

void Timer::cancel() {
  if (armed()) loop_->timers().cancel(*this);
}

Timer::~Timer() {
  if (slot_ != kNoSlot) loop_->timers().remove(*this);
}

TimerWheel::TimerWheel(MonoTime start) : start_(start) {}

TimerWheel::~TimerWheel() {
  // Timers that outlive their wheel must not touch it any more.
  for (Timer* head : slots_) {
    for (Timer* timer = head; timer != nullptr; timer = timer->next_) {
      timer->slot_ = Timer::kNoSlot;
      timer->due_ = Timer::kNever;
    }
  }
}

void TimerWheel::link(Timer& timer, std::int16_t slot) {
  Timer*& head = slots_[static_cast<std::size_t>(slot)];
  timer.slot_ = slot;
  timer.previous_ = nullptr;
  timer.next_ = head;
  if (head != nullptr) head->previous_ = &timer;
  head = &timer;
  if (slot < kDue) occupied_[slot / kSlots] |= std::uint64_t{1} << (slot % kSlots);
}

void TimerWheel::unlink(Timer& timer) {
  const std::int64_t slot = timer.slot_;
  Timer*& head = slots_[static_cast<std::size_t>(slot)];
  if (timer.previous_ != nullptr) {
    timer.previous_->next_ = timer.next_;
  } else {
    head = timer.next_;
  }
  if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
  timer.slot_ = Timer::kNoSlot;
  timer.next_ = timer.previous_ = nullptr;
  if (head == nullptr && slot < kDue) {
    occupied_[slot / kSlots] &= ~(std::uint64_t{1} << (slot % kSlots));
  }
}

// A timer hangs at the level of the highest digit (base 64) in which it differs from the present
// tick, so that every level's timers are later than all those of the levels below.
void TimerWheel::insert(Timer& timer) {
  timer.hung_for_ = timer.due_;
  std::uint64_t differs = timer.due_ ^ tick_;
  if (differs == 0) return link(timer, kDue);
  unsigned level = static_cast<unsigned>(63 - std::countl_zero(differs)) / 6;
  auto slot = static_cast<unsigned>((timer.due_ >> (6 * level)) % kSlots);
  link(timer, static_cast<std::int16_t>(level * kSlots + slot));
}

void TimerWheel::arm(Timer& timer, MonoTime at) {
  if (!timer.armed()) ++size_;
  auto ticks =
      at <= start_ ? 0 : static_cast<std::uint64_t>((at - start_ + kTick - Duration(1)) / kTick);
  timer.due_ = std::clamp(ticks, tick_ + 1, kFarthest);
  if (timer.slot_ != Timer::kNoSlot) {
    if (timer.hung_for_ <= timer.due_) return;
    unlink(timer);
  }
  insert(timer);
}

void TimerWheel::cancel(Timer& timer) {
  if (!timer.armed()) return;
  timer.due_ = Timer::kNever;
  --size_;
}

void TimerWheel::remove(Timer& timer) {
  cancel(timer);
  unlink(timer);
}

bool TimerWheel::next_slot(unsigned* level, std::uint64_t* tick) const {
  for (unsigned l = 0; l < kLevels; ++l) {
    if (occupied_[l] == 0) continue;
    auto slot = static_cast<std::uint64_t>(std::countr_zero(occupied_[l]));
    unsigned shift = 6 * l;
    *level = l;
    *tick = ((tick_ >> (shift + 6)) << (shift + 6)) | (slot << shift);
    return true;
  }
  return false;
}

void TimerWheel::run_due() {
  while (Timer* timer = slots_[kDue]) {
    unlink(*timer);
    if (!timer->armed()) continue;
    if (timer->due_ > tick_) {  // armed anew by one before it
      insert(*timer);
      continue;
    }
    timer->due_ = Timer::kNever;
    --size_;
    timer->function_(timer->object_);  // may destroy the timer
  }
}

void TimerWheel::advance(MonoTime now) {
  if (now < start_) return;
  auto target = static_cast<std::uint64_t>((now - start_) / kTick);
  unsigned level = 0;
  std::uint64_t tick = 0;
  while (tick_ < target && next_slot(&level, &tick) && tick <= target) {
    tick_ = tick;
    auto slot = static_cast<std::int16_t>(level * kSlots + (tick >> (6 * level)) % kSlots);
    while (Timer* timer = slots_[static_cast<std::size_t>(slot)]) {
      unlink(*timer);
      if (timer->armed()) insert(*timer);  // at level 0 this is the list of those due
    }
    run_due();
  }
  tick_ = std::max(tick_, target);
}

std::optional<MonoTime> TimerWheel::next() const {
  unsigned level = 0;
  std::uint64_t tick = 0;
  if (size_ == 0 || !next_slot(&level, &tick)) return std::nullopt;
  return start_ + kTick * static_cast<std::int64_t>(tick);
}

}  // namespace mizzen::io
