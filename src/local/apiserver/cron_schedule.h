// When a CronJob is due.
#pragma once

#include <bitset>
#include <chrono>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace mizzen::local {

// The five fields of crontab(5), in UTC: lists, ranges, steps, names of months and days, and the
// short forms from @yearly to @hourly.
class CronSchedule {
 public:
  // Errors: kInvalid, with the field.
  static Result<CronSchedule> parse(std::string_view text);
  // The first time after `after` that fits, at a full minute; nothing within five years.
  std::optional<WallTime> next(WallTime after) const;

 private:
  bool fits_day(std::chrono::year_month_day day, std::chrono::weekday weekday) const;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false;  // of the month; a star: the other of both decides
  bool any_weekday_ = false;
};

}  // namespace mizzen::local
