#include "samples/shop/common.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <random>

#include "base/strings.h"

namespace mizzen::samples::shop {
namespace {

constexpr std::array kBuckets = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};

struct Durations {
  std::array<std::uint64_t, kBuckets.size()> buckets{};
  std::uint64_t count = 0;
  double sum = 0;
};

class Metrics {
 public:
  explicit Metrics(std::string service) : service_(std::move(service)) {}

  void add(const Call& call, int status, double seconds) {
    auto parts = segments(call.path);
    // The first segment only: ids would make a series each.
    std::string route = parts.empty() ? "/" : "/" + std::string(parts.front());
    std::string key =
        fmt::format("{{service=\"{}\",method=\"{}\",route=\"{}\",status_code=\"{}\"}}", service_,
                    call.method, status == 404 ? "unknown" : route, status);
    if (durations_.size() >= 1000 && !durations_.contains(key)) return;
    Durations& durations = durations_[key];
    ++durations.count;
    durations.sum += seconds;
    for (std::size_t i = 0; i < kBuckets.size(); ++i) {
      if (seconds <= kBuckets[i]) ++durations.buckets[i];
    }
  }

  Reply page() const {
    std::string out =
        "# HELP request_duration_seconds Time in seconds serving HTTP requests.\n"
        "# TYPE request_duration_seconds histogram\n";
    for (const auto& [labels, one] : durations_) {
      std::string_view open = std::string_view(labels).substr(0, labels.size() - 1);
      for (std::size_t i = 0; i < kBuckets.size(); ++i) {
        out += fmt::format("request_duration_seconds_bucket{},le=\"{}\"}} {}\n", open, kBuckets[i],
                           one.buckets[i]);
      }
      out += fmt::format("request_duration_seconds_bucket{},le=\"+Inf\"}} {}\n", open, one.count);
      out += fmt::format("request_duration_seconds_sum{} {}\n", labels, one.sum);
      out += fmt::format("request_duration_seconds_count{} {}\n", labels, one.count);
    }
    return {200, {{"content-type", "text/plain; version=0.0.4"}}, std::move(out)};
  }

 private:
  std::string service_;
  std::map<std::string, Durations> durations_;
};

Json health_entry(std::string_view service, bool ok, WallTime now) {
  return {{"service", service}, {"status", ok ? "OK" : "err"}, {"time", rfc3339_millis(now)}};
}

void health(const About& about, const Answer& answer) {
  WallTime now = system_clock().wall();
  Json list = Json::array({health_entry(about.name, true, now)});
  if (!about.check) return answer(json_reply(200, {{"health", list}}));
  about.check([answer, list, now, store = about.store](const Status& status) mutable {
    list.push_back(health_entry(store, status.has_value(), now));
    answer(json_reply(200, {{"health", list}}));
  });
}

bool is_probe(const Call& call) {
  return call.header("user-agent").starts_with("kube-probe") ||
         !call.header("x-istio-probe").empty();
}

void log(const Call& call, int status, double seconds) {
  fmt::print("{} {} {}{}{} {} {:.1f} ms\n", rfc3339_millis(system_clock().wall()), call.method,
             call.path, call.query.empty() ? "" : "?", call.query, status, seconds * 1000);
  std::fflush(stdout);
}

}  // namespace

Handler with_usual_pages(About about, Handler routes) {
  auto metrics = std::make_shared<Metrics>(about.name);
  return [metrics, about = std::move(about), routes = std::move(routes)](const Call& call,
                                                                         const Answer& answer) {
    if (call.path == "/metrics") return answer(metrics->page());
    if (call.path == "/health") return health(about, answer);
    MonoTime start = system_clock().mono();
    auto shared = std::make_shared<Call>(call);
    shared->body.clear();
    routes(call, [metrics, shared, start, answer](Reply reply) {
      double seconds = std::chrono::duration<double>(system_clock().mono() - start).count();
      metrics->add(*shared, reply.status, seconds);
      if (!is_probe(*shared)) log(*shared, reply.status, seconds);
      answer(std::move(reply));
    });
  };
}

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> out;
  for (std::string_view part : split(path, '/')) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}

Reply json_reply(int status, const Json& body) {
  return json(status, body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Reply failure(int status, std::string_view message) {
  return json_reply(status, {{"error", message}, {"status_code", status}});
}

Reply not_found(const Call& call) {
  return failure(404, fmt::format("there is no {} {} here", call.method, call.path));
}

Result<Json> object_of(const Call& call) {
  Json body = Json::parse(call.body, nullptr, false);
  if (body.is_object()) return body;
  return fail(Code::kInvalid, "the body is not a JSON object");
}

std::string text_of(const Json& object, const char* name) {
  auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

double number_of(const Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) return 0;
  const Json& value = object[name];
  if (value.is_number()) return value.get<double>();
  return value.is_string() ? std::strtod(value.get_ref<const std::string&>().c_str(), nullptr) : 0;
}

void ask_json(Service& service, const Call& call, Outgoing request, JsonDone done) {
  std::string what = request.method + " " + request.url;
  for (auto& header : trace_headers(call)) request.headers.push_back(std::move(header));
  if (!request.body.empty()) request.headers.emplace_back("content-type", "application/json");
  service.send(std::move(request), [what, done = std::move(done)](const Result<Reply>& reply) {
    if (!reply) return done(std::unexpected(reply.error()));
    if (reply->status < 200 || reply->status > 299) {
      Code code = reply->status == 404   ? Code::kNotFound
                  : reply->status == 401 ? Code::kUnauthenticated
                  : reply->status == 406 ? Code::kInvalid
                  : reply->status == 504 ? Code::kTimeout
                                         : Code::kUnavailable;
      return done(fail(code, fmt::format("{} answered {}: {}", what, reply->status,
                                         reply->body.substr(0, 200))));
    }
    Json body = Json::parse(reply->body, nullptr, false);
    done(body.is_discarded() ? Json() : std::move(body));
  });
}

int status_of(const Error& error) {
  switch (error.code) {
    case Code::kNotFound:
      return 404;
    case Code::kUnauthenticated:
      return 401;
    case Code::kInvalid:
      return 406;
    case Code::kTimeout:
      return 504;
    default:
      return 500;
  }
}

std::pair<std::string, std::uint16_t> place_of(const char* name, std::string_view otherwise) {
  std::string place = env_or(name, otherwise);
  std::string_view usual = otherwise.substr(otherwise.find(':') + 1);
  std::size_t colon = place.find(':');
  auto port = parse_int<std::uint16_t>(
      colon == place.npos ? usual : std::string_view(place).substr(colon + 1));
  return {place.substr(0, colon), port.value_or(parse_int<std::uint16_t>(usual).value_or(0))};
}

std::string new_id() {
  static std::mt19937_64 engine(std::random_device{}());
  return fmt::format("{:016x}{:08x}", engine(), engine() & 0xffffffff);
}

}  // namespace mizzen::samples::shop
