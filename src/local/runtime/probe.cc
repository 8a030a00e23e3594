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
  if (spec.contains("httpGet")) {
    const Json& http = spec["httpGet"];
    probe->kind_ = Kind::kHttp;
    probe->port_ = container_port(*target.container, at_path(http, {"port"}));
    if (std::string host = text_at(http, {"host"}); !host.empty()) probe->host_ = host;
    if (text_at(http, {"scheme"}) == "HTTPS") {
      return fail(Code::kUnsupported,
                  "httpGet probes with scheme HTTPS are not supported by the local cluster");
    }
    std::string path = text_at(http, {"path"});
    probe->request_.target = path.empty() ? "/" : path[0] == '/' ? path : "/" + path;
    probe->request_.headers = {
        {"user-agent", "kube-probe/1.32"}, {"accept", "*/*"}, {"connection", "close"}};
    for (const Json& header : at_path(http, {"httpHeaders"})) {
      probe->request_.headers.emplace_back(lower(text_at(header, {"name"})),
                                           text_at(header, {"value"}));
    }
    probe->request_.timeout = probe->timeout_;
  } else if (spec.contains("tcpSocket")) {
    probe->port_ = container_port(*target.container, at_path(spec, {"tcpSocket", "port"}));
  } else if (spec.contains("exec")) {
    probe->kind_ = Kind::kExec;
    for (const Json& word : at_path(spec, {"exec", "command"}))
      probe->command_.push_back(word.get<std::string>());
    probe->exec_ = target.exec;
  } else {
    return fail(Code::kUnsupported, "grpc probes are not supported by the local cluster");
  }
  if (probe->kind_ != Kind::kExec && probe->port_ == 0) {
    return fail(Code::kInvalid, "the probe's port is no port of the container");
  }
  // Without a delay of its own a probe starts right away, quicker than its period at first: a
  // process that is ready at once should not wait for a second tick.
  probe->schedule(seconds_at(spec, "initialDelaySeconds", 0));
  return probe;
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
  if (client_ == nullptr) {
    net::HttpClientOptions options;
    options.base.host = host_;
    options.base.port = port_;
    options.version = net::HttpVersion::kHttp1;
    options.connect.timeout = timeout_;
    client_ = std::make_unique<net::HttpClient>(loop_, std::move(options));
  }
  client_->fetch(request_, [this, alive = alive_](Result<net::Response> response) {
    if (!*alive) return;
    if (!response) return finish(false, response.error().message);
    finish(response->status >= 200 && response->status < 400,
           fmt::format("HTTP probe failed with statuscode: {}", response->status));
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
