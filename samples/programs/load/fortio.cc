#include "samples/load/fortio.h"

#include <fmt/format.h>

#include <csignal>
#include <fstream>

#include "http/message.h"
#include "samples/load/report.h"

namespace mizzen::samples::load {
namespace {

int fail_with(const Error& error) {
  fmt::print(stderr, "fortio: {}\n", error.message);
  return 1;
}

Run::Log logger(const Options& options) {
  Verbosity least = options.quiet ? Verbosity::kError : options.verbosity;
  return [least](Verbosity verbosity, const std::string& line) {
    if (verbosity < least) return;
    std::string time = rfc3339_millis(system_clock().wall()).substr(11, 8);
    char letter = "DIWE"[static_cast<std::size_t>(verbosity)];
    fmt::print(stderr, "{} {} {}\n", time, letter, line);
  };
}

Status write_json(const Options& options, const Outcome& outcome) {
  std::string path = options.json;
  if (path.empty() && options.name_json) {
    std::string stamp = rfc3339(outcome.started);
    std::erase_if(stamp, [](char c) { return c == ':' || c == '-' || c == 'T' || c == 'Z'; });
    path = fmt::format("{}/{}{}{}.json", options.data_dir, stamp, options.labels.empty() ? "" : "_",
                       options.labels);
  }
  if (path.empty()) return {};
  std::string text = report_json(options, outcome).dump(2) + "\n";
  if (path == "-") {
    fmt::print("{}", text);
    return {};
  }
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) return fail(Code::kInternal, "cannot write " + path);
  fmt::print(stderr, "Successfully wrote {} bytes of Json data to {}\n", text.size(), path);
  return {};
}

int run_load(const Options& options) {
  io::EpollLoop loop;
  int code = 0;
  Run run(loop, options, logger(options), [&](const Outcome& outcome) {
    FILE* out = options.json == "-" ? stderr : stdout;
    fmt::print(out, "{}", report(options, outcome));
    if (!outcome.aborted.empty()) code = 1;
    if (Status written = write_json(options, outcome); !written) code = fail_with(written.error());
    loop.stop();
  });
  io::Signals signals(loop, {SIGINT, SIGTERM}, [&run](int) { run.stop(); });
  if (Status status = run.start(); !status) return fail_with(status.error());
  if (!options.quiet) {
    fmt::print(options.json == "-" ? stderr : stdout, "{}", opening(options));
    std::fflush(stdout);
  }
  loop.run();
  return code;
}

// One request, shown as it came.
int run_curl(const Options& options) {
  auto target = target_of(options);
  if (!target) return fail_with(target.error());
  io::EpollLoop loop;
  int code = 0;
  net::HttpClientOptions client;
  client.base = target->base;
  client.tls = target->tls;
  client.version = options.http2 ? net::HttpVersion::kHttp2 : net::HttpVersion::kHttp1;
  client.connect.timeout = options.timeout;
  net::HttpClient http(loop, std::move(client));
  http.fetch(request_to(*target, options), [&](const Result<net::Response>& response) {
    loop.stop();
    if (!response) {
      code = fail_with(response.error().in("error fetching " + options.url));
      return;
    }
    fmt::print("HTTP/1.1 {} {}\r\n", response->status, http::reason_phrase(response->status));
    for (const auto& [name, value] : response->headers) fmt::print("{}: {}\r\n", name, value);
    fmt::print("\r\n{}", response->body);
    if (!response->body.ends_with('\n')) fmt::print("\n");
    if (is_good(response->status)) return;
    fmt::print(stderr, "fortio: non ok code {}\n", response->status);
    code = 1;
  });
  loop.run();
  return code;
}

}  // namespace

int fortio(const std::vector<std::string>& words) {
  std::string command = words.empty() ? "help" : words.front();
  if (command == "version") {
    fmt::print("1.0-mizzen\n");
    return 0;
  }
  if (command == "help" || command == "-h" || command == "--help" || command == "-help") {
    fmt::print("{}", usage());
    return 0;
  }
  if (command != "load" && command != "curl") {
    return fail_with({.code = Code::kUnsupported,
                      .message = fmt::format("\"{}\" is not there: load, curl, server, version, "
                                             "help are (no gRPC, TCP, UDP, no proxies)",
                                             command)});
  }
  auto options = parse_options({words.begin() + 1, words.end()});
  if (!options) return fail_with(options.error());
  return options->curl || command == "curl" ? run_curl(*options) : run_load(*options);
}

}  // namespace mizzen::samples::load
