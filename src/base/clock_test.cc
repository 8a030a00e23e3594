#include "base/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace mizzen {
namespace {

using namespace std::chrono_literals;

TEST(Clock, WritesTimesAsRfc3339) {
  const WallTime start = FakeClock().wall();
  EXPECT_EQ(rfc3339(start), "2026-01-01T00:00:00Z");
  EXPECT_EQ(rfc3339_millis(start + 59min + 58s + 7ms), "2026-01-01T00:59:58.007Z");
  EXPECT_EQ(rfc3339_millis(start + 999999999ns), "2026-01-01T00:00:00.999Z");
  EXPECT_EQ(rfc3339_millis(WallTime(-1ns)), "1969-12-31T23:59:59.999Z");
}

// Over leap years and turns of the century, against the C library.
TEST(Clock, AgreesWithTheCalendar) {
  for (std::time_t seconds = -2'000'000'000; seconds < 6'000'000'000; seconds += 7'654'321) {
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char expected[32];
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
    EXPECT_EQ(rfc3339(WallTime(std::chrono::seconds(seconds))), expected);
  }
}

}  // namespace
}  // namespace mizzen
