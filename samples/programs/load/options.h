// The command line of `fortio load`, as far as HTTP goes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mizzen::samples::load {

enum class Verbosity : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct Options {
  std::string url;
  unsigned connections = 4;                                  // -c
  double qps = 8;                                            // -qps; 0: as many as there are
  std::uint64_t calls = 0;                                   // -n; 0: by duration
  Duration duration = std::chrono::seconds(5);               // -t; 0: until interrupted
  std::vector<double> percentiles = {50, 75, 90, 99, 99.9};  // -p
  double resolution = 0.001;                                 // -r, seconds
  std::string method;                                        // -X; "": GET, or POST with a payload
  std::vector<std::pair<std::string, std::string>> headers;  // -H, -content-type, -user
  std::string payload;                         // -payload, -payload-file, -payload-size
  Duration timeout = std::chrono::seconds(3);  // -timeout
  bool insecure = false;                       // -k
  std::string ca_file;                         // -cacert
  bool http2 = false;                          // -h2
  bool keep_alive = true;                      // -keepalive
  bool curl = false;                           // -curl: one request, shown
  bool allow_initial_errors = false;           // -allow-initial-errors
  bool jitter = false;                         // -jitter
  bool uniform = false;                        // -uniform
  bool quiet = false;                          // -quiet
  int abort_on = 0;                            // -abort-on, a code
  std::string resolve;                         // -resolve: connect to this address
  std::string json;                            // -json FILE; "-" is standard output
  std::string data_dir = ".";                  // -data-dir: of -a
  bool name_json = false;                      // -a: the file's name is made up
  std::string labels;                          // -labels
  Verbosity verbosity = Verbosity::kInfo;      // -loglevel
};

// Words after `load`. Flags as Go programs take them: -name value, -name=value, --name. Errors name
// the flag and what it would take; flags of gRPC, UDP and TCP tests are refused by name.
Result<Options> parse_options(const std::vector<std::string>& words);

// "1m30s", "250ms", "0".
Result<Duration> parse_duration(std::string_view text);

std::string usage();

}  // namespace mizzen::samples::load
