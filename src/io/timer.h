// Timers that cost no allocation: an intrusive node in the loop's wheel, armed and cancelled in
// O(1). Most are put off or cancelled again and again before they are due, so that neither touches
// more than the timer itself: it stays where it hangs, and is judged when the wheel comes there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace mizzen::io {

class Loop;
class TimerWheel;

// One timer, a member of the object that it serves. Fires at most once per arm(), never early, at
// most about a millisecond late (the wheel's tick). Destroying it cancels it. Loop thread only;
// must not outlive its loop.
class Timer {
 public:
  using Function = void (*)(void* object);
  Timer(Loop& loop, Function function, void* object)
      : loop_(&loop), function_(function), object_(object) {}
  // Timer t = Timer::of<&Stream::on_timeout>(loop, this);
  template <auto Method, class T>
  static Timer of(Loop& loop, T* object) {
    return Timer(
        loop, [](void* self) { (static_cast<T*>(self)->*Method)(); }, object);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

  void arm(Duration from_now);  // again: moves it
  void cancel();
  bool armed() const { return due_ != kNever; }

 private:
  friend class TimerWheel;
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  Loop* loop_;
  Function function_;
  void* object_;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  std::uint64_t due_ = kNever;        // in ticks
  std::uint64_t hung_for_ : 48 = 0;   // the due_ by which its slot was chosen
  std::int64_t slot_ : 16 = kNoSlot;  // where it hangs in the wheel
  static constexpr std::int64_t kNoSlot = -1;
};

// Hierarchical wheel of 1 ms ticks, 6 levels of 64 slots (longest: two years). The loops own one
// each.
class TimerWheel {
 public:
  explicit TimerWheel(MonoTime start);
  TimerWheel(const TimerWheel&) = delete;
  ~TimerWheel();

  void arm(Timer& timer, MonoTime at);
  void cancel(Timer& timer);
  void remove(Timer& timer);  // before it goes
  // Runs all that is due at `now`.
  void advance(MonoTime now);
  // A time not later than that of the earliest timer; nothing when none is armed.
  std::optional<MonoTime> next() const;
  std::size_t size() const { return size_; }  // those that are armed

 private:
  static constexpr unsigned kLevels = 6;
  static constexpr unsigned kSlots = 64;
  static constexpr std::int16_t kDue = kLevels * kSlots;  // the list of those to run now
  void insert(Timer& timer);
  void link(Timer& timer, std::int16_t slot);
  void unlink(Timer& timer);
  bool next_slot(unsigned* level, std::uint64_t* tick) const;
  void run_due();

  MonoTime start_;
  std::uint64_t tick_ = 0;  // the last tick that was run
  std::size_t size_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};
  std::array<Timer*, kLevels * kSlots + 1> slots_{};
};

}  // namespace mizzen::io
