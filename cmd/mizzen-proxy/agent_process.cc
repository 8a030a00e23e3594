#include "agent_process.h"

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "api/names.h"
#include "base/log.h"
#include "proxy/feed/xds_source.h"

namespace mizzen {
namespace {

constexpr Duration kWatchEvery = std::chrono::seconds(1);

std::string agent_directory() {
  const char* set = std::getenv("MIZZEN_AGENT_DIR");
  return set && *set ? set : "/etc/istio/proxy";
}

net::Handler grpc_only(net::GrpcServer& grpc) {
  return [&grpc](const std::shared_ptr<net::Exchange>& exchange) {
    if (!grpc.handle(exchange)) exchange->respond(404, {}, "");
  };
}

}  // namespace

AgentProcess::AgentProcess(proxy::Bootstrap bootstrap)
    : bootstrap_(std::move(bootstrap)),
      directory_(agent_directory()),
      signals_(loop_, {SIGTERM, SIGINT}, [this](int) { loop_.stop(); }),
      relay_(ads_grpc_, loop_,
             [this]() -> Result<agent::AdsRelay::Upstream> {
               agent::AdsRelay::Upstream upstream;
               MIZZEN_TRY(upstream.http, proxy::discovery_client(loop_, *bootstrap_.discovery));
               MIZZEN_TRY(upstream.headers, proxy::discovery_headers(*bootstrap_.discovery));
               return upstream;
             }),
      secrets_(sds_grpc_) {}

Status AgentProcess::start() {
  const auto& workload = *bootstrap_.workload;
  agent::IdentitySettings settings;
  settings.uri =
      api::spiffe_id(workload.trust_domain, workload.name_space, workload.service_account);
  settings.ca_host = workload.ca_host;
  settings.ca_port = workload.ca_port;
  settings.root_file = workload.root_file;
  settings.token_file = workload.token_file;
  identity_ = std::make_unique<agent::IdentitySource>(
      loop_, std::move(settings),
      [this](const agent::Identity& identity) { secrets_.set_identity(identity); });
  identity_->start();
  MIZZEN_CHECKED(serve_sockets());
  MIZZEN_CHECKED(serve_pages());
  std::string path = directory_ + "/envoy.json";
  std::ofstream file(path, std::ios::trunc);
  file << proxy::envoy_bootstrap(bootstrap_, directory_ + "/XDS", directory_ + "/SDS");
  if (!file.flush()) return fail(Code::kUnavailable, "cannot write " + path);
  log::info("agent", "bootstrap for Envoy: {}", path);
  watch_envoy();
  return {};
}

Status AgentProcess::serve_sockets() {
  ads_ = std::make_unique<net::HttpServer>(loop_, net::HttpServerOptions{}, grpc_only(ads_grpc_));
  sds_ = std::make_unique<net::HttpServer>(loop_, net::HttpServerOptions{}, grpc_only(sds_grpc_));
  auto ads = ads_->listen(io::Address::unix_path(directory_ + "/XDS"));
  if (!ads) return std::unexpected(ads.error().in(directory_ + "/XDS"));
  auto sds = sds_->listen(io::Address::unix_path(directory_ + "/SDS"));
  if (!sds) return std::unexpected(sds.error().in(directory_ + "/SDS"));
  return {};
}

Status AgentProcess::serve_pages() {
  net::HttpClientOptions client;
  client.base.host = bootstrap_.admin->host;
  client.base.port = bootstrap_.admin->port;
  envoy_ = std::make_unique<net::HttpClient>(loop_, std::move(client));
  agent::StatusOptions options;
  options.not_ready = [this]() -> std::optional<std::string> {
    if (!identity_->identity()) return "no certificate yet";
    if (!envoy_ready_) return "Envoy is not ready";
    return std::nullopt;
  };
  options.metrics = [this](std::function<void(std::string)> done) {
    net::Request request;
    request.target = "/stats/prometheus";
    envoy_->fetch(std::move(request), [done = std::move(done)](Result<net::Response> response) {
      done(response ? std::move(response->body) : std::string());
    });
  };
  options.quit = [this] { loop_.stop(); };
  MIZZEN_TRY(options.probes, agent::parse_probes(bootstrap_.workload->app_probers_json));
  MIZZEN_TRY(options.app_metrics,
             agent::parse_app_metrics(bootstrap_.workload->prometheus_annotations_json));
  pages_ = std::make_unique<agent::StatusServer>(loop_, std::move(options));
  MIZZEN_CHECKED(pages_->listen({io::Address::any(bootstrap_.workload->status_port)}));
  MIZZEN_CHECKED(pages_->listen_readiness({io::Address::any(api::kReadinessPort)}));
  return pages_->listen_metrics({io::Address::any(api::kProxyMetricsPort)});
}

void AgentProcess::watch_envoy() {
  net::Request request;
  request.target = "/ready";
  request.timeout = kWatchEvery;
  envoy_->fetch(std::move(request), [this](const Result<net::Response>& response) {
    envoy_ready_ = response && response->status == 200;
    loop_.after(kWatchEvery, [this] { watch_envoy(); });
  });
}

void AgentProcess::run() { loop_.run(); }

}  // namespace mizzen
