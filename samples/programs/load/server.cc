#include <fmt/format.h>

#include <random>

#include "base/strings.h"
#include "samples/load/fortio.h"
#include "samples/load/report.h"

namespace mizzen::samples::load {
namespace {

constexpr std::string_view kForm = R"(<!doctype html><html lang="en"><meta charset="utf-8">
<title>Load</title><style>
body{{font:16px/1.6 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}}
input{{font:inherit;padding:.3rem .5rem;margin:0 1rem .6rem .4rem}}
pre{{background:#f4f2ee;padding:1rem;overflow:auto}}</style>
<h1>Load</h1><form action="/fortio/" method="get">
<label>URL <input name="url" size="48" value="{url}"></label><br>
<label>Connections <input name="c" size="4" value="{c}"></label>
<label>Calls a second <input name="qps" size="6" value="{qps}"></label>
<label>Calls <input name="n" size="6" value="{n}"></label>
<input type="submit" name="load" value="Start"></form>{result}</html>)";

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return out;
}

// "503:50,429:10" is 503 for half of the requests, 429 for a tenth, 200 for the rest.
int status_of(const std::string& wanted) {
  static std::mt19937 engine(std::random_device{}());
  double dice = std::uniform_real_distribution<double>(0, 100)(engine);
  for (std::string_view part : split(wanted, ',')) {
    std::size_t colon = part.find(':');
    int status = parse_int<int>(part.substr(0, colon)).value_or(0);
    if (status < 200 || status > 599) continue;
    if (colon == part.npos) return status;
    double share = std::strtod(std::string(part.substr(colon + 1)).c_str(), nullptr);
    if (dice < share) return status;
    dice -= share;
  }
  return 200;
}

std::string shown(const Call& call) {
  std::string out = fmt::format("Mizzen's fortio server, on {}\n\nRequest from {}\n\n{} {}{}{}\n",
                                env_or("HOSTNAME", "unknown"), call.peer, call.method, call.path,
                                call.query.empty() ? "" : "?", call.query);
  out += fmt::format("\nheaders:\n\nHost: {}\n", call.authority);
  for (const auto& [name, value] : call.headers) out += fmt::format("{}: {}\n", name, value);
  return out + "\nbody:\n\n" + call.body + "\n";
}

class Page {
 public:
  explicit Page(Service& service) : service_(service) {}

  void handle(const Call& call, const Answer& answer) {
    if (call.query_value("load").empty()) return answer(html(form(call, "")));
    std::vector<std::string> words;
    for (const char* name : {"c", "qps", "n"}) {
      if (std::string value = call.query_value(name); !value.empty()) {
        words.push_back(fmt::format("-{}={}", name, value));
      }
    }
    words.push_back(call.query_value("url"));
    auto options = parse_options(words);
    if (options && (options->calls == 0 || options->calls > 10'000)) {
      options = fail(Code::kInvalid, "from this page, 1 to 10,000 calls");
    }
    if (!options) return answer(html(form(call, options.error().message)));
    if (run_ != nullptr) return answer(html(form(call, "Another load is under way.")));
    run_ = std::make_unique<Run>(
        service_.loop(), *options, [](Verbosity, const std::string&) {},
        [this, call, answer, options = *options](const Outcome& outcome) {
          answer(html(form(call, opening(options) + report(options, outcome))));
          service_.loop().dispose(std::move(run_));
        });
    if (Status status = run_->start(); !status) {
      run_.reset();
      answer(html(form(call, status.error().message)));
    }
  }

 private:
  static std::string form(const Call& call, const std::string& result) {
    auto value = [&call](const char* name, const char* otherwise) {
      std::string given = call.query_value(name);
      return escaped(given.empty() ? otherwise : given);
    };
    return fmt::format(
        kForm, fmt::arg("url", value("url", "http://localhost:8080/")),
        fmt::arg("c", value("c", "4")), fmt::arg("qps", value("qps", "0")),
        fmt::arg("n", value("n", "100")),
        fmt::arg("result", result.empty() ? "" : "<pre>" + escaped(result) + "</pre>"));
  }
  Service& service_;
  std::unique_ptr<Run> run_;
};

}  // namespace

Handler fortio_server(Service& service) {
  auto page = std::make_shared<Page>(service);
  return [&service, page](const Call& call, const Answer& answer) {
    if (call.path == "/fortio/" || call.path == "/fortio") return page->handle(call, answer);
    Reply reply = text(status_of(call.query_value("status")), call.body);
    if (call.path.starts_with("/debug")) reply.body = shown(call);
    if (auto size = parse_int<std::uint32_t>(call.query_value("size")); size) {
      reply.body.assign(std::min<std::size_t>(*size, 1'000'000), 'x');
    }
    auto delay = parse_duration(call.query_value("delay"));
    if (!delay || delay->count() == 0) return answer(std::move(reply));
    service.after(std::min<Duration>(*delay, std::chrono::seconds(30)),
                  [answer, reply = std::move(reply)] { answer(reply); });
  };
}

}  // namespace mizzen::samples::load
