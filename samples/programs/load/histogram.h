// Durations as fortio counts them: in buckets of growing width, with percentiles by linear
// interpolation within a bucket.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mizzen::samples::load {

// Count, average, deviation and extremes of values.
class Counter {
 public:
  void add(double value);
  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }
  double min() const { return min_; }
  double max() const { return max_; }
  double average() const;
  double deviation() const;
  // "NAME : count 4 avg 1 +/- 0 min 1 max 1 sum 4"
  std::string line(std::string_view name) const;

 private:
  std::uint64_t count_ = 0;
  double sum_ = 0;
  double squares_ = 0;
  double min_ = 0;
  double max_ = 0;
};

class Histogram {
 public:
  // `resolution`: seconds of the finest bucket.
  explicit Histogram(double resolution);

  struct Bucket {
    double start;
    double end;
    double percent;  // of all values up to the bucket's end
    std::uint64_t count;
  };
  void add(double seconds);
  const Counter& counter() const { return counter_; }
  std::vector<Bucket> buckets() const;      // those that hold something
  double percentile(double percent) const;  // 0 when empty

 private:
  double resolution_;
  Counter counter_;
  std::vector<std::uint64_t> counts_;
};

}  // namespace mizzen::samples::load
