#include "proxy/tcp/tcp_tunnel.h"

#include <fmt/format.h>

#include <utility>

#include "http/message.h"
#include "net/tunnel.h"

namespace mizzen::proxy {
namespace {

// The request, between the call that holds it and the stream that is made of it. Lives until the
// end of the turn in which the call goes.
class Carried final : public UpstreamEvents, public net::TunnelPort {
 public:
  Carried(io::Loop& its_loop, TcpEvents& events) : loop(its_loop), events_(&events) {}

  std::expected<void, UpstreamFailure> start(Upstream& upstream, const UpstreamAsk& asked,
                                             const TcpSettings::Tunnel& tunnel) {
    head_.set_method(tunnel.post ? "POST" : "CONNECT");
    head_.set_authority(tunnel.target);
    head_.set_scheme("http");
    if (tunnel.post) head_.set_path("/");
    UpstreamAsk ask = asked;
    ask.upgrade = !tunnel.post;  // over HTTP/1 a CONNECT has its connection to itself
    auto call = upstream.open(ask, head_, false, *this);
    if (!call) return std::unexpected(call.error());
    call_ = std::move(*call);
    return {};
  }

  void leave() {
    events_ = nullptr;
    call_.reset();
    if (tunnel_ != nullptr) {
      std::exchange(tunnel_, nullptr)
          ->broke({Code::kClosed, Side::kInternal, false, "the tunnel was closed"});
    }
  }

  io::Loop& loop;

 private:
  void on_upstream_host(const UpstreamInfo& info) override { info_ = info; }
  void on_upstream_informational(http::ResponseHead&&) override {}
  void on_upstream_head(http::ResponseHead&& head, bool end) override {
    if (events_ == nullptr) return;
    if (head.status / 100 != 2) {
      const std::string reason = fmt::format("the tunnel's far end answered {}", head.status);
      return fail({UpstreamFault::kConnectFailure, reason, false});
    }
    auto made = std::make_unique<net::Tunnel>(loop, this, info_.local, info_.remote);
    tunnel_ = made.get();
    if (end) tunnel_->arrived({}, true);
    events_->on_tcp_connected(std::move(made), info_);
  }
  void on_upstream_data(std::string_view data, bool end) override {
    if (tunnel_ != nullptr) tunnel_->arrived(data, end);
  }
  void on_upstream_trailers(http::Headers&&) override { on_upstream_data({}, true); }
  void on_upstream_failed(const UpstreamFailure& failure) override {
    if (tunnel_ == nullptr) return fail(failure);
    std::exchange(tunnel_, nullptr)
        ->broke({Code::kReset, Side::kUpstream, false, "the tunnel was broken off"});
  }
  void on_upstream_writable() override {
    if (tunnel_ != nullptr) tunnel_->writable();
  }
  void fail(const UpstreamFailure& failure) {
    if (TcpEvents* told = std::exchange(events_, nullptr)) told->on_tcp_failed(failure);
  }

  void tunnel_send(std::string_view bytes, bool end) override {
    if (call_) call_->send_data(bytes, end);
  }
  void tunnel_consumed(std::size_t bytes) override {
    if (call_) call_->consumed(bytes);
  }
  std::size_t tunnel_buffered() const override { return call_ ? call_->buffered() : 0; }
  void tunnel_reset() override { call_.reset(); }
  void tunnel_gone() override { tunnel_ = nullptr; }

  TcpEvents* events_;
  http::RequestHead head_;
  std::unique_ptr<UpstreamCall> call_;
  UpstreamInfo info_;
  net::Tunnel* tunnel_ = nullptr;
};

class Through final : public TcpCall {
 public:
  explicit Through(std::unique_ptr<Carried> carried) : carried_(std::move(carried)) {}
  ~Through() override {
    carried_->leave();
    io::Loop& loop = carried_->loop;
    loop.dispose(std::move(carried_));
  }

 private:
  std::unique_ptr<Carried> carried_;
};

}  // namespace

std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> dial_through_http(
    io::Loop& loop, Upstream& upstream, const UpstreamAsk& ask, const TcpSettings::Tunnel& tunnel,
    TcpEvents& events) {
  auto carried = std::make_unique<Carried>(loop, events);
  auto started = carried->start(upstream, ask, tunnel);
  if (!started) return std::unexpected(started.error());
  return std::make_unique<Through>(std::move(carried));
}

}  // namespace mizzen::proxy
