// Texts that stand for numbers: Go's durations and Kubernetes' quantities.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "base/strings.h"
#include "object/walker.h"

namespace mizzen::object {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanos;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"µs", 1'000},
                                         {"μs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool parse_go_duration(std::string_view text, std::int64_t* nanos) {
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  *nanos = 0;
  if (text == "0") return true;
  if (text.empty()) return false;
  __int128 total = 0;
  while (!text.empty()) {
    std::size_t end = 0;
    while (end < text.size() && (digit(text[end]) || text[end] == '.')) ++end;
    std::string_view number = text.substr(0, end);
    text.remove_prefix(end);
    std::size_t unit_end = 0;
    while (unit_end < text.size() && !digit(text[unit_end]) && text[unit_end] != '.') ++unit_end;
    std::string_view unit = text.substr(0, unit_end);
    text.remove_prefix(unit_end);
    const Unit* found = nullptr;
    for (const Unit& one : kUnits) {
      if (one.name == unit) found = &one;
    }
    if (!found || number.empty() || number.size() > 30) return false;
    auto dot = number.find('.');
    std::string_view whole = number.substr(0, dot);
    std::string_view fraction = dot == number.npos ? "" : number.substr(dot + 1);
    if ((whole.empty() && fraction.empty()) || fraction.find('.') != fraction.npos) return false;
    auto value = whole.empty() ? 0 : parse_int<std::int64_t>(whole);
    if (!value) return false;
    total += static_cast<__int128>(*value) * found->nanos;
    double scale = static_cast<double>(found->nanos);
    double part = 0;
    for (char c : fraction) part += (c - '0') * (scale /= 10);
    total += static_cast<std::int64_t>(std::llround(part));
    if (total > INT64_MAX) return false;
  }
  *nanos = static_cast<std::int64_t>(negative ? -total : total);
  return true;
}

std::string go_duration(std::int64_t nanos) {
  if (nanos == 0) return "0s";
  std::string out = nanos < 0 ? "-" : "";
  std::uint64_t rest = nanos < 0 ? 0 - static_cast<std::uint64_t>(nanos) : nanos;
  auto decimal = [](std::uint64_t value, std::uint64_t unit) {
    std::string text = fmt::format("{}", value / unit);
    if (value % unit == 0) return text;
    std::string fraction = fmt::format("{}", unit + value % unit).substr(1);
    return text + "." + fraction.substr(0, fraction.find_last_not_of('0') + 1);
  };
  if (rest < 1'000) return out + decimal(rest, 1) + "ns";
  if (rest < 1'000'000) return out + decimal(rest, 1'000) + "µs";
  if (rest < 1'000'000'000) return out + decimal(rest, 1'000'000) + "ms";
  std::uint64_t minutes = rest / 60'000'000'000;
  if (minutes >= 60) out += fmt::format("{}h", minutes / 60);
  if (minutes > 0) out += fmt::format("{}m", minutes % 60);
  return out + decimal(rest % 60'000'000'000, 1'000'000'000) + "s";
}

bool parse_quantity(std::string_view text, std::int64_t* thousandths) {
  std::size_t end = 0;
  if (end < text.size() && (text[end] == '-' || text[end] == '+')) ++end;
  std::size_t digits = 0;
  int dots = 0;
  while (end < text.size() && (digit(text[end]) || text[end] == '.')) {
    text[end] == '.' ? ++dots : static_cast<int>(++digits);
    ++end;
  }
  if (digits == 0 || dots > 1 || text.size() > 64) return false;
  std::string_view suffix = text.substr(end);
  double value = std::stod(std::string(text.substr(0, end)));
  static constexpr std::string_view kBinary = "KMGTPE";
  static constexpr std::string_view kDecimal = "kMGTPE";
  if (suffix.size() == 2 && suffix[1] == 'i' && kBinary.find(suffix[0]) != kBinary.npos) {
    value *= std::pow(1024.0, static_cast<double>(kBinary.find(suffix[0]) + 1));
  } else if (suffix.size() == 1 && kDecimal.find(suffix[0]) != kDecimal.npos) {
    value *= std::pow(1000.0, static_cast<double>(kDecimal.find(suffix[0]) + 1));
  } else if (suffix == "m") {
    value /= 1e3;
  } else if (suffix == "u") {
    value /= 1e6;
  } else if (suffix == "n") {
    value /= 1e9;
  } else if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    auto exponent = parse_int<int>(suffix.substr(suffix[1] == '+' ? 2 : 1));
    if (!exponent || std::abs(*exponent) > 18) return false;
    value *= std::pow(10.0, *exponent);
  } else if (!suffix.empty()) {
    return false;
  }
  double scaled = value * 1000;
  if (std::abs(scaled) > 9.2e18) scaled = std::copysign(9.2e18, scaled);
  *thousandths = static_cast<std::int64_t>(std::ceil(scaled - 1e-6));
  return true;
}

}  // namespace mizzen::object
