// Two clocks, never mixed: MonoTime for intervals and timers, WallTime for certificates and logs.
#pragma once

#include <chrono>
#include <string>

namespace mizzen {

using Duration = std::chrono::nanoseconds;
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// Time as a dependency, so that tests can hold it. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime mono() const = 0;
  virtual WallTime wall() const = 0;
};

// The machine's clocks. Lives for the whole program.
const Clock& system_clock();

// Time that moves only when told to; starts at 2026-01-01T00:00:00Z.
class FakeClock final : public Clock {
 public:
  FakeClock();
  MonoTime mono() const override { return mono_; }
  WallTime wall() const override { return wall_; }
  void advance(Duration by) {
    mono_ += by;
    wall_ += by;
  }

 private:
  MonoTime mono_;
  WallTime wall_;
};

// RFC 3339 in UTC: "2026-11-21T06:23:40Z", or with milliseconds "2026-11-21T06:23:40.123Z".
std::string rfc3339(WallTime time);
std::string rfc3339_millis(WallTime time);
// The latter, written at `at`: kRfc3339Millis characters. Returns their end.
inline constexpr std::size_t kRfc3339Millis = 24;
char* write_rfc3339_millis(char* at, WallTime time);

}  // namespace mizzen
