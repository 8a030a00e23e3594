#include "samples/load/report.h"

#include <fmt/format.h>

#include <thread>

namespace mizzen::samples::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kVersion = "1.0-mizzen";

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string short_time(Duration duration) {
  double s = seconds(duration);
  if (s >= 1) return fmt::format("{:.6g}s", s);
  return s >= 0.001 ? fmt::format("{:.6g}ms", s * 1e3) : fmt::format("{:.6g}µs", s * 1e6);
}

double rate(const Outcome& outcome) {
  double s = seconds(outcome.elapsed);
  return s > 0 ? static_cast<double>(outcome.durations.counter().count()) / s : 0;
}

std::string buckets(const Histogram& histogram, const std::vector<double>& percentiles) {
  std::string out = "# range, mid point, percentile, count\n";
  bool first = true;
  for (const Histogram::Bucket& one : histogram.buckets()) {
    out += fmt::format("{} {:.6g} <= {:.6g} , {:.6g} , {:.2f}, {}\n", first ? ">=" : ">", one.start,
                       one.end, (one.start + one.end) / 2, one.percent, one.count);
    first = false;
  }
  for (double percent : percentiles) {
    out += fmt::format("# target {:g}% {:.6g}\n", percent, histogram.percentile(percent));
  }
  return out;
}

Json histogram_json(const Histogram& histogram, const std::vector<double>& percentiles) {
  const Counter& counter = histogram.counter();
  Json data = Json::array();
  for (const Histogram::Bucket& one : histogram.buckets()) {
    data.push_back(
        {{"Start", one.start}, {"End", one.end}, {"Percent", one.percent}, {"Count", one.count}});
  }
  Json out = {{"Count", counter.count()},
              {"Min", counter.min()},
              {"Max", counter.max()},
              {"Sum", counter.sum()},
              {"Avg", counter.average()},
              {"StdDev", counter.deviation()},
              {"Data", data},
              {"Percentiles", Json::array()}};
  for (double percent : percentiles) {
    out["Percentiles"].push_back(
        {{"Percentile", percent}, {"Value", histogram.percentile(percent)}});
  }
  return out;
}

Json counter_json(const Counter& counter) {
  return {{"Count", counter.count()}, {"Min", counter.min()},     {"Max", counter.max()},
          {"Sum", counter.sum()},     {"Avg", counter.average()}, {"StdDev", counter.deviation()}};
}

std::string asked_rate(const Options& options) {
  return options.qps > 0 ? fmt::format("{:g}", options.qps) : "max";
}

}  // namespace

std::string opening(const Options& options) {
  unsigned processors = std::max(1U, std::thread::hardware_concurrency());
  std::string how_long = options.calls > 0
                             ? fmt::format("for {} calls", options.calls)
                             : (options.duration.count() > 0 ? "for " + short_time(options.duration)
                                                             : std::string("until interrupted"));
  std::string out =
      fmt::format("Fortio {} running at {:g} queries per second, {}->{} procs, {}: {}\n", kVersion,
                  options.qps, processors, processors, how_long, options.url);
  std::string rate = options.qps > 0 ? fmt::format("{:g} qps", options.qps) : "max qps";
  out += fmt::format("Starting at {} with {} thread(s) [gomax {}] ", rate, options.connections,
                     processors);
  if (options.calls == 0) return out + how_long + "\n";
  return out + fmt::format("for exactly {} calls ({} per thread + {})\n", options.calls,
                           options.calls / options.connections,
                           options.calls % options.connections);
}

std::string report(const Options& options, const Outcome& outcome) {
  const Counter& all = outcome.durations.counter();
  std::string out;
  if (!outcome.aborted.empty()) out += "Aborted: " + outcome.aborted + "\n";
  if (all.count() == 0) return out;
  out += fmt::format("Ended after {} : {} calls. qps={:.5g}\n", short_time(outcome.elapsed),
                     all.count(), rate(outcome));
  if (options.qps > 0 && outcome.sleeps.counter().count() > 0) {
    out += outcome.sleeps.counter().line("Sleep times") + "\n";
  }
  out += all.line("Aggregated Function Time") + "\n";
  out += buckets(outcome.durations, options.percentiles);
  if (outcome.failures.counter().count() > 0) {
    out += outcome.failures.counter().line("Error cases") + "\n";
    out += buckets(outcome.failures, options.percentiles);
  }
  out += outcome.connects.counter().line("Connection time histogram (s)") + "\n";
  out += fmt::format("Sockets used: {} (for perfect keepalive, would be {})\n", outcome.sockets,
                     options.connections);
  out += fmt::format("Uniform: {}, Jitter: {}, Catchup allowed: true\n", options.uniform,
                     options.jitter);
  out += fmt::format("IP addresses distribution:\n{}: {}\n", outcome.address, outcome.sockets);
  for (const auto& [code, count] : outcome.codes) {
    out += fmt::format("Code {:3} : {} ({:.1f} %)\n", code, count,
                       100.0 * static_cast<double>(count) / static_cast<double>(all.count()));
  }
  out += outcome.header_sizes.line("Response Header Sizes") + "\n";
  out += outcome.sizes.line("Response Body/Total Sizes") + "\n";
  return out + fmt::format("All done {} calls (plus {} warmup) {:.3f} ms avg, {:.1f} qps\n",
                           all.count(), outcome.warmups, all.average() * 1000, rate(outcome));
}

Json report_json(const Options& options, const Outcome& outcome) {
  Json codes = Json::object();
  for (const auto& [code, count] : outcome.codes) codes[std::to_string(code)] = count;
  return {{"RunType", "HTTP"},
          {"Labels", options.labels},
          {"StartTime", rfc3339_millis(outcome.started)},
          {"RequestedQPS", asked_rate(options)},
          {"RequestedDuration", options.calls > 0 ? fmt::format("exactly {} calls", options.calls)
                                                  : short_time(options.duration)},
          {"ActualQPS", rate(outcome)},
          {"ActualDuration", outcome.elapsed.count()},
          {"NumThreads", options.connections},
          {"Version", kVersion},
          {"DurationHistogram", histogram_json(outcome.durations, options.percentiles)},
          {"ErrorsDurationHistogram", histogram_json(outcome.failures, options.percentiles)},
          {"Exactly", options.calls},
          {"Jitter", options.jitter},
          {"Uniform", options.uniform},
          {"URL", options.url},
          {"NumConnections", options.connections},
          {"SocketCount", outcome.sockets},
          {"RetCodes", std::move(codes)},
          {"IPCountMap", {{outcome.address, outcome.sockets}}},
          {"HeaderSizes", counter_json(outcome.header_sizes)},
          {"Sizes", counter_json(outcome.sizes)},
          {"AbortOn", options.abort_on}};
}

}  // namespace mizzen::samples::load
