#include "samples/load/run.h"

#include <fmt/format.h>

#include <fstream>
#include <random>
#include <sstream>

#include "http/message.h"
#include "io/tls.h"

namespace mizzen::samples::load {
namespace {

MonoTime now() { return system_clock().mono(); }
double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double random_part() {
  static std::mt19937 engine(std::random_device{}());
  return std::uniform_real_distribution<double>(-0.1, 0.1)(engine);
}

Result<std::string> file_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(Code::kNotFound, "cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<io::TlsContextRef> trust(const Options& options) {
  io::TlsClientOptions tls;
  tls.insecure = options.insecure;
  tls.verify_host = !options.insecure;
  tls.system_roots = !options.insecure && options.ca_file.empty();
  if (!options.ca_file.empty()) {
    MIZZEN_TRY(tls.trust_bundle_pem, file_text(options.ca_file));
  }
  return io::make_tls_client_context(tls);
}

}  // namespace

struct Run::Caller {
  std::size_t number = 0;
  std::uint64_t left = 0;  // calls, when they are counted
  std::uint64_t made = 0;
  std::unique_ptr<net::HttpClient> client;
};

Result<Target> target_of(const Options& options) {
  Target target;
  std::string_view url = options.url;
  MIZZEN_TRY(target.base, net::parse_base_url(url.substr(0, url.find('?'))));
  std::size_t path = url.find('/', url.find("://") + 3);
  target.path = path == url.npos ? "/" : std::string(url.substr(path));
  target.base.prefix.clear();
  if (target.base.tls) {
    MIZZEN_TRY(target.tls, trust(options));
  }
  return target;
}

net::Request request_to(const Target& target, const Options& options) {
  net::Request request{.method = options.method, .target = target.path};
  request.headers = options.headers;
  request.headers.emplace_back("user-agent", "fortio-mizzen");
  if (!options.keep_alive) request.headers.emplace_back("connection", "close");
  request.body = options.payload;
  request.timeout = options.timeout;
  return request;
}

bool is_good(int code) { return (code >= 200 && code <= 299) || code == 418; }

std::size_t head_size(const net::Response& response) {
  std::size_t size = std::string_view("HTTP/1.1 200 \r\n\r\n").size() +
                     http::reason_phrase(response.status).size();
  for (const auto& [name, value] : response.headers) size += name.size() + value.size() + 4;
  return size;
}

Run::Run(io::Loop& loop, Options options, Log log, Done done)
    : loop_(loop),
      options_(std::move(options)),
      log_(std::move(log)),
      done_(std::move(done)),
      outcome_(options_) {}
Run::~Run() = default;

Status Run::start() {
  MIZZEN_TRY(target_, target_of(options_));
  MIZZEN_TRY(resolver_, io::Resolver::make(loop_));
  resolver_->resolve(options_.resolve.empty() ? target_.base.host : options_.resolve,
                     target_.base.port, io::ResolveFamily::kAny,
                     [this](const Result<io::Resolved>& names) { resolved(names); });
  return {};
}

void Run::resolved(const Result<io::Resolved>& names) {
  if (!names) {
    outcome_.aborted = names.error().message;
    return finish();
  }
  address_ = names->addresses.front();
  outcome_.address = address_.to_string();
  begin();
}

void Run::begin() {
  for (std::size_t i = 0; i < options_.connections; ++i) {
    auto caller = std::make_unique<Caller>();
    caller->number = i;
    caller->left =
        options_.calls / options_.connections + (i < options_.calls % options_.connections ? 1 : 0);
    net::HttpClientOptions client;
    client.base = target_.base;
    client.tls = target_.tls;
    client.version = options_.http2 ? net::HttpVersion::kHttp2 : net::HttpVersion::kHttp1;
    client.max_connections = 1;
    client.dial = [this](io::ConnectDone done) {
      ++outcome_.sockets;
      MonoTime from = now();
      return io::connect(loop_, address_, {.timeout = options_.timeout},
                         [this, from, done](Result<std::unique_ptr<io::Stream>> stream) {
                           outcome_.connects.add(seconds_of(now() - from));
                           done(std::move(stream));
                         });
    };
    caller->client = std::make_unique<net::HttpClient>(loop_, std::move(client));
    callers_.push_back(std::move(caller));
  }
  // A counted run has no call to spare; a timed one first sees whether it works at all.
  if (options_.calls > 0) return go();
  warm_up(0);
}

void Run::warm_up(std::size_t number) {
  if (number == callers_.size()) return go();
  callers_[number]->client->fetch(
      request_to(target_, options_), [this, number](const Result<net::Response>& answer) {
        if (over_) return;
        ++outcome_.warmups;
        int code = answer ? answer->status : -1;
        if (!is_good(code)) {
          callers_[number]->client->close_idle();
          if (!options_.allow_initial_errors) {
            outcome_.aborted =
                fmt::format("error {} for {}: {}", code, options_.url,
                            answer ? answer->body.substr(0, 200) : answer.error().message);
            return finish();
          }
        }
        warm_up(number + 1);
      });
}

void Run::go() {
  begun_ = now();
  outcome_.started = system_clock().wall();
  running_ = callers_.size();
  if (options_.calls == 0 && options_.duration.count() > 0) {
    loop_.after(options_.duration, [this] { stop(); });
  }
  for (auto& caller : callers_) next(*caller);
}

Duration Run::elapsed() const { return now() - begun_; }

// Calls at once, or when the rate has it.
void Run::next(Caller& caller) {
  bool counted = options_.calls > 0;
  if (counted && caller.made == caller.left) {
    if (--running_ == 0) finish();
    return;
  }
  if (options_.qps <= 0) return call(caller);
  double each = static_cast<double>(callers_.size()) / options_.qps;
  double due = each * static_cast<double>(caller.made);
  if (options_.uniform)
    due += each * static_cast<double>(caller.number) / static_cast<double>(callers_.size());
  if (options_.jitter) due += each * random_part();
  double wait = due - seconds_of(elapsed());
  if (caller.made > 0) outcome_.sleeps.add(wait);
  if (wait <= 0) return call(caller);
  loop_.after(Duration(static_cast<std::int64_t>(wait * 1e9)), [this, &caller] {
    if (!over_) call(caller);
  });
}

void Run::call(Caller& caller) {
  ++caller.made;
  MonoTime from = now();
  caller.client->fetch(request_to(target_, options_),
                       [this, &caller, from](const Result<net::Response>& response) {
                         if (!over_) answered(caller, from, response);
                       });
}

void Run::answered(Caller& caller, MonoTime from, const Result<net::Response>& response) {
  int code = response ? response->status : -1;
  count(from, response);
  if (!is_good(code)) {
    // A connection whose answer was bad is not trusted with another.
    caller.client->close_idle();
    log_(Verbosity::kWarning,
         response
             ? fmt::format("[{}] Parsed non ok code {} (HTTP/1.1 {})", caller.number, code, code)
             : fmt::format("[{}] {}", caller.number, response.error().message));
  }
  if (options_.abort_on != 0 && code == options_.abort_on) {
    outcome_.aborted = fmt::format("aborted on code {}", code);
    return finish();
  }
  next(caller);
}

void Run::count(MonoTime from, const Result<net::Response>& response) {
  int code = response ? response->status : -1;
  double took = seconds_of(now() - from);
  ++outcome_.codes[code];
  outcome_.durations.add(took);
  if (!is_good(code)) outcome_.failures.add(took);
  std::size_t head = response ? head_size(*response) : 0;
  outcome_.header_sizes.add(is_good(code) ? static_cast<double>(head) : 0);
  outcome_.sizes.add(static_cast<double>(head + (response ? response->body.size() : 0)));
}

void Run::stop() {
  if (!over_) finish();
}

void Run::finish() {
  if (std::exchange(over_, true)) return;
  outcome_.elapsed = begun_ == MonoTime{} ? Duration{0} : elapsed();
  loop_.defer([this] { done_(outcome_); });
}

}  // namespace mizzen::samples::load
