#include "samples/load/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mizzen::samples::load {
namespace {

// Upper ends of the buckets, times the resolution; values beyond go into one more.
constexpr std::array<std::uint32_t, 55> kEnds = {
    1,    2,    3,    4,    5,    6,    7,     8,     9,     10,    11,    12,    14,    16,
    18,   20,   25,   30,   35,   40,   45,    50,    60,    70,    80,    90,    100,   120,
    140,  160,  180,  200,  250,  300,  350,   400,   450,   500,   600,   700,   800,   900,
    1000, 2000, 3000, 4000, 5000, 7500, 10000, 20000, 30000, 40000, 50000, 75000, 100000};

}  // namespace

void Counter::add(double value) {
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = count_ == 0 ? value : std::max(max_, value);
  ++count_;
  sum_ += value;
  squares_ += value * value;
}

double Counter::average() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

double Counter::deviation() const {
  if (count_ == 0) return 0;
  double mean = average();
  return std::sqrt(std::max(0.0, squares_ / static_cast<double>(count_) - mean * mean));
}

std::string Counter::line(std::string_view name) const {
  return fmt::format("{} : count {} avg {:.8g} +/- {:.4g} min {:.9g} max {:.9g} sum {:.9g}", name,
                     count_, average(), deviation(), min_, max_, sum_);
}

Histogram::Histogram(double resolution) : resolution_(resolution), counts_(kEnds.size() + 1) {}

void Histogram::add(double seconds) {
  counter_.add(seconds);
  double scaled = seconds / resolution_;
  auto end = std::lower_bound(kEnds.begin(), kEnds.end(), scaled,
                              [](std::uint32_t a, double b) { return a < b; });
  ++counts_[static_cast<std::size_t>(end - kEnds.begin())];
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> out;
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    so_far += counts_[i];
    double start = i == 0 ? 0 : kEnds[i - 1] * resolution_;
    double end = i == kEnds.size() ? counter_.max() : kEnds[i] * resolution_;
    out.push_back({std::max(start, counter_.min()), std::min(end, counter_.max()),
                   100.0 * static_cast<double>(so_far) / static_cast<double>(counter_.count()),
                   counts_[i]});
  }
  return out;
}

double Histogram::percentile(double percent) const {
  double before = 0;
  for (const Bucket& bucket : buckets()) {
    if (percent <= bucket.percent) {
      double within = (percent - before) / (bucket.percent - before);
      return bucket.start + within * (bucket.end - bucket.start);
    }
    before = bucket.percent;
  }
  return counter_.max();
}

}  // namespace mizzen::samples::load
