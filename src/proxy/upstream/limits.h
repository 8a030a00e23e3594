// Circuit breakers: counters shared by all workers, by cluster name and priority.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "proxy/config/snapshot.h"
#include "proxy/upstream/outlier.h"

namespace mizzen::proxy::upstream {

struct Counters {
  std::atomic<std::uint32_t> connections{0};
  std::atomic<std::uint32_t> pending{0};
  std::atomic<std::uint32_t> requests{0};
  std::atomic<std::uint32_t> retries{0};
  // How often there was no room, and how many requests had to wait for a connection.
  std::atomic<std::uint64_t> connections_refused{0};
  std::atomic<std::uint64_t> pending_refused{0};
  std::atomic<std::uint64_t> requests_refused{0};
  std::atomic<std::uint64_t> retries_refused{0};
  std::atomic<std::uint64_t> pending_total{0};
};

// One unit of a counter, given back at the end.
class Taken {
 public:
  Taken() = default;
  Taken(Taken&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  Taken& operator=(Taken&& other) noexcept {
    std::swap(counter_, other.counter_);
    return *this;
  }
  ~Taken() { give_back(); }
  void give_back() {
    if (counter_ != nullptr) {
      std::exchange(counter_, nullptr)->fetch_sub(1, std::memory_order_relaxed);
    }
  }
  explicit operator bool() const { return counter_ != nullptr; }

  // Empty, and counted in `refused`, when `most` are taken already.
  static Taken from(std::atomic<std::uint32_t>& counter, std::uint32_t most,
                    std::atomic<std::uint64_t>& refused) {
    Taken taken;
    std::uint32_t now = counter.load(std::memory_order_relaxed);
    while (now < most) {
      if (counter.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) {
        taken.counter_ = &counter;
        return taken;
      }
    }
    refused.fetch_add(1, std::memory_order_relaxed);
    return taken;
  }

 private:
  std::atomic<std::uint32_t>* counter_ = nullptr;
};

// What all workers share of one cluster, by its name: survives snapshots.
struct ClusterCounters {
  std::array<Counters, 2> by_priority;  // default, high
  ClusterHealth health;
};

}  // namespace mizzen::proxy::upstream

namespace mizzen::proxy {

// Any thread.
class SharedLimits {
 public:
  std::shared_ptr<upstream::ClusterCounters> of(std::string_view cluster);
  // Null for a cluster that no request has used.
  std::shared_ptr<upstream::ClusterCounters> find(std::string_view cluster) const;
  // Calls `fn(name, counters)` for each cluster that has been used.
  template <class Fn>
  void for_each(Fn fn) const {
    std::lock_guard lock(mutex_);
    for (const auto& [name, counters] : clusters_) fn(name, *counters);
  }

  // Workers that may hold idle connections which another worker needs under a limit.
  using Release = std::function<void(const std::string& cluster)>;
  void add_worker(io::Loop& loop, const void* worker, Release release);
  void remove_worker(const void* worker);
  // Asks all workers but `from` to close an idle connection of this cluster.
  void ask_for_release(const void* from, const std::string& cluster);

 private:
  struct Member {
    io::Loop* loop;
    const void* worker;
    std::shared_ptr<Release> release;
  };
  mutable std::mutex mutex_;
  ByName<std::shared_ptr<upstream::ClusterCounters>> clusters_;  // guarded by mutex_
  std::vector<Member> workers_;                                  // guarded by mutex_
};

}  // namespace mizzen::proxy
