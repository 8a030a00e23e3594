// Earliest deadline first: an order in which each item comes as often as its weight says, evenly
// spread. A pick costs O(log n) and allocates nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mizzen::proxy::upstream {

class WeightedOrder {
 public:
  void clear() {
    heap_.clear();
    now_ = 0;
    count_ = 0;
  }
  bool empty() const { return heap_.empty(); }

  // Items are numbers of the caller's; weights above 0.
  void add(std::uint32_t item, double weight) {
    heap_.push_back({now_ + 1.0 / weight, count_++, item});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  // The next item; it comes back after 1 / weight_of(item). Must not be empty.
  template <class WeightOf>
  std::uint32_t next(WeightOf weight_of) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Entry& entry = heap_.back();
    now_ = entry.deadline;
    const std::uint32_t item = entry.item;
    entry.deadline = now_ + 1.0 / weight_of(item);
    entry.order = count_++;
    std::push_heap(heap_.begin(), heap_.end(), later);
    return item;
  }

 private:
  struct Entry {
    double deadline;
    std::uint64_t order;  // those that are due at one moment take turns
    std::uint32_t item;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order;
  }

  std::vector<Entry> heap_;
  double now_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace mizzen::proxy::upstream
