// Outlier detection of one cluster (envoy.config.cluster.v3.OutlierDetection): what all workers
// report of its hosts and what they all see. Any thread; times are of the monotonic clock, which
// the workers' loops share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "io/address.h"
#include "proxy/config/cluster.h"

namespace mizzen::proxy::upstream {

// What came of a request or connection attempt. kLocalFailure: nothing of the peer's was heard (no
// connection, a reset, a time limit).
enum class Outcome : std::uint8_t { kSuccess, k5xx, kGatewayError, kLocalFailure };

// Why a host is ejected, in the order of OutlierDetection's counters.
enum class EjectionCause : std::uint8_t {
  kConsecutive5xx,
  kConsecutiveGateway,
  kConsecutiveLocal,
  kSuccessRate,
  kLocalSuccessRate,
  kFailurePercentage,
  kLocalFailurePercentage,
};
inline constexpr std::size_t kEjectionCauses = 7;

// One host's. Workers hold it as long as they know the host.
struct HostHealth {
  struct Tally {  // of one interval
    std::atomic<std::uint32_t> all{0};
    std::atomic<std::uint32_t> good{0};
  };
  bool ejected() const { return ejected_until.load(std::memory_order_relaxed) != 0; }

  std::atomic<std::uint32_t> consecutive_5xx{0};
  std::atomic<std::uint32_t> consecutive_gateway{0};
  std::atomic<std::uint32_t> consecutive_local{0};
  std::atomic<std::uint32_t> ejections{0};     // how many base times the next one lasts, less one
  std::atomic<std::int64_t> ejected_until{0};  // nanoseconds; 0: it is not
  std::atomic<std::int64_t> returned{0};       // end of the last ejection
  Tally answers;                               // of the peer's own
  Tally attempts;                              // of ours to reach it
};

class ClusterHealth {
 public:
  std::shared_ptr<HostHealth> host(const io::Address& address);

  // Grows whenever a host was ejected or came back: hosts are to be looked at again then.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }

  // Counts; a cause when that makes the host one to eject.
  std::optional<EjectionCause> count(const OutlierDetection& rules, HostHealth& host,
                                     Outcome outcome);
  // Ejects unless chance (enforcing_*) or max_ejection_percent of `hosts` forbid it.
  bool eject(const OutlierDetection& rules, HostHealth& host, EjectionCause cause,
             std::size_t hosts, MonoTime now, std::uint64_t random);
  // Lets those back whose time is over; the end of the next ejection.
  std::optional<MonoTime> end_ejections(MonoTime now);
  // The cluster detects outliers no more: all come back.
  void end_all();

  // What is looked at once an interval: rates over the hosts, and ejection times that shrink again.
  // Whichever worker comes first does it.
  void sweep(const OutlierDetection& rules, std::size_t hosts, MonoTime now, std::uint64_t random);
  bool needs_sweep(const OutlierDetection& rules) const;

  // For pages and statistics.
  struct HostView {
    io::Address address;
    bool ejected = false;
  };
  std::vector<HostView> hosts() const;
  struct Counts {
    std::array<std::uint64_t, kEjectionCauses> detected{};
    std::array<std::uint64_t, kEjectionCauses> enforced{};
    std::uint64_t overflow = 0;  // refused by max_ejection_percent
    std::uint64_t active = 0;
  };
  Counts counts() const;

 private:
  using Tallies = HostHealth::Tally HostHealth::*;
  struct Measured {
    std::shared_ptr<HostHealth> host;
    std::uint32_t all;
    double percent;  // of successes
  };
  std::vector<std::shared_ptr<HostHealth>> live() const;
  static std::vector<Measured> measure(const std::vector<std::shared_ptr<HostHealth>>& hosts,
                                       Tallies tallies);
  static std::vector<std::shared_ptr<HostHealth>> below_rate(const OutlierDetection& rules,
                                                             const std::vector<Measured>& hosts);
  static std::vector<std::shared_ptr<HostHealth>> failing(const OutlierDetection& rules,
                                                          const std::vector<Measured>& hosts);

  mutable std::mutex mutex_;
  std::unordered_map<io::Address, std::weak_ptr<HostHealth>> hosts_;  // guarded by mutex_
  Counts counts_;                                                     // guarded by mutex_
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::int64_t> next_sweep_{0};
  std::atomic<std::uint32_t> returning_{0};  // hosts whose `ejections` is above 0, about
};

}  // namespace mizzen::proxy::upstream
