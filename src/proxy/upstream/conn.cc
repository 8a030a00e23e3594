#include "proxy/upstream/conn.h"

#include <algorithm>
#include <array>

#include "api/names.h"
#include "base/prefetch.h"
#include "proxy/upstream/call.h"

namespace mizzen::proxy::upstream {

namespace {

constexpr int kMostReads = 8;  // of 64 KiB, before others get their turn
thread_local std::array<std::byte, 64 * 1024> t_buffer;

}  // namespace

Conn::Conn(Pool& pool, Taken place)
    : pool_(pool),
      place_(std::move(place)),
      idle_(io::Timer::of<&Conn::on_idle>(pool.host().cluster.context().loop, this)),
      most_(io::Timer::of<&Conn::drain>(pool.host().cluster.context().loop, this)),
      pump_(io::Task::of<&Conn::pump>(pool.host().cluster.context().loop, this)) {
  start();
}

Conn::~Conn() {
  if (stream_) stream_->set_handler(nullptr);
}

void Conn::start() {
  auto made = plan();
  if (!made) {
    // Never reported from inside the request that asked for the connection.
    failure_ = std::move(made.error());
    pump_.schedule();
    return;
  }
  connector_ = std::make_unique<Connector>(pool_.host().cluster.context().loop, std::move(*made),
                                           [this](auto result) { on_dialled(std::move(result)); });
}

std::expected<ConnectPlan, UpstreamFailure> Conn::plan() {
  Host& host = pool_.host();
  auto made = plan_for(host, pool_.preamble());
  if (!made || host.tunnel_port != 0 || !host.tls) return made;
  ConnectPlan plan = std::move(*made);
  Context& context = host.cluster.context();
  auto tls = context.contexts.client(*context.snapshot, *host.tls);
  if (!tls) {
    return std::unexpected(
        UpstreamFailure{UpstreamFault::kConnectFailure, "TLS_error:|" + tls.error().message, true});
  }
  plan.tls = std::move(*tls);
  plan.target.sni = pool_.sni().empty() ? host.tls->sni : pool_.sni();
  plan.target.host = plan.target.sni;
  plan.target.session_key = host.cluster.name() + "|" + host.address.to_string();
  plan.target.alpn = alpn_for_http(*host.tls, pool_.lane() == Lane::kHttp2, http::Protocol::kHttp11,
                                   pool_.may_be_mizzen());
  return plan;
}

void Conn::on_dialled(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result) {
  pool_.host().cluster.context().loop.dispose(std::move(connector_));
  if (!result) return fail_dial(result.error());
  stream_ = std::move(*result);
  local_ = stream_->local();
  make_codec(stream_->tls());
  state_ = State::kOpen;
  const auto& most = pool_.host().cluster.cluster().max_connection_duration;
  if (most) most_.arm(*most);
  stream_->set_handler(this);
  in_codec_ = true;  // the calls' first events come from here: all is flushed at the end
  pool_.on_connected(*this);
  in_codec_ = false;
  flush();
}

void Conn::fail_dial(const UpstreamFailure& failure) {
  state_ = State::kClosed;
  pool_.on_connect_failed(*this, failure);
}

void Conn::make_codec(const io::TlsInfo* tls) {
  http2_ = pool_.lane() == Lane::kHttp2;
  if (tls != nullptr) {
    peer_ = tls->peer;
    mutual_tls_ = tls->peer != nullptr && tls->local != nullptr;
    mizzen_ = tls->alpn == api::kAlpnMizzenH2;
    if (mizzen_) http2_ = true;
    if (tls->alpn == api::kAlpnHttp11 || tls->alpn == api::kAlpnIstioHttp11) http2_ = false;
  }
  http::CodecOptions options;
  const Cluster& cluster = pool_.host().cluster.cluster();
  options.limits = cluster.http_limits;
  options.header_case = cluster.header_case;
  options.scheme = tls != nullptr ? "https" : "http";
  codec_ = http2_ ? http::make_h2_client(options, this) : http::make_h1_client(options, this);
  if (!http2_ || !cluster.h2_keep_alive) return;
  Context& context = pool_.host().cluster.context();
  keep_alive_ = std::make_unique<KeepAlive>(context.loop, *cluster.h2_keep_alive, *codec_,
                                            context.random(), [this] { close(); });
}

bool Conn::ready() const {
  if (state_ != State::kOpen || !codec_->can_submit()) return false;
  const std::uint32_t most = pool_.host().cluster.cluster().max_concurrent_streams;
  return !http2_ || most == 0 || active_ < most;
}

void Conn::foresee() const {
  prefetch(codec_.get(), 4 * kCacheLine);
  prefetch(stream_.get(), 2 * kCacheLine);
}

std::expected<void, UpstreamFailure> Conn::attach(Call& call) {
  Host& host = pool_.host();
  ClusterState& cluster = host.cluster;
  Counters& counters = cluster.counters(call.high_priority());
  Taken place = Taken::from(counters.requests, cluster.limits(call.high_priority()).max_requests,
                            counters.requests_refused);
  if (!place) return std::unexpected(UpstreamFailure{UpstreamFault::kOverflow, {}, true});
  idle_.cancel();
  ++active_;
  ++host.active;
  ++served_;
  call.bind(*this, std::move(place));
  tell_host(call);
  http::RequestHead& head = call.head();
  const bool tell_protocol = mizzen_ && call.downstream_protocol() != http::Protocol::kHttp2;
  const bool tell_metadata = mizzen_ && served_ == 1 && !cluster.context().metadata.empty();
  if (tell_protocol) {
    head.headers.add_borrowed(
        kOriginalProtocolHeader,
        call.downstream_protocol() == http::Protocol::kHttp10 ? "1.0" : "1.1");
  }
  if (tell_metadata) {
    head.headers.add_borrowed(kPeerMetadataHeader, cluster.context().metadata);
    head.headers.add_borrowed(kPeerMetadataIdHeader, cluster.context().node_id);
  }
  call.submit(*codec_);
  if (tell_protocol) head.headers.remove(kOriginalProtocolHeader);
  if (tell_metadata) {
    head.headers.remove(kPeerMetadataHeader);
    head.headers.remove(kPeerMetadataIdHeader);
  }
  const std::uint32_t most = cluster.cluster().max_requests_per_connection;
  if (most > 0 && served_ >= most) state_ = State::kDraining;
  return {};
}

void Conn::tell_host(Call& call) {
  UpstreamInfo& info = call.info();
  info.local = local_;
  info.peer = peer_;
  info.protocol = codec_->protocol();
  info.mutual_tls = mutual_tls_;
  call.tell_host();
}

// --- Bytes ---------------------------------------------------------------------------------------

void Conn::on_readable() {
  for (int i = 0; i < kMostReads && state_ != State::kClosed && !failing_; ++i) {
    if (!codec_->wants_input()) break;
    io::IoResult got = stream_->read(t_buffer);
    if (got.status == io::IoStatus::kWouldBlock) break;
    if (got.status == io::IoStatus::kError) return close();
    in_codec_ = true;
    if (got.status == io::IoStatus::kEof) {
      codec_->end_of_input();
      in_codec_ = false;
      break;
    }
    Status fed = codec_->feed({reinterpret_cast<const char*>(t_buffer.data()), got.bytes});
    in_codec_ = false;
    if (!fed) failing_ = true;
    if (got.bytes < t_buffer.size()) break;  // on_readable comes again if there is more
  }
  flush();
}

void Conn::on_writable() {
  blocked_ = false;
  flush();
}

void Conn::on_error(const Error&) { close(); }

void Conn::on_work() {
  if (!in_codec_) pump_.schedule();
}

void Conn::pump() {
  if (failure_) return fail_dial(*std::exchange(failure_, std::nullopt));
  if (state_ == State::kClosed || codec_ == nullptr) return;
  if (!failing_ && !codec_->finished()) {
    in_codec_ = true;
    if (!codec_->feed({})) failing_ = true;  // input that was kept back
    in_codec_ = false;
  }
  flush();
}

void Conn::flush() {
  if (state_ == State::kClosed) return;
  std::array<iovec, 16> pieces;
  const bool full = http2_ && !codec_->can_submit();
  while (!blocked_) {
    const std::size_t count = codec_->output(pieces);
    if (count == 0) break;
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
    io::IoResult put = stream_->write(std::span(pieces).first(count));
    if (put.status == io::IoStatus::kError) return close();
    if (put.bytes < total) blocked_ = true;
    if (put.bytes == 0) break;
    in_codec_ = true;
    codec_->drained(put.bytes);
    in_codec_ = false;
  }
  if (full && codec_->can_submit()) room_ = true;
  if (std::exchange(room_, false)) {
    in_codec_ = true;
    pool_.on_room(*this);
    in_codec_ = false;
    if (state_ != State::kClosed) return flush();
    return;
  }
  const bool over = failing_ || codec_->finished() || (state_ == State::kDraining && active_ == 0);
  if (over && !blocked_) return close();
  if (codec_->output_ended() && !blocked_) stream_->shutdown_write();
  const bool pause = !codec_->wants_input();
  if (pause != paused_) {
    paused_ = pause;
    stream_->pause_reading(pause);
  }
}

void Conn::close() {
  if (state_ == State::kClosed) return;
  if (in_codec_) {  // never under the codec's feet
    failing_ = true;
    pump_.schedule();
    return;
  }
  state_ = State::kClosed;
  stream_->set_handler(nullptr);
  in_codec_ = true;
  codec_->connection_lost();  // tells the streams that are open
  in_codec_ = false;
  pool_.on_closed(*this);
}

void Conn::stream_done() {
  --active_;
  --pool_.host().active;
  room_ = true;
  on_work();
}

void Conn::on_pong(std::uint64_t) {
  if (keep_alive_) keep_alive_->on_pong();
}

void Conn::on_goaway() {
  if (state_ == State::kOpen) state_ = State::kDraining;
}

void Conn::on_settings() { room_ = true; }

void Conn::start_idling() {
  const auto& timeout = pool_.host().cluster.cluster().http_idle_timeout;
  if (timeout && timeout->count() > 0) idle_.arm(*timeout);
}

void Conn::on_idle() {
  if (active_ == 0) drain();
}

void Conn::drain() {
  if (state_ == State::kClosed || state_ == State::kConnecting) return;
  state_ = State::kDraining;
  if (active_ == 0) pump_.schedule();
}

}  // namespace mizzen::proxy::upstream
