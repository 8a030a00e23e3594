#include "base/clock.h"

#include <chrono>
#include <cstring>

namespace mizzen {
namespace {

class SystemClock final : public Clock {
 public:
  MonoTime mono() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

// `digits` of them, from `at` on.
void put(char* at, int digits, unsigned value) {
  for (; digits > 0; value /= 10) at[--digits] = static_cast<char>('0' + value % 10);
}

// "2026-11-21T06:23:40" over the digits of a text that has the marks between.
void put_date_time(char* text, WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  put(text, 4, static_cast<unsigned>(static_cast<int>(date.year())));
  put(text + 5, 2, static_cast<unsigned>(date.month()));
  put(text + 8, 2, static_cast<unsigned>(date.day()));
  put(text + 11, 2, static_cast<unsigned>(clock.hours().count()));
  put(text + 14, 2, static_cast<unsigned>(clock.minutes().count()));
  put(text + 17, 2, static_cast<unsigned>(clock.seconds().count()));
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

FakeClock::FakeClock() : mono_(std::chrono::hours(1)), wall_(std::chrono::seconds(1767225600)) {}

std::string rfc3339(WallTime time) {
  std::string text = "0000-00-00T00:00:00Z";
  put_date_time(text.data(), time);
  return text;
}

std::string rfc3339_millis(WallTime time) {
  char text[kRfc3339Millis];
  return std::string(text, write_rfc3339_millis(text, time));
}

char* write_rfc3339_millis(char* at, WallTime time) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  struct Recent {
    std::chrono::sys_seconds at{};
    char text[kRfc3339Millis + 1] = "1970-01-01T00:00:00.000Z";
  };
  thread_local Recent recent;  // logs tell many times of one second
  if (recent.at != second) {
    recent.at = second;
    put_date_time(recent.text, time);
  }
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time - second).count();
  std::memcpy(at, recent.text, kRfc3339Millis);
  put(at + kRfc3339Millis - 4, 3, static_cast<unsigned>(millis));
  return at + kRfc3339Millis;
}

}  // namespace mizzen
