#include "local/apiserver/cron_schedule.h"

#include <gtest/gtest.h>

#include "object/meta.h"

namespace mizzen::local {
namespace {

std::string next(const char* schedule, const char* after) {
  auto parsed = CronSchedule::parse(schedule);
  if (!parsed) return parsed.error().message;
  auto time = parsed->next(*object::parse_time(after));
  return time ? rfc3339(*time) : "never";
}

TEST(CronScheduleTest, FindsTheNextTime) {
  EXPECT_EQ(next("* * * * *", "2026-11-21T15:24:00Z"), "2026-11-21T15:25:00Z");
  EXPECT_EQ(next("*/15 * * * *", "2026-11-21T15:24:59Z"), "2026-11-21T15:30:00Z");
  EXPECT_EQ(next("0 3 * * *", "2026-12-31T03:00:00Z"), "2027-01-01T03:00:00Z");
  EXPECT_EQ(next("30 9-17/4 * * mon-fri", "2026-11-21T15:24:00Z"), "2026-11-23T09:30:00Z");
  EXPECT_EQ(next("0 0 29 2 *", "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(next("@weekly", "2026-11-21T15:24:00Z"), "2026-11-22T00:00:00Z");
  EXPECT_EQ(next("0 0 * * 7", "2026-11-21T15:24:00Z"), "2026-11-22T00:00:00Z");
  // Either day is enough when both are given.
  EXPECT_EQ(next("0 0 1 * fri", "2026-11-21T00:00:00Z"), "2026-11-27T00:00:00Z");
  EXPECT_EQ(next("0 0 30 2 *", "2026-01-01T00:00:00Z"), "never");
}

TEST(CronScheduleTest, SaysWhatIsWrong) {
  EXPECT_EQ(next("* * * *", "2026-01-01T00:00:00Z"),
            "expected exactly 5 fields, found 4: [* * * *]");
  EXPECT_EQ(next("60 * * * *", "2026-01-01T00:00:00Z"), "minute \"60\" is not of 0-59");
  EXPECT_EQ(next("* * * foo *", "2026-01-01T00:00:00Z"), "month \"foo\" is not of 1-12");
  EXPECT_EQ(next("*/0 * * * *", "2026-01-01T00:00:00Z"), "minute \"*/0\" is not of 0-59");
}

}  // namespace
}  // namespace mizzen::local
