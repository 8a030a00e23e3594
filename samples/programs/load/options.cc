#include "samples/load/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "base/strings.h"

namespace mizzen::samples::load {
namespace {

using Set = std::function<Status(Options&, const std::string& value)>;
struct Flag {
  bool boolean;
  const char* says;
  Set set;
};

template <class T>
Set number(T Options::*member, T least, T most) {
  return [=](Options& options, const std::string& value) -> Status {
    auto parsed = parse_int<T>(value);
    if (!parsed || *parsed < least || *parsed > most) {
      return fail(Code::kInvalid,
                  fmt::format("\"{}\" is not a whole number from {} to {}", value, least, most));
    }
    options.*member = *parsed;
    return {};
  };
}

Set word(std::string Options::*member) {
  return [=](Options& options, const std::string& value) -> Status {
    options.*member = value;
    return {};
  };
}

Flag yes_or_no(bool Options::*member, const char* says) {
  return {true, says, [=](Options& options, const std::string& value) -> Status {
            options.*member = value != "false" && value != "0";
            return {};
          }};
}

Set time(Duration Options::*member) {
  return [=](Options& options, const std::string& value) -> Status {
    MIZZEN_TRY(options.*member, parse_duration(value));
    return {};
  };
}

Result<double> decimal(const std::string& value) {
  char* end = nullptr;
  double parsed = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0' || !(parsed >= 0)) {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not a number", value));
  }
  return parsed;
}

Status set_qps(Options& options, const std::string& value) {
  if (value == "max") {
    options.qps = 0;
    return {};
  }
  MIZZEN_TRY(options.qps, decimal(value));
  return {};
}

Status set_percentiles(Options& options, const std::string& value) {
  options.percentiles.clear();
  for (std::string_view part : split(value, ',')) {
    MIZZEN_TRY(double percent, decimal(std::string(trim(part))));
    if (percent > 100) return fail(Code::kInvalid, "a percentile is at most 100");
    options.percentiles.push_back(percent);
  }
  return {};
}

Status add_header(Options& options, const std::string& value) {
  std::size_t colon = value.find(':');
  if (colon == std::string::npos || colon == 0) {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not \"Name: value\"", value));
  }
  options.headers.emplace_back(lower(trim(value.substr(0, colon))),
                               trim(std::string_view(value).substr(colon + 1)));
  return {};
}

Status set_verbosity(Options& options, const std::string& value) {
  std::string level = lower(value);
  if (level == "debug" || level == "verbose") {
    options.verbosity = Verbosity::kDebug;
  } else if (level == "info") {
    options.verbosity = Verbosity::kInfo;
  } else if (level == "warning" || level == "warn") {
    options.verbosity = Verbosity::kWarning;
  } else if (level == "error" || level == "critical" || level == "fatal") {
    options.verbosity = Verbosity::kError;
  } else {
    return fail(Code::kInvalid, fmt::format("\"{}\" is none of Debug, Verbose, Info, Warning, "
                                            "Error, Critical",
                                            value));
  }
  return {};
}

Status read_payload(Options& options, const std::string& value) {
  std::ifstream file(value, std::ios::binary);
  if (!file) return fail(Code::kNotFound, "cannot read " + value);
  std::ostringstream text;
  text << file.rdbuf();
  options.payload = text.str();
  return {};
}

Status size_payload(Options& options, const std::string& value) {
  auto size = parse_int<std::uint32_t>(value);
  if (!size || *size > 16'000'000) {
    return fail(Code::kInvalid, "a payload is at most 16,000,000 bytes");
  }
  options.payload.assign(*size, 'x');
  return {};
}

const std::map<std::string, Flag>& flags() {
  static const std::map<std::string, Flag> all = {
      {"c", {false, "connections", number(&Options::connections, 1U, 1000U)}},
      {"n",
       {false, "exactly so many calls",
        number(&Options::calls, std::uint64_t{0}, std::uint64_t{1'000'000'000})}},
      {"t", {false, "how long, when -n is not given", time(&Options::duration)}},
      {"qps", {false, "calls per second; 0 or max: no limit", set_qps}},
      {"p", {false, "percentiles to show", set_percentiles}},
      {"r",
       {false, "resolution of the histogram, in seconds",
        [](Options& o, const std::string& v) -> Status {
          MIZZEN_TRY(o.resolution, decimal(v));
          return o.resolution > 0 ? Status() : fail(Code::kInvalid, "must be more than 0");
        }}},
      {"H", {false, "a header, \"Name: value\"", add_header}},
      {"X", {false, "method", word(&Options::method)}},
      {"user",
       {false, "name:password",
        [](Options& o, const std::string& v) {
          return add_header(o, "authorization: Basic " + base64_encode(v));
        }}},
      {"content-type",
       {false, "of the payload",
        [](Options& o, const std::string& v) { return add_header(o, "content-type: " + v); }}},
      {"payload", {false, "body of each request", word(&Options::payload)}},
      {"payload-file", {false, "body, from a file", read_payload}},
      {"payload-size", {false, "body of so many bytes", size_payload}},
      {"timeout", {false, "of a call", time(&Options::timeout)}},
      {"k", yes_or_no(&Options::insecure, "do not verify certificates")},
      {"https-insecure", yes_or_no(&Options::insecure, "as -k")},
      {"cacert", {false, "file of authorities to trust", word(&Options::ca_file)}},
      {"h2", yes_or_no(&Options::http2, "HTTP/2")},
      {"keepalive", yes_or_no(&Options::keep_alive, "keep connections")},
      {"curl", yes_or_no(&Options::curl, "one request, and show what comes back")},
      {"allow-initial-errors",
       yes_or_no(&Options::allow_initial_errors, "go on when the first call fails")},
      {"jitter", yes_or_no(&Options::jitter, "10 % of randomness between calls")},
      {"uniform", yes_or_no(&Options::uniform, "connections start one after another")},
      {"quiet", yes_or_no(&Options::quiet, "only errors, and the result")},
      {"abort-on", {false, "stop at this code", number(&Options::abort_on, -1, 999)}},
      {"resolve", {false, "connect to this address", word(&Options::resolve)}},
      {"json", {false, "write the result to a file", word(&Options::json)}},
      {"a", yes_or_no(&Options::name_json, "as -json, with a name made of the time")},
      {"data-dir", {false, "where -a writes", word(&Options::data_dir)}},
      {"labels", {false, "words for the result", word(&Options::labels)}},
      {"loglevel", {false, "Debug, Info, Warning, Error", set_verbosity}},
  };
  return all;
}

Status refuse(const std::string& name) {
  for (const char* other : {"grpc", "ping", "s", "health", "healthservice", "grpc-port", "udp",
                            "stdclient", "http1.0", "L"}) {
    if (name != other) continue;
    return fail(Code::kUnsupported,
                fmt::format("-{}: this load generator speaks HTTP only, by one client that "
                            "follows no redirects; gRPC, UDP and TCP tests are not there",
                            name));
  }
  return fail(Code::kInvalid, "flag provided but not defined: -" + name);
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  auto bad = [text] {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not a duration like 5s or 1m30s", text));
  };
  if (text == "0") return Duration{0};
  double sum = 0;
  std::string_view left = text;
  while (!left.empty()) {
    std::size_t digits = left.find_first_not_of("0123456789.");
    if (digits == 0 || digits == left.npos) return bad();
    MIZZEN_TRY(double value, decimal(std::string(left.substr(0, digits))));
    left.remove_prefix(digits);
    std::string_view unit = left.substr(0, left.find_first_of("0123456789."));
    const auto* found = std::find_if(std::begin(kUnits), std::end(kUnits),
                                     [unit](const auto& one) { return one.first == unit; });
    if (found == std::end(kUnits)) return bad();
    sum += value * found->second;
    left.remove_prefix(unit.size());
  }
  if (text.empty() || sum > 1e18) return bad();
  return Duration(static_cast<std::int64_t>(sum));
}

Result<Options> parse_options(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i];
    if (!name.starts_with('-') || name == "-") {
      if (!options.url.empty()) {
        return fail(Code::kInvalid, fmt::format("one URL is enough: \"{}\" is the second", name));
      }
      options.url = name;
      continue;
    }
    name.erase(0, name.starts_with("--") ? 2 : 1);
    std::size_t equals = name.find('=');
    std::string value = equals == std::string::npos ? "" : name.substr(equals + 1);
    bool has_value = equals != std::string::npos;
    name.erase(std::min(equals, name.size()));
    auto flag = flags().find(name);
    if (flag == flags().end()) MIZZEN_CHECKED(refuse(name));
    if (!has_value && !flag->second.boolean) {
      if (i + 1 == words.size()) return fail(Code::kInvalid, "-" + name + " needs a value");
      value = words[++i];
    }
    if (Status set = flag->second.set(options, value); !set) {
      return std::unexpected(set.error().in("-" + name));
    }
  }
  if (options.url.empty()) return fail(Code::kInvalid, "which URL? See: fortio help");
  if (options.url.find("://") == std::string::npos) options.url = "http://" + options.url;
  if (options.method.empty()) options.method = options.payload.empty() ? "GET" : "POST";
  return options;
}

std::string usage() {
  std::string out =
      "usage: fortio load [FLAG...] URL   calls the URL again and again, and says how it went\n"
      "       fortio curl [FLAG...] URL   calls it once and shows the answer\n"
      "       fortio server               answers on 8080: echo, /debug, /fortio/\n"
      "       fortio version\n\nFlags:\n";
  for (const auto& [name, flag] : flags()) {
    out += fmt::format("  -{:<22}{}\n", name + (flag.boolean ? "" : " VALUE"), flag.says);
  }
  return out;
}

}  // namespace mizzen::samples::load
