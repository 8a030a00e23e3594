#include "agent/status_server.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"

namespace mizzen::agent {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxAppMetrics = 32U << 20;
constexpr Duration kAppMetricsTimeout = std::chrono::seconds(5);
const net::HeaderList kText = {{"content-type", "text/plain; charset=utf-8"}};
const net::HeaderList kPrometheus = {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}};

}  // namespace

Result<std::optional<AppMetrics>> parse_app_metrics(std::string_view text) {
  if (trim(text).empty()) return std::nullopt;
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return fail(Code::kInvalid, "ISTIO_PROMETHEUS_ANNOTATIONS: not a JSON object");
  }
  auto value = [&](const char* key) {
    auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (value("scrape") != "true") return std::nullopt;
  AppMetrics made;
  if (!value("path").empty()) made.path = value("path");
  std::string port = value("port").empty() ? "80" : value("port");
  auto number = parse_int<std::uint16_t>(port);
  if (!number) {
    return fail(Code::kInvalid, "ISTIO_PROMETHEUS_ANNOTATIONS.port: '" + port + "' is no port");
  }
  made.port = *number;
  return made;
}

StatusServer::StatusServer(io::Loop& loop, StatusOptions options)
    : loop_(loop), options_(std::move(options)) {
  if (!options_.app_metrics) return;
  net::HttpClientOptions client;
  client.base.host = "127.0.0.1";
  client.base.port = options_.app_metrics->port;
  client.version = net::HttpVersion::kHttp1;
  client.connect.timeout = kAppMetricsTimeout;
  application_ = std::make_unique<net::HttpClient>(loop_, std::move(client));
}

StatusServer::~StatusServer() = default;

Status StatusServer::listen_on(std::unique_ptr<net::HttpServer>& server, net::Handler handler,
                               const std::vector<io::Address>& addresses) {
  server = std::make_unique<net::HttpServer>(loop_, net::HttpServerOptions{}, std::move(handler));
  for (const auto& address : addresses) {
    auto bound = server->listen(address);
    if (!bound) return std::unexpected(bound.error().in(address.to_string()));
  }
  return {};
}

Status StatusServer::listen(const std::vector<io::Address>& addresses) {
  return listen_on(
      all_, [this](const ExchangeRef& exchange) { handle(exchange); }, addresses);
}

Status StatusServer::listen_readiness(const std::vector<io::Address>& addresses) {
  return listen_on(
      readiness_,
      [this](const ExchangeRef& exchange) {
        if (exchange->path() == "/healthz/ready")
          ready(exchange);
        else
          exchange->respond(404, kText, "");
      },
      addresses);
}

Status StatusServer::listen_metrics(const std::vector<io::Address>& addresses) {
  return listen_on(
      metrics_,
      [this](const ExchangeRef& exchange) {
        if (exchange->path() == "/stats/prometheus")
          metrics(exchange, false);
        else
          exchange->respond(404, kText, "");
      },
      addresses);
}

void StatusServer::handle(const ExchangeRef& exchange) {
  auto path = exchange->path();
  if (path == "/healthz/ready") {
    ready(exchange);
  } else if (path == "/stats/prometheus") {
    metrics(exchange, true);
  } else if (path.starts_with("/app-health/")) {
    probe(exchange);
  } else if (path == "/quitquitquit") {
    if (exchange->method() != "POST") {
      exchange->respond(405, {{"allow", "POST"}}, "quitquitquit must be asked for by POST\n");
      return;
    }
    // The port is open to the whole network.
    if (!exchange->peer().is_loopback()) {
      exchange->respond(403, kText, "Only requests from localhost are allowed\n");
      return;
    }
    exchange->respond(200, kText, "OK");
    log::info("agent", "asked to quit by {}", exchange->peer().to_string());
    // After the answer has left.
    loop_.after(std::chrono::milliseconds(50), options_.quit);
  } else {
    exchange->respond(404, kText, "not found: try /healthz/ready or /stats/prometheus\n");
  }
}

void StatusServer::ready(const ExchangeRef& exchange) {
  auto reason = draining_ ? std::optional<std::string>("draining") : options_.not_ready();
  if (reason)
    exchange->respond(503, kText, *reason + "\n");
  else
    exchange->respond(200, kText, "");
}

void StatusServer::probe(const ExchangeRef& exchange) {
  auto found = options_.probes.find(std::string(exchange->path()));
  if (found == options_.probes.end()) {
    exchange->respond(404, kText, "no probe of this path is known\n");
    return;
  }
  run_probe(loop_, found->second, [exchange](int status, std::string reason) {
    exchange->respond(status, kText, reason.empty() ? "" : reason + "\n");
  });
}

void StatusServer::metrics(const ExchangeRef& exchange, bool merged) {
  if (!merged || !application_) {
    options_.metrics(
        [exchange](const std::string& own) { exchange->respond(200, kPrometheus, own); });
    return;
  }
  net::Request request;
  request.target = options_.app_metrics->path;
  request.timeout = kAppMetricsTimeout;
  request.headers = {{"accept", "text/plain;version=0.0.4"}};
  application_->fetch(
      std::move(request),
      [this, exchange](Result<net::Response> response) {
        std::string application;
        if (response && response->status == 200) {
          application = std::move(response->body);
          if (!application.empty() && !application.ends_with('\n')) application += '\n';
        } else {
          log::debug(
              "agent", "the application's metrics: {}",
              response ? "status " + std::to_string(response->status) : response.error().message);
        }
        options_.metrics([exchange, application](const std::string& own) {
          exchange->respond(200, kPrometheus, own + application);
        });
      },
      kMaxAppMetrics);
}

}  // namespace mizzen::agent
