#include "local/apiserver/cron_schedule.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/strings.h"

namespace mizzen::local {

namespace {

constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kDays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

std::optional<int> number_of(std::string_view word, std::span<const std::string_view> names,
                             int first) {
  if (auto number = parse_int<int>(word)) return *number;
  const std::string low = lower(word);
  auto found = std::ranges::find(names, std::string_view(low));
  if (found == names.end()) return std::nullopt;
  return first + static_cast<int>(found - names.begin());
}

// One field: "*", "*/5", "1-5", "1-10/2", "3", "mon-fri", and lists of those.
template <std::size_t N>
Status parse_field(std::string_view text, std::string_view what, int first, int last,
                   std::span<const std::string_view> names, std::bitset<N>* out) {
  for (std::string_view part : split(text, ',')) {
    int step = 1;
    const auto slash = part.find('/');
    const std::string_view range = part.substr(0, slash);
    if (slash != std::string_view::npos) {
      step = parse_int<int>(part.substr(slash + 1)).value_or(0);
    }
    const auto dash = range.find('-');
    const bool star = range == "*" || range == "?";
    auto from = star ? first : number_of(range.substr(0, dash), names, first);
    auto to = star ? last
              : dash != std::string_view::npos
                  ? number_of(range.substr(dash + 1), names, first)
                  : (slash != std::string_view::npos ? std::optional(last) : from);
    if (!from || !to || step < 1 || *from < first || *to > last || *from > *to) {
      return fail(Code::kInvalid,
                  fmt::format("{} \"{}\" is not of {}-{}", what, text, first, last));
    }
    for (int value = *from; value <= *to; value += step) {
      out->set(static_cast<std::size_t>(value) % N);
    }
  }
  return {};
}

}  // namespace

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> kShort[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"}};
  for (const auto& [name, meaning] : kShort) {
    if (trim(text) == name) text = meaning;
  }
  std::vector<std::string_view> fields;
  for (std::string_view field : split(text, ' ')) {
    if (!field.empty()) fields.push_back(field);
  }
  if (fields.size() != 5) {
    return fail(Code::kInvalid,
                fmt::format("expected exactly 5 fields, found {}: [{}]", fields.size(), text));
  }
  CronSchedule out;
  MIZZEN_CHECKED(parse_field(fields[0], "minute", 0, 59, {}, &out.minutes_));
  MIZZEN_CHECKED(parse_field(fields[1], "hour", 0, 23, {}, &out.hours_));
  MIZZEN_CHECKED(parse_field(fields[2], "day of the month", 1, 31, {}, &out.days_));
  MIZZEN_CHECKED(parse_field(fields[3], "month", 1, 12, kMonths, &out.months_));
  MIZZEN_CHECKED(parse_field(fields[4], "day of the week", 0, 7, kDays, &out.weekdays_));
  out.any_day_ = fields[2][0] == '*' || fields[2] == "?";
  out.any_weekday_ = fields[4][0] == '*' || fields[4] == "?";
  return out;
}

// With both days given, either is enough, as cron has always had it.
bool CronSchedule::fits_day(std::chrono::year_month_day day, std::chrono::weekday weekday) const {
  if (!months_.test(static_cast<unsigned>(day.month()))) return false;
  const bool in_month = days_.test(static_cast<unsigned>(day.day()));
  const bool in_week = weekdays_.test(weekday.c_encoding());
  return any_day_ || any_weekday_ ? in_month && in_week : in_month || in_week;
}

std::optional<WallTime> CronSchedule::next(WallTime after) const {
  using namespace std::chrono;
  const auto start = floor<minutes>(after) + minutes(1);
  auto day = floor<days>(start);
  auto time = start - day;
  for (int tries = 0; tries < 5 * 366; ++tries, day += days(1), time = minutes(0)) {
    if (!fits_day(year_month_day(day), weekday(day))) continue;
    for (; time < days(1); time += minutes(1)) {
      const auto count = duration_cast<minutes>(time).count();
      if (hours_.test(static_cast<std::size_t>(count / 60)) &&
          minutes_.test(static_cast<std::size_t>(count % 60))) {
        return WallTime(day + time);
      }
    }
  }
  return std::nullopt;
}

}  // namespace mizzen::local
