// Istio's standard metrics, counted plainly by each worker and summed when somebody asks.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/facts.h"

namespace mizzen::proxy {

// Upper bounds of Istio's histograms, in milliseconds or bytes; the last bucket is +Inf.
inline constexpr std::array<double, 19> kHistogramBounds = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

struct Histogram {
  std::array<std::uint64_t, kHistogramBounds.size() + 1> buckets{};  // not cumulative
  double sum = 0;
  std::uint64_t count = 0;
  void add(double value);
  void merge(const Histogram& other);
};

// The time series of one set of labels.
struct RequestSeries {
  std::uint64_t requests = 0;
  Histogram duration_ms;
  Histogram request_bytes;
  Histogram response_bytes;
  void merge(const RequestSeries& other);
};
struct TcpSeries {
  std::uint64_t opened = 0;
  std::uint64_t closed = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
  void merge(const TcpSeries& other);
};

// Series by their labels as Prometheus writes them: `response_code="200",reporter="source",...`.
// A copy of what a worker has; merged and rendered by whoever asked.
struct StatsReport {
  std::map<std::string, RequestSeries> requests;
  std::map<std::string, TcpSeries> tcp;
  std::map<std::string, std::uint64_t> counters;  // "name{labels}" or "name"
  std::map<std::string, std::int64_t> gauges;
  void merge(const StatsReport& other);
  // Prometheus text format 0.0.4, every family with its TYPE line.
  std::string prometheus() const;
};

// One worker's statistics; used on its thread only. Series exist from their first request on.
class Stats {
 public:
  // `self` must outlive this.
  explicit Stats(const SelfFacts& self) : self_(self) {}

  void request_done(const RequestInfo& request);
  // The clusters that requests name from now on may stand where others did.
  void forget_recent() { recent_ = {}; }
  // A TCP connection reports when it opened, and then what was moved since the last report.
  void tcp_opened(const RequestInfo& connection);
  void tcp_moved(const RequestInfo& connection, std::uint64_t received, std::uint64_t sent);
  void tcp_closed(const RequestInfo& connection);

  // Plain counters by name ("mizzen_downstream_connections_total"); the name must be a literal.
  void count(std::string_view name, std::uint64_t by = 1);
  void gauge(std::string_view name, std::int64_t change);

  StatsReport report() const;

 private:
  struct Parts;
  // What a series is chosen by, but for names that a client made up.
  struct Traits {
    const Cluster* cluster = nullptr;  // no other stands there until forget_recent()
    const void* workload = nullptr;    // of the far side
    const io::PeerCertificate* peer = nullptr;
    const io::PeerCertificate* own = nullptr;
    std::optional<int> grpc_status;
    int status = 0;
    std::uint32_t flags = 0;
    Direction direction = Direction::kUnspecified;
    bool mutual_tls = false;
    bool is_grpc = false;
    bool operator==(const Traits&) const = default;
  };
  // Most requests are of the series before. What its traits point to is kept, so that nothing else
  // comes to stand there.
  struct Recent {
    Traits traits;
    std::string made_up;  // empty: the cluster says what the service is
    RequestSeries* series = nullptr;
    std::array<std::shared_ptr<const void>, 3> kept;
  };
  static Traits traits_of(const RequestInfo& request);
  bool is_recent(const Traits& traits, const RequestInfo& request) const;
  void remember(const Traits& traits, const RequestInfo& request, RequestSeries& series);
  Parts parts(const RequestInfo& request) const;
  RequestSeries& series_of(const RequestInfo& request);
  RequestSeries& find_series(const RequestInfo& request, const Parts& parts);
  TcpSeries& tcp_series(const RequestInfo& connection);
  bool is_one_too_many(const Parts& parts, std::size_t series);
  void count_route(const RequestInfo& request);

  const SelfFacts& self_;
  std::unordered_map<std::string, RequestSeries, NameHash, std::equal_to<>> requests_;
  std::unordered_map<std::string, TcpSeries, NameHash, std::equal_to<>> tcp_;
  std::unordered_map<std::string_view, std::uint64_t> counters_;
  std::unordered_map<std::string_view, std::int64_t> gauges_;
  using ByKey = std::unordered_map<std::string, RequestSeries*, NameHash, std::equal_to<>>;
  ByKey by_key_;
  Recent recent_;
  // Of routes with a stat_prefix: "name{labels}".
  std::unordered_map<std::string, std::uint64_t, NameHash, std::equal_to<>> routes_;
  std::size_t made_up_ = 0;  // series of hosts that belong to no service
  std::string key_;          // scratch
};

}  // namespace mizzen::proxy
