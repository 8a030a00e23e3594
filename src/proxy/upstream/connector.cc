#include "proxy/upstream/connector.h"

#include <algorithm>

#include "api/names.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/host.h"

namespace mizzen::proxy::upstream {

Connector::Connector(io::Loop& loop, ConnectPlan plan, Done done)
    : loop_(loop),
      plan_(std::move(plan)),
      done_(std::move(done)),
      timer_(io::Timer::of<&Connector::on_timeout>(loop, this)) {
  io::ConnectOptions options;
  options.timeout = plan_.timeout + std::chrono::seconds(1);  // ours comes first
  options.source = plan_.source;
  options.keepalive = plan_.keepalive;
  timer_.arm(plan_.timeout);
  connecting_ = io::connect(loop_, plan_.to, options,
                            [this](auto result) { on_connected(std::move(result)); });
}

Connector::~Connector() {
  if (stream_) stream_->set_handler(nullptr);
}

void Connector::finish(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result) {
  timer_.cancel();
  loop_.dispose(std::move(connecting_));
  if (Done done = std::exchange(done_, nullptr)) done(std::move(result));
}

void Connector::on_connected(Result<std::unique_ptr<io::Stream>> stream) {
  if (!done_) return;
  if (!stream) {
    UpstreamFailure failure{UpstreamFault::kConnectFailure, {}, true};
    if (stream.error().code == Code::kTimeout) failure.fault = UpstreamFault::kConnectTimeout;
    failure.transport_reason = "delayed connect error: ";
    failure.transport_reason += cause_of(stream.error());
    return finish(std::unexpected(std::move(failure)));
  }
  // A fresh socket takes so little at once.
  if (!plan_.preamble.empty() && (*stream)->write(plan_.preamble).bytes < plan_.preamble.size()) {
    return finish(std::unexpected(
        UpstreamFailure{UpstreamFault::kConnectFailure, "PROXY header not written", true}));
  }
  if (!plan_.tls) return finish(std::move(*stream));
  stream_ = io::tls_client(loop_, std::move(*stream), plan_.tls, plan_.target);
  stream_->set_handler(this);
}

void Connector::on_open() {
  if (!done_ || !stream_) return;
  stream_->set_handler(nullptr);
  if (plan_.tunnel.empty()) return finish(std::move(stream_));
  hbone_ = open_hbone(loop_, std::move(stream_), plan_.tunnel, [this](auto result) {
    if (done_) finish(std::move(result));
  });
}

void Connector::on_error(const Error& error) {
  if (!done_) return;
  stream_->set_handler(nullptr);
  loop_.dispose(std::move(stream_));
  finish(std::unexpected(
      UpstreamFailure{UpstreamFault::kConnectFailure, "TLS_error:|" + error.message, true}));
}

void Connector::on_timeout() {
  if (!done_) return;
  if (stream_) {
    stream_->set_handler(nullptr);
    loop_.dispose(std::move(stream_));
  }
  finish(std::unexpected(UpstreamFailure{UpstreamFault::kConnectTimeout, {}, true}));
}

std::expected<ConnectPlan, UpstreamFailure> plan_for(Host& host, std::string preamble) {
  const Cluster& cluster = host.cluster.cluster();
  ConnectPlan plan;
  plan.to = host.address;
  plan.preamble = std::move(preamble);
  plan.timeout = cluster.connect_timeout;
  if (cluster.keepalive) {
    plan.keepalive = {std::chrono::seconds(cluster.keepalive->time_seconds),
                      std::chrono::seconds(cluster.keepalive->interval_seconds),
                      static_cast<int>(std::min(cluster.keepalive->probes, 127U))};
  }
  if (cluster.bind_source && host.address.is_ip()) {
    auto source = io::Address::parse_ip(cluster.bind_source->host, cluster.bind_source->port);
    if (source && source->family() == host.address.family()) plan.source = *source;
  }
  if (host.tunnel_port == 0) return plan;
  Context& context = host.cluster.context();
  const ClusterEntry* tunnels = context.snapshot->cluster(kHboneCluster);
  if (tunnels == nullptr || tunnels->cluster->tls == nullptr) {
    return std::unexpected(UpstreamFailure{UpstreamFault::kConnectFailure,
                                           "HBONE: there is no cluster connect_originate with TLS",
                                           true});
  }
  auto tls = context.contexts.client(*context.snapshot, *tunnels->cluster->tls);
  if (!tls) {
    return std::unexpected(
        UpstreamFailure{UpstreamFault::kConnectFailure, "TLS_error:|" + tls.error().message, true});
  }
  plan.tunnel = host.address.to_string();
  plan.to = host.address.with_port(host.tunnel_port);
  plan.tls = std::move(*tls);
  plan.target.sni = plan.target.host = tunnels->cluster->tls->sni;
  plan.target.session_key = "hbone|" + plan.to.to_string();
  plan.target.alpn = {std::string(api::kAlpnH2)};
  return plan;
}

std::string preamble_of(const Cluster& cluster, const UpstreamAsk& ask) {
  if (!cluster.proxy_header) return {};
  const io::Address none;
  return make_proxy_header(*cluster.proxy_header, ask.client ? *ask.client : none,
                           ask.meant ? *ask.meant : none);
}

std::string_view cause_of(const Error& error) {
  const std::string_view text = error.message;
  const std::size_t colon = text.rfind(": ");
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

bool is_mesh_tls(const UpstreamTls& tls) {
  const TlsCommon& common = tls.common;
  const bool own = common.certificate != nullptr || !common.certificate_secret.empty();
  return own && std::ranges::any_of(common.alpn, [](const std::string& name) {
           return name == api::kAlpnIstio || name == api::kAlpnIstioPeerExchange ||
                  name.starts_with("istio-");
         });
}

std::vector<std::string> alpn_for_http(const UpstreamTls& tls, bool http2,
                                       http::Protocol downstream, bool mizzen) {
  std::vector<std::string> offer;
  if (is_mesh_tls(tls)) {
    if (mizzen) offer.emplace_back(api::kAlpnMizzenH2);
    if (http2) {
      offer.insert(offer.end(), {std::string(api::kAlpnIstioH2), std::string(api::kAlpnIstio),
                                 std::string(api::kAlpnH2)});
    } else {
      offer.emplace_back(downstream == http::Protocol::kHttp10 ? api::kAlpnIstioHttp10
                                                               : api::kAlpnIstioHttp11);
      offer.insert(offer.end(), {std::string(api::kAlpnIstio), std::string(api::kAlpnHttp11)});
    }
    return offer;
  }
  if (http2) return {std::string(api::kAlpnH2)};
  // What was configured, but for what only HTTP/2 may answer to.
  for (const std::string& name : tls.common.alpn) {
    if (name != api::kAlpnH2) offer.push_back(name);
  }
  return offer.empty() ? std::vector<std::string>{std::string(api::kAlpnHttp11)} : offer;
}

std::vector<std::string> alpn_for_tcp(const UpstreamTls& tls) {
  // istio-peer-exchange announces a prologue that we do not write.
  std::vector<std::string> offer;
  for (const std::string& name : tls.common.alpn) {
    if (name != api::kAlpnIstioPeerExchange) offer.push_back(name);
  }
  return offer;
}

std::shared_ptr<const UpstreamTls> transport_of(const Cluster& cluster, const Endpoint* endpoint) {
  for (const TransportSocketMatch& match : cluster.socket_matches) {
    const bool fits = std::ranges::all_of(match.match, [endpoint](const auto& wanted) {
      return endpoint != nullptr &&
             std::ranges::find(endpoint->socket_match, wanted) != endpoint->socket_match.end();
    });
    if (fits) return match.tls;
  }
  return cluster.tls;
}

}  // namespace mizzen::proxy::upstream
