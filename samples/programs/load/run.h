// Runs a load: `connections` callers, each on a connection of its own, one call after another.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "samples/load/histogram.h"
#include "samples/load/options.h"

namespace mizzen::samples::load {

// Where the calls of `options` go.
struct Target {
  net::BaseUrl base;      // without a path
  std::string path;       // and query
  io::TlsContextRef tls;  // for https
};
// Errors: an URL that is none, a certificate file that cannot be read.
Result<Target> target_of(const Options& options);
net::Request request_to(const Target& target, const Options& options);

struct Outcome {
  explicit Outcome(const Options& options)
      : durations(options.resolution),
        failures(options.resolution),
        sleeps(options.resolution),
        connects(options.resolution) {}

  WallTime started{};
  Duration elapsed{};
  std::uint64_t warmups = 0;
  std::uint64_t sockets = 0;
  std::string address;                 // that was called
  std::map<int, std::uint64_t> codes;  // -1: no answer
  Histogram durations;
  Histogram failures;  // of calls that were not answered well
  Histogram sleeps;    // between calls; negative would be: behind the rate
  Histogram connects;
  Counter header_sizes;
  Counter sizes;
  std::string aborted;  // why it stopped before its time; "" when it did not
};

// Whether a code counts as an answer of the right kind.
bool is_good(int code);

// The bytes of a response's head, as HTTP/1.1 would write it.
std::size_t head_size(const net::Response& response);

class Run {
 public:
  // `log`: a line for the user, with its importance.
  using Log = std::function<void(Verbosity, const std::string&)>;
  using Done = std::function<void(const Outcome&)>;
  Run(io::Loop& loop, Options options, Log log, Done done);
  ~Run();

  // `done` is called once, never before this returns. Errors: as target_of().
  Status start();
  void stop();  // now, with what there is

 private:
  struct Caller;
  void resolved(const Result<io::Resolved>& names);
  void begin();
  void warm_up(std::size_t caller);
  void go();
  void next(Caller& caller);
  void call(Caller& caller);
  void answered(Caller& caller, MonoTime from, const Result<net::Response>& response);
  void count(MonoTime from, const Result<net::Response>& response);
  void finish();
  Duration elapsed() const;

  io::Loop& loop_;
  Options options_;
  Log log_;
  Done done_;
  Outcome outcome_;
  Target target_;
  std::unique_ptr<io::Resolver> resolver_;
  io::Address address_;
  std::vector<std::unique_ptr<Caller>> callers_;
  MonoTime begun_;
  std::size_t running_ = 0;
  bool over_ = false;
};

}  // namespace mizzen::samples::load
