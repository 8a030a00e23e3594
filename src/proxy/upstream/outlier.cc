#include "proxy/upstream/outlier.h"

#include <algorithm>
#include <cmath>

namespace mizzen::proxy::upstream {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::int64_t nanos(MonoTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

void clear(std::atomic<std::uint32_t>& count) {
  if (count.load(kRelaxed) != 0) count.store(0, kRelaxed);
}

bool reaches(std::atomic<std::uint32_t>& count, std::uint32_t most) {
  const std::uint32_t now = count.fetch_add(1, kRelaxed) + 1;
  if (most == 0 || now < most) return false;
  count.store(0, kRelaxed);
  return true;
}

std::uint32_t enforcing(const OutlierDetection& rules, EjectionCause cause) {
  switch (cause) {
    case EjectionCause::kConsecutive5xx:
      return rules.enforcing_consecutive_5xx;
    case EjectionCause::kConsecutiveGateway:
      return rules.enforcing_consecutive_gateway_failure;
    case EjectionCause::kConsecutiveLocal:
      return rules.enforcing_consecutive_local_origin_failure;
    case EjectionCause::kSuccessRate:
      return rules.enforcing_success_rate;
    case EjectionCause::kLocalSuccessRate:
      return rules.enforcing_local_origin_success_rate;
    case EjectionCause::kFailurePercentage:
      return rules.enforcing_failure_percentage;
    case EjectionCause::kLocalFailurePercentage:
      return rules.enforcing_failure_percentage_local_origin;
  }
  return 0;
}

bool measures(const OutlierDetection& rules) {
  return rules.enforcing_success_rate > 0 || rules.enforcing_failure_percentage > 0 ||
         (rules.split_local_origin && (rules.enforcing_local_origin_success_rate > 0 ||
                                       rules.enforcing_failure_percentage_local_origin > 0));
}

void tally(HostHealth::Tally& of, bool good) {
  of.all.fetch_add(1, kRelaxed);
  if (good) of.good.fetch_add(1, kRelaxed);
}

}  // namespace

std::shared_ptr<HostHealth> ClusterHealth::host(const io::Address& address) {
  std::lock_guard lock(mutex_);
  auto& slot = hosts_[address];
  auto found = slot.lock();
  if (!found) {
    found = std::make_shared<HostHealth>();
    slot = found;
    std::erase_if(hosts_, [](const auto& entry) { return entry.second.expired(); });
  }
  return found;
}

std::optional<EjectionCause> ClusterHealth::count(const OutlierDetection& rules, HostHealth& host,
                                                  Outcome outcome) {
  const bool split = rules.split_local_origin;
  if (outcome == Outcome::kLocalFailure && split) {
    if (measures(rules)) tally(host.attempts, false);
    if (reaches(host.consecutive_local, rules.consecutive_local_origin_failure)) {
      return EjectionCause::kConsecutiveLocal;
    }
    return std::nullopt;
  }
  if (split) clear(host.consecutive_local);
  if (measures(rules)) {
    if (split) tally(host.attempts, true);
    tally(host.answers, outcome == Outcome::kSuccess);
  }
  if (outcome == Outcome::kSuccess) {
    clear(host.consecutive_5xx);
    clear(host.consecutive_gateway);
    return std::nullopt;
  }
  // What never reached the peer counts as the 503 or 504 that the caller gets.
  std::optional<EjectionCause> cause;
  if (outcome == Outcome::k5xx) {
    clear(host.consecutive_gateway);
  } else if (reaches(host.consecutive_gateway, rules.consecutive_gateway_failure) &&
             rules.enforcing_consecutive_gateway_failure > 0) {
    cause = EjectionCause::kConsecutiveGateway;
  }
  if (reaches(host.consecutive_5xx, rules.consecutive_5xx) && !cause) {
    cause = EjectionCause::kConsecutive5xx;
  }
  return cause;
}

bool ClusterHealth::eject(const OutlierDetection& rules, HostHealth& host, EjectionCause cause,
                          std::size_t hosts, MonoTime now, std::uint64_t random) {
  std::lock_guard lock(mutex_);
  const auto index = static_cast<std::size_t>(cause);
  if (host.ejected()) return false;
  ++counts_.detected[index];
  if (random % 100 >= enforcing(rules, cause)) return false;
  std::size_t out = 0;
  for (const auto& [address, its] : hosts_) {
    if (auto other = its.lock(); other && other->ejected()) ++out;
  }
  const bool first = out == 0 && rules.always_eject_one_host;
  if (!first && 100 * (out + 1) > rules.max_ejection_percent * hosts) {
    ++counts_.overflow;
    return false;
  }
  ++counts_.enforced[index];
  const std::uint32_t times = host.ejections.fetch_add(1, kRelaxed) + 1;
  if (times == 1) returning_.fetch_add(1, kRelaxed);
  Duration time =
      std::min(rules.base_ejection * times, std::max(rules.max_ejection, rules.base_ejection));
  if (rules.max_ejection_jitter > Duration::zero()) {
    time += Duration(static_cast<std::int64_t>(
        (random >> 8) % static_cast<std::uint64_t>(rules.max_ejection_jitter.count())));
  }
  host.ejected_until.store(std::max<std::int64_t>(nanos(now + time), 1), kRelaxed);
  version_.fetch_add(1, kRelaxed);
  return true;
}

std::vector<std::shared_ptr<HostHealth>> ClusterHealth::live() const {
  std::vector<std::shared_ptr<HostHealth>> found;
  std::lock_guard lock(mutex_);
  for (const auto& [address, its] : hosts_) {
    if (auto host = its.lock()) found.push_back(std::move(host));
  }
  return found;
}

std::optional<MonoTime> ClusterHealth::end_ejections(MonoTime now) {
  std::optional<std::int64_t> next;
  for (const auto& host : live()) {
    std::int64_t until = host->ejected_until.load(kRelaxed);
    if (until == 0) continue;
    if (until > nanos(now)) {
      next = std::min(next.value_or(until), until);
    } else if (host->ejected_until.compare_exchange_strong(until, 0, kRelaxed)) {
      clear(host->consecutive_5xx);
      clear(host->consecutive_gateway);
      clear(host->consecutive_local);
      host->returned.store(nanos(now), kRelaxed);
      version_.fetch_add(1, kRelaxed);
    }
  }
  if (!next) return std::nullopt;
  return MonoTime(std::chrono::duration_cast<MonoTime::duration>(std::chrono::nanoseconds(*next)));
}

void ClusterHealth::end_all() {
  for (const auto& host : live()) host->ejected_until.store(0, kRelaxed);
  version_.fetch_add(1, kRelaxed);
}

bool ClusterHealth::needs_sweep(const OutlierDetection& rules) const {
  return measures(rules) || returning_.load(kRelaxed) > 0;
}

std::vector<ClusterHealth::Measured> ClusterHealth::measure(
    const std::vector<std::shared_ptr<HostHealth>>& hosts, Tallies tallies) {
  std::vector<Measured> measured;
  for (const auto& host : hosts) {
    HostHealth::Tally& its = (*host).*tallies;
    const std::uint32_t all = its.all.exchange(0, kRelaxed);
    const std::uint32_t good = std::min(its.good.exchange(0, kRelaxed), all);
    if (all == 0 || host->ejected()) continue;
    measured.push_back({host, all, 100.0 * good / all});
  }
  return measured;
}

// Hosts that are worse than the mean by more than the allowed number of standard deviations.
std::vector<std::shared_ptr<HostHealth>> ClusterHealth::below_rate(
    const OutlierDetection& rules, const std::vector<Measured>& hosts) {
  double sum = 0;
  double squares = 0;
  std::size_t count = 0;
  for (const Measured& host : hosts) {
    if (host.all < rules.success_rate_request_volume) continue;
    ++count;
    sum += host.percent;
    squares += host.percent * host.percent;
  }
  std::vector<std::shared_ptr<HostHealth>> below;
  if (count == 0 || count < rules.success_rate_minimum_hosts) return below;
  const double mean = sum / static_cast<double>(count);
  const double variance = std::max(0.0, squares / static_cast<double>(count) - mean * mean);
  const double least = mean - rules.success_rate_stdev_factor / 1000.0 * std::sqrt(variance);
  for (const Measured& host : hosts) {
    const bool counted = host.all >= rules.success_rate_request_volume;
    if (counted && host.percent < least) below.push_back(host.host);
  }
  return below;
}

std::vector<std::shared_ptr<HostHealth>> ClusterHealth::failing(
    const OutlierDetection& rules, const std::vector<Measured>& hosts) {
  std::vector<std::shared_ptr<HostHealth>> found;
  std::size_t count = 0;
  for (const Measured& host : hosts) {
    if (host.all < rules.failure_percentage_request_volume) continue;
    ++count;
    if (100.0 - host.percent >= rules.failure_percentage_threshold) found.push_back(host.host);
  }
  if (count < rules.failure_percentage_minimum_hosts) found.clear();
  return found;
}

void ClusterHealth::sweep(const OutlierDetection& rules, std::size_t hosts, MonoTime now,
                          std::uint64_t random) {
  std::int64_t due = next_sweep_.load(kRelaxed);
  if (nanos(now) < due) return;
  // A little early counts: the workers' timers do not fire in one moment.
  if (!next_sweep_.compare_exchange_strong(due, nanos(now + rules.interval * 9 / 10), kRelaxed)) {
    return;
  }
  const auto all = live();
  const auto eject_all = [&](const auto& which, EjectionCause cause) {
    for (const auto& host : which) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      eject(rules, *host, cause, hosts, now, random >> 16);
    }
  };
  if (measures(rules)) {
    const auto answers = measure(all, &HostHealth::answers);
    eject_all(below_rate(rules, answers), EjectionCause::kSuccessRate);
    eject_all(failing(rules, answers), EjectionCause::kFailurePercentage);
    if (rules.split_local_origin) {
      const auto attempts = measure(all, &HostHealth::attempts);
      eject_all(below_rate(rules, attempts), EjectionCause::kLocalSuccessRate);
      eject_all(failing(rules, attempts), EjectionCause::kLocalFailurePercentage);
    }
  }
  std::uint32_t returning = 0;
  for (const auto& host : all) {
    std::uint32_t times = host->ejections.load(kRelaxed);
    const bool good =
        !host->ejected() && nanos(now - rules.interval) >= host->returned.load(kRelaxed);
    if (times > 0 && good) host->ejections.store(--times, kRelaxed);
    if (times > 0) ++returning;
  }
  returning_.store(returning, kRelaxed);
}

std::vector<ClusterHealth::HostView> ClusterHealth::hosts() const {
  std::vector<HostView> views;
  std::lock_guard lock(mutex_);
  for (const auto& [address, its] : hosts_) {
    if (auto host = its.lock()) views.push_back({address, host->ejected()});
  }
  return views;
}

ClusterHealth::Counts ClusterHealth::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.active = 0;
  for (const auto& [address, its] : hosts_) {
    if (auto host = its.lock(); host && host->ejected()) ++counts.active;
  }
  return counts;
}

}  // namespace mizzen::proxy::upstream
