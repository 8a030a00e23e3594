#include "proxy/upstream/dial.h"

#include <algorithm>

namespace mizzen::proxy::upstream {

Dial::Dial(ClusterState& cluster, const UpstreamAsk& ask, TcpEvents& events)
    : cluster_(cluster), events_(events), snapshot_(ask.snapshot) {
  info_.cluster = ask.entry->cluster.get();
  preamble_ = preamble_of(*ask.entry->cluster, ask);
}

Dial::~Dial() {
  if (lookup_) cluster_.stop_waiting(*this);
  place_.give_back();
  if (host_ == nullptr) return;
  --host_->active;
  cluster_.connection_gone();
  cluster_.tidy_later();
}

std::expected<void, UpstreamFailure> Dial::start(const UpstreamAsk& ask) {
  ClusterState::Choice choice = cluster_.choose(ask);
  if (choice.wait) {
    lookup_ = ask;
    lookup_->avoid = {};
    sni_ = ask.sni;
    lookup_->sni = sni_;
    cluster_.wait_for_hosts(*this);
    return {};
  }
  if (choice.host == nullptr) {
    return std::unexpected(UpstreamFailure{UpstreamFault::kNoHealthyUpstream, {}, true});
  }
  info_.endpoint = choice.endpoint;
  info_.remote = choice.host->address;
  if (sni_.empty()) sni_ = ask.sni;
  return connect(*choice.host);
}

void Dial::on_hosts() {
  UpstreamAsk ask = *std::exchange(lookup_, std::nullopt);
  if (auto started = start(ask); !started) events_.on_tcp_failed(started.error());
}

std::expected<void, UpstreamFailure> Dial::connect(Host& host) {
  Context& context = cluster_.context();
  place_ = cluster_.take_connection();
  if (!place_) return std::unexpected(UpstreamFailure{UpstreamFault::kOverflow, {}, true});
  auto made = plan_for(host, preamble_);
  if (!made) return std::unexpected(made.error());
  ConnectPlan plan = std::move(*made);
  if (host.tls && host.tunnel_port == 0) {
    auto tls = context.contexts.client(*context.snapshot, *host.tls);
    if (!tls) {
      return std::unexpected(UpstreamFailure{UpstreamFault::kConnectFailure,
                                             "TLS_error:|" + tls.error().message, true});
    }
    plan.tls = std::move(*tls);
    plan.target.sni = host.tls->auto_sni && !sni_.empty() ? sni_ : host.tls->sni;
    plan.target.host = plan.target.sni;
    plan.target.session_key = cluster_.name() + "|tcp|" + host.address.to_string();
    plan.target.alpn = alpn_for_tcp(*host.tls);
  }
  host_ = &host;
  ++host.active;
  connector_ = std::make_unique<Connector>(context.loop, std::move(plan),
                                           [this](auto result) { on_dialled(std::move(result)); });
  return {};
}

void Dial::on_dialled(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result) {
  cluster_.context().loop.dispose(std::move(connector_));
  if (!result) {
    cluster_.report_unreachable(*host_);
    return events_.on_tcp_failed(result.error());
  }
  cluster_.report(*host_, Outcome::kSuccess);
  info_.local = (*result)->local();
  if (const io::TlsInfo* tls = (*result)->tls()) {
    info_.peer = tls->peer;
    info_.mutual_tls = tls->peer != nullptr && tls->local != nullptr;
  }
  events_.on_tcp_connected(std::move(*result), info_);
}

}  // namespace mizzen::proxy::upstream
