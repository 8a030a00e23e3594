// Envoy's `cluster.<name>.*` statistics of circuit breakers and outlier detection, from what the
// workers share.
#include <fmt/format.h>

#include "proxy/admin/dump.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy {
namespace {

using upstream::ClusterCounters;
using upstream::Counters;

void add_breakers(const std::string& prefix, std::string_view priority, const Counters& now,
                  const Limits& limits, StatsReport& report) {
  const auto open = [&](std::string_view what, const std::atomic<std::uint32_t>& taken,
                        std::uint32_t most) {
    report.gauges[fmt::format("{}circuit_breakers.{}.{}_open", prefix, priority, what)] =
        taken.load(std::memory_order_relaxed) >= most ? 1 : 0;
  };
  open("cx", now.connections, limits.max_connections);
  open("rq_pending", now.pending, limits.max_pending_requests);
  open("rq", now.requests, limits.max_requests);
  open("rq_retry", now.retries, limits.max_retries);
}

void add_load(const std::string& prefix, const ClusterCounters& of, StatsReport& report) {
  const auto sum = [&](auto Counters::*member) {
    std::uint64_t total = 0;
    for (const Counters& one : of.by_priority) {
      total += (one.*member).load(std::memory_order_relaxed);
    }
    return total;
  };
  const auto gauge = [&](std::string_view what, auto member) {
    report.gauges[prefix + std::string(what)] = static_cast<std::int64_t>(sum(member));
  };
  const auto count = [&](std::string_view what, auto member) {
    report.counters[prefix + std::string(what)] = sum(member);
  };
  gauge("upstream_cx_active", &Counters::connections);
  gauge("upstream_rq_active", &Counters::requests);
  gauge("upstream_rq_pending_active", &Counters::pending);
  count("upstream_rq_pending_total", &Counters::pending_total);
  count("upstream_rq_pending_overflow", &Counters::pending_refused);
  count("upstream_rq_active_overflow", &Counters::requests_refused);
  count("upstream_cx_overflow", &Counters::connections_refused);
  count("upstream_rq_retry_overflow", &Counters::retries_refused);
}

void add_outliers(const std::string& prefix, const ClusterCounters& of, StatsReport& report) {
  static constexpr std::string_view kNames[upstream::kEjectionCauses] = {
      "consecutive_5xx",
      "consecutive_gateway_failure",
      "consecutive_local_origin_failure",
      "success_rate",
      "local_origin_success_rate",
      "failure_percentage",
      "local_origin_failure_percentage"};
  const auto counts = of.health.counts();
  const std::string start = prefix + "outlier_detection.ejections_";
  report.gauges[start + "active"] = static_cast<std::int64_t>(counts.active);
  report.counters[start + "overflow"] = counts.overflow;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < upstream::kEjectionCauses; ++i) {
    report.counters[fmt::format("{}detected_{}", start, kNames[i])] = counts.detected[i];
    report.counters[fmt::format("{}enforced_{}", start, kNames[i])] = counts.enforced[i];
    all += counts.enforced[i];
  }
  report.counters[start + "enforced_total"] = all;
}

}  // namespace

void add_cluster_stats(const SharedLimits& limits, const Snapshot& snapshot, StatsReport& report) {
  limits.for_each([&](const std::string& name, const ClusterCounters& of) {
    const ClusterEntry* entry = snapshot.cluster(name);
    if (entry == nullptr) return;
    const Cluster& cluster = *entry->cluster;
    const std::string prefix = "cluster." + cluster.stat_name + ".";
    add_load(prefix, of, report);
    add_breakers(prefix, "default", of.by_priority[0], cluster.limits, report);
    add_breakers(prefix, "high", of.by_priority[1], cluster.high_priority_limits, report);
    if (cluster.outlier) add_outliers(prefix, of, report);
  });
}

}  // namespace mizzen::proxy
