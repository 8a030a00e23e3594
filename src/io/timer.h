// Timers that cost no allocation: an intrusive node in the loop's wheel, armed and cancelled in O(1).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace mizzen::io {

class Loop;
class TimerWheel;

// One timer, a member of the object that it serves. Fires at most once per arm(), never early, at most
// about a millisecond late (the wheel's tick). Destroying it cancels it. Loop thread only; must not
// outlive its loop.
class Timer {
 public:
  using Function = void (*)(void* object);
  Timer(Loop& loop, Function function, void* object)
      : loop_(&loop), function_(function), object_(object) {}
  // Timer t = Timer::of<&Stream::on_timeout>(loop, this);
  template <auto Method, class T>
  static Timer of(Loop& loop, T* object) {
    return Timer(loop, [](void* self) { (static_cast<T*>(self)->*Method)(); }, object);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  void arm(Duration from_now);  // again: moves it
  void cancel();
  bool armed() const { return next_ != nullptr; }

 private:
  friend class TimerWheel;
  Loop* loop_;
  Function function_;
  void* object_;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  std::uint64_t due_ = 0;  // in ticks
};

// Hierarchical wheel of 1 ms ticks, 6 levels of 64 slots (longest: two years). The loops own one each.
class TimerWheel {
 public:
  explicit TimerWheel(MonoTime start);
  TimerWheel(const TimerWheel&) = delete;
  ~TimerWheel();

  void arm(Timer& timer, MonoTime at);
  void cancel(Timer& timer);
  // Runs all that is due; what they arm anew for the past runs in the next call.
  void advance(MonoTime now);
  // A time not later than that of the earliest timer; nothing when there is none.
  std::optional<MonoTime> next() const;
  std::size_t size() const { return size_; }

 private:
  static constexpr unsigned kLevels = 6;
  static constexpr unsigned kSlots = 64;
  struct Slot {
    Timer* head = nullptr;
  };
  void insert(Timer& timer);
  void cascade(unsigned level);
  void run_slot();

  MonoTime start_;
  std::uint64_t tick_ = 0;  // the last tick that was run
  std::size_t size_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};
  std::array<std::array<Timer*, kSlots>, kLevels> slots_{};
  Timer* due_list_ = nullptr;
};

}  // namespace mizzen::io
