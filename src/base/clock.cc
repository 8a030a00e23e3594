#include "base/clock.h"

#include <fmt/format.h>

#include <ctime>

namespace mizzen {
namespace {

class SystemClock final : public Clock {
 public:
  MonoTime mono() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

std::string date_time(WallTime time) {
  std::time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

FakeClock::FakeClock() : mono_(std::chrono::hours(1)), wall_(std::chrono::seconds(1767225600)) {}

std::string rfc3339(WallTime time) { return date_time(time) + "Z"; }

std::string rfc3339_millis(WallTime time) {
  auto whole = std::chrono::floor<std::chrono::seconds>(time);
  auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  return fmt::format("{}.{:03}Z", date_time(time), millis);
}

}  // namespace mizzen
