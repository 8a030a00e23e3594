#include "local/runtime/probe.h"

#include <fmt/core.h>

#include "base/strings.h"

namespace mizzen::local {
namespace {

std::chrono::seconds seconds_at(const Json& spec, const char* name, int fallback) {
  const Json& value = at_path(spec, {name});
  return std::chrono::seconds(value.is_number_integer() ? value.get<int>() : fallback);
}

}  // namespace

std::uint16_t container_port(const Json& container, const Json& port) {
  if (port.is_number_integer()) return port.get<std::uint16_t>();
  if (!port.is_string()) return 0;
  std::string name = port.get<std::string>();
  if (auto number = parse_int<std::uint16_t>(name)) return *number;
  for (const Json& one : at_path(container, {"ports"})) {
    if (one.value("name", "") == name) return one.value("containerPort", std::uint16_t{0});
  }
  return 0;
}

Result<HttpAction> http_action(const Json& http_get, const Json& container,
                               const std::string& pod_ip, Duration timeout) {
  HttpAction action;
  const std::string host = text_at(http_get, {"host"});
  net::HttpClientOptions& client = action.client;
  client.base.host = host.empty() ? pod_ip : host;
  client.base.port = container_port(container, at_path(http_get, {"port"}));
  if (client.base.port == 0) {
    return fail(Code::kInvalid, "httpGet.port is no port of the container");
  }
  client.base.tls = text_at(http_get, {"scheme"}) == "HTTPS";
  client.version = net::HttpVersion::kHttp1;
  client.connect.timeout = timeout;
  if (client.base.tls) {
    io::TlsClientOptions tls;
    tls.insecure = true;
    tls.verify_host = false;
    tls.max_sessions = 0;
    MIZZEN_TRY(client.tls, io::make_tls_client_context(tls));
  }
  const std::string path = text_at(http_get, {"path"});
  action.request.target = path.empty() ? "/" : path[0] == '/' ? path : "/" + path;
  action.request.headers = {
      {"user-agent", "kube-probe/1.32"}, {"accept", "*/*"}, {"connection", "close"}};
  for (const Json& header : at_path(http_get, {"httpHeaders"})) {
    action.request.headers.emplace_back(lower(text_at(header, {"name"})),
                                        text_at(header, {"value"}));
  }
  action.request.timeout = timeout;
  return action;
}

Result<std::unique_ptr<Probe>> Probe::start(io::Loop& loop, const Json& spec,
                                            const ProbeTarget& target, bool initially_ok,
                                            Changed changed) {
  auto probe = std::unique_ptr<Probe>(new Probe(loop));
  probe->host_ = target.pod_ip;
  probe->period_ = seconds_at(spec, "periodSeconds", 10);
  probe->timeout_ = seconds_at(spec, "timeoutSeconds", 1);
  probe->success_threshold_ =
      std::max(1, static_cast<int>(seconds_at(spec, "successThreshold", 1).count()));
  probe->failure_threshold_ =
      std::max(1, static_cast<int>(seconds_at(spec, "failureThreshold", 3).count()));
  probe->ok_ = initially_ok;
  probe->changed_ = std::move(changed);
  MIZZEN_CHECKED(probe->set_action(spec, target));
  // Without a delay of its own a probe starts right away, quicker than its period at first: a
  // process that is ready at once should not wait for a second tick.
  probe->schedule(seconds_at(spec, "initialDelaySeconds", 0));
  return probe;
}

Status Probe::set_action(const Json& spec, const ProbeTarget& target) {
  if (spec.contains("httpGet")) {
    kind_ = Kind::kHttp;
    MIZZEN_TRY(HttpAction action,
               http_action(spec["httpGet"], *target.container, target.pod_ip, timeout_));
    request_ = std::move(action.request);
    client_ = std::make_unique<net::HttpClient>(loop_, std::move(action.client));
    return {};
  }
  if (spec.contains("exec")) {
    kind_ = Kind::kExec;
    for (const Json& word : at_path(spec, {"exec", "command"}))
      command_.push_back(word.get<std::string>());
    exec_ = target.exec;
    return {};
  }
  const bool grpc = spec.contains("grpc");
  if (!grpc && !spec.contains("tcpSocket")) {
    return fail(Code::kInvalid, "one of httpGet, tcpSocket, exec and grpc is needed");
  }
  const Json& action = spec[grpc ? "grpc" : "tcpSocket"];
  port_ = container_port(*target.container, at_path(action, {"port"}));
  if (port_ == 0) return fail(Code::kInvalid, "the probe's port is no port of the container");
  if (const std::string host = text_at(action, {"host"}); !host.empty()) host_ = host;
  if (!grpc) return {};
  kind_ = Kind::kGrpc;
  service_ = text_at(action, {"service"});
  net::HttpClientOptions options;
  options.base.host = host_;
  options.base.port = port_;
  options.version = net::HttpVersion::kHttp2;
  options.connect.timeout = timeout_;
  client_ = std::make_unique<net::HttpClient>(loop_, std::move(options));
  return {};
}

Probe::~Probe() {
  *alive_ = false;
  loop_.cancel(timer_);
}

void Probe::schedule(Duration delay) {
  timer_ = loop_.after(delay, [this] { run(); });
}

void Probe::run() {
  timer_ = 0;
  switch (kind_) {
    case Kind::kHttp:
      return run_http();
    case Kind::kGrpc:
      return run_grpc();
    case Kind::kTcp:
      return run_tcp();
    case Kind::kExec:
      exec_(command_, timeout_, [this, alive = alive_](Result<int> code) {
        if (!*alive) return;
        if (code)
          finish(*code == 0, fmt::format("command exited with {}", *code));
        else
          finish(false, code.error().message);
      });
  }
}

void Probe::run_http() {
  client_->fetch(request_, [this, alive = alive_](Result<net::Response> response) {
    if (!*alive) return;
    if (!response) return finish(false, response.error().message);
    finish(response->status >= 200 && response->status < 400,
           fmt::format("HTTP probe failed with statuscode: {}", response->status));
  });
}

// grpc.health.v1.Health/Check: HealthCheckRequest.service is field 1, HealthCheckResponse.status
// field 1 with SERVING = 1.
void Probe::run_grpc() {
  std::string message;
  if (!service_.empty()) {
    const std::string name = service_.substr(0, 127);  // a one-byte length
    message = "\x0a" + std::string(1, static_cast<char>(name.size())) + name;
  }
  net::GrpcClient(*client_).unary(
      "/grpc.health.v1.Health/Check", {}, message, timeout_,
      [this, alive = alive_](http::GrpcStatus status, std::string response) {
        if (!*alive) return;
        client_->close_idle();  // the next check is to see whether connections are taken
        if (!status.ok()) {
          return finish(false, fmt::format("gRPC health check failed with code {}: {}",
                                           static_cast<int>(status.code), status.message));
        }
        finish(response == std::string_view("\x08\x01", 2),
               fmt::format("service \"{}\" is not SERVING", service_));
      });
}

void Probe::run_tcp() {
  auto address = io::Address::parse_ip(host_, port_);
  if (!address) return finish(false, address.error().message);
  io::ConnectOptions options;
  options.timeout = timeout_;
  connecting_ = io::connect(loop_, *address, options,
                            [this, alive = alive_](Result<std::unique_ptr<io::Stream>> stream) {
                              if (!*alive) return;
                              if (stream)
                                finish(true, "");
                              else
                                finish(false, stream.error().message);
                            });
}

void Probe::finish(bool ok, const std::string& message) {
  successes_ = ok ? successes_ + 1 : 0;
  // Until it first succeeds a probe is asked more often than its period, so that a pod is ready
  // when it is; only a try per period counts against it.
  if (ok) {
    failures_ = 0;
  } else if (loop_.now() >= counts_from_) {
    ++failures_;
    counts_from_ = loop_.now() + period_ - std::chrono::milliseconds(50);
  }
  bool quick = !ok && !ever_succeeded_ && tries_++ < 100;
  schedule(quick ? std::min<Duration>(period_, std::chrono::milliseconds(100)) : period_);
  if (ok) ever_succeeded_ = true;
  if (!ok_ && successes_ >= success_threshold_) {
    ok_ = true;
    changed_(true, message);
  } else if (failures_ >= failure_threshold_ && !ok) {
    bool repeated = failures_ > failure_threshold_;
    if (repeated && !ok_) return;
    ok_ = false;
    changed_(false, message);
  }
}

}  // namespace mizzen::local
