#include "proxy/tcp/tcp_proxy.h"

#include <array>

#include "base/hash.h"
#include "base/strings.h"
#include "io/stream.h"
#include "proxy/http/authorization.h"
#include "proxy/http/local_reply.h"
#include "proxy/tcp/tcp_tunnel.h"
#include "proxy/worker.h"

namespace mizzen::proxy {
namespace {

constexpr int kReadsPerTurn = 8;  // before others get their turn
constexpr Duration kReportEvery = std::chrono::seconds(5);

class TcpProxy final : public Session, private TcpEvents {
 public:
  TcpProxy(Worker& worker, std::unique_ptr<io::Stream> downstream, ConnectionInfo info,
           std::shared_ptr<const TcpSettings> settings, std::string cluster)
      : worker_(worker),
        info_(std::move(info)),
        settings_(std::move(settings)),
        cluster_(std::move(cluster)),
        down_(*this),
        up_(*this),
        idle_(io::Timer::of<&TcpProxy::on_idle>(worker.loop(), this)),
        most_(io::Timer::of<&TcpProxy::on_most>(worker.loop(), this)),
        report_(io::Timer::of<&TcpProxy::report>(worker.loop(), this)) {
    down_.stream = std::move(downstream);
    request_.connection = &info_;
    request_.started = info_.started;
    request_.is_tcp = true;
  }

  void start();
  void on_chain(const std::shared_ptr<const Listener>& listener, const FilterChain* chain) override;
  void drain() override {}  // bytes go on until the drain time is over
  const ConnectionInfo& info() const override { return info_; }

 private:
  // One end: its stream, and what was read from the other end and not yet written here.
  struct Side final : io::StreamHandler {
    explicit Side(TcpProxy& proxy) : owner(proxy) {}
    void on_readable() override { owner.pump(*this, owner.other(*this)); }
    void on_writable() override { owner.write_rest(*this, owner.other(*this)); }
    void on_error(const Error& error) override { owner.broken(*this, error); }
    TcpProxy& owner;
    std::unique_ptr<io::Stream> stream;
    std::string pending;
    std::uint64_t read_bytes = 0;
    bool ended = false;  // its peer sends no more
    bool shut = false;   // we send no more
  };

  Side& other(Side& side) { return &side == &down_ ? up_ : down_; }
  void choose_cluster();
  void connect();
  void on_tcp_connected(std::unique_ptr<io::Stream> stream, const UpstreamInfo& info) override;
  void on_tcp_failed(const UpstreamFailure& failure) override;
  void pump(Side& from, Side& to);
  void put(Side& to, Side& from, std::string_view bytes);
  void write_rest(Side& to, Side& from);
  void pass_on_end(Side& from, Side& to);
  void broken(Side& side, const Error& error);
  void on_idle();
  void on_most();
  void touch();
  void report();
  void refuse(const UpstreamFailure& failure);
  void finish();

  Worker& worker_;
  ConnectionInfo info_;
  std::shared_ptr<const TcpSettings> settings_;
  std::string cluster_;
  SnapshotRef snapshot_;
  const ClusterEntry* entry_ = nullptr;
  RequestInfo request_;
  UpstreamInfo upstream_info_;
  std::unique_ptr<TcpCall> call_;
  Side down_;
  Side up_;
  io::Timer idle_;
  io::Timer most_;
  io::Timer report_;
  std::uint32_t attempts_ = 0;
  std::uint64_t reported_received_ = 0;
  std::uint64_t reported_sent_ = 0;
  bool opened_ = false;
  bool done_ = false;
};

void TcpProxy::start() {
  down_.stream->set_handler(&down_);
  down_.stream->pause_reading(true);
  choose_cluster();
  touch();
  if (settings_->max_duration) most_.arm(*settings_->max_duration);
  connect();
}

void TcpProxy::choose_cluster() {
  snapshot_ = worker_.config()->snapshot;
  if (cluster_.empty()) cluster_ = settings_->cluster;
  if (!settings_->weighted.empty() && settings_->total_weight > 0) {
    std::uint64_t draw = worker_.random() % settings_->total_weight;
    for (const auto& [name, weight] : settings_->weighted) {
      if (draw < weight) {
        cluster_ = name;
        break;
      }
      draw -= weight;
    }
  }
  entry_ = snapshot_->cluster(cluster_);
  request_.cluster_name = cluster_;
  if (entry_ != nullptr) request_.cluster = entry_->cluster.get();
}

void TcpProxy::connect() {
  if (entry_ == nullptr) {
    request_.flags |= static_cast<std::uint32_t>(Flag::kNC);
    request_.details = "cluster_not_found";
    down_.stream->abort();
    return finish();
  }
  ++attempts_;
  request_.attempts = attempts_;
  UpstreamAsk ask;
  ask.snapshot = snapshot_;
  ask.entry = entry_;
  ask.original_dst = info_.local;
  ask.sni = info_.server_name;
  ask.client = &info_.remote;
  ask.meant = &info_.local;
  for (const route::HashPolicy& policy : settings_->hash) {
    if (policy.kind == route::HashPolicy::Kind::kSourceIp) ask.hash = xxh64(info_.remote.ip());
  }
  auto call = settings_->tunnel ? dial_through_http(worker_.loop(), worker_.upstream(), ask,
                                                    *settings_->tunnel, *this)
                                : worker_.upstream().dial(ask, *this);
  if (!call) return refuse(call.error());
  call_ = std::move(*call);
}

void TcpProxy::on_tcp_connected(std::unique_ptr<io::Stream> stream, const UpstreamInfo& info) {
  upstream_info_ = info;
  request_.upstream = &upstream_info_;
  up_.stream = std::move(stream);
  up_.stream->set_handler(&up_);
  down_.stream->pause_reading(false);
  opened_ = true;
  worker_.stats().tcp_opened(request_);
  report_.arm(kReportEvery);
}

void TcpProxy::on_tcp_failed(const UpstreamFailure& failure) { refuse(failure); }

void TcpProxy::refuse(const UpstreamFailure& failure) {
  call_.reset();
  LocalReply why = reply_for(failure, false);
  request_.transport_reason = failure.transport_reason;
  bool again = failure.fault == UpstreamFault::kConnectFailure ||
               failure.fault == UpstreamFault::kConnectTimeout;
  if (again && attempts_ < settings_->max_connect_attempts) return connect();
  request_.flags |= why.flags;
  if (again) request_.flags |= static_cast<std::uint32_t>(Flag::kURX);
  down_.stream->abort();
  finish();
}

void TcpProxy::pump(Side& from, Side& to) {
  if (done_ || to.stream == nullptr) return;
  for (int i = 0; i < kReadsPerTurn && to.pending.empty(); ++i) {
    auto buffer = worker_.scratch();
    io::IoResult got = from.stream->read(buffer);
    if (got.status == io::IoStatus::kWouldBlock) return;
    if (got.status == io::IoStatus::kError) return broken(from, from.stream->error());
    if (got.status == io::IoStatus::kEof) {
      from.ended = true;
      return pass_on_end(from, to);
    }
    from.read_bytes += got.bytes;
    put(to, from, {reinterpret_cast<const char*>(buffer.data()), got.bytes});
    if (done_) return;
    touch();
  }
}

void TcpProxy::put(Side& to, Side& from, std::string_view bytes) {
  io::IoResult put = to.stream->write(bytes);
  if (put.status == io::IoStatus::kError) return broken(to, to.stream->error());
  if (put.bytes < bytes.size()) {
    to.pending = bytes.substr(put.bytes);
    from.stream->pause_reading(true);
  }
}

void TcpProxy::write_rest(Side& to, Side& from) {
  if (done_ || to.stream == nullptr) return;
  while (!to.pending.empty()) {
    io::IoResult put = to.stream->write(std::string_view(to.pending));
    if (put.status == io::IoStatus::kError) return broken(to, to.stream->error());
    if (put.bytes == 0) return;
    to.pending.erase(0, put.bytes);
    touch();
  }
  std::string().swap(to.pending);  // an idle connection holds no buffer
  if (from.ended) return pass_on_end(from, to);
  from.stream->pause_reading(false);
}

void TcpProxy::pass_on_end(Side& from, Side& to) {
  if (!to.pending.empty() || to.shut) return;
  to.shut = true;
  to.stream->shutdown_write();
  if (from.ended && to.ended) finish();
}

void TcpProxy::broken(Side& side, const Error& error) {
  if (done_) return;
  if (&side == &down_) {
    request_.flags |= static_cast<std::uint32_t>(Flag::kDC);
  } else {
    request_.transport_reason = error.message;
  }
  Side& far = other(side);
  if (far.stream) far.stream->abort();
  finish();
}

void TcpProxy::touch() {
  if (settings_->idle_timeout && settings_->idle_timeout->count() > 0) {
    idle_.arm(*settings_->idle_timeout);
  }
}

void TcpProxy::on_idle() { finish(); }

void TcpProxy::on_most() {
  request_.flags |= static_cast<std::uint32_t>(Flag::kDT);
  request_.details = "max_duration_timeout";
  finish();
}

void TcpProxy::report() {
  if (!opened_) return;
  request_.bytes_received = down_.read_bytes;
  request_.bytes_sent = up_.read_bytes;
  worker_.stats().tcp_moved(request_, request_.bytes_received - reported_received_,
                            request_.bytes_sent - reported_sent_);
  reported_received_ = request_.bytes_received;
  reported_sent_ = request_.bytes_sent;
  if (!done_) report_.arm(kReportEvery);
}

// A changed policy acts on open connections: one that would not be let in today ends.
void TcpProxy::on_chain(const std::shared_ptr<const Listener>& listener, const FilterChain* chain) {
  bool fits =
      chain != nullptr && (chain->tls != nullptr) == info_.tls && !denied_by_chain(*chain, info_);
  if (!fits && info_.direction == Direction::kInbound) {
    down_.stream->abort();
    return finish();
  }
  if (listener) info_.listener = listener;
}

void TcpProxy::finish() {
  if (done_) return;
  done_ = true;
  call_.reset();
  idle_.cancel();
  most_.cancel();
  report_.cancel();
  down_.stream->set_handler(nullptr);
  if (up_.stream) up_.stream->set_handler(nullptr);
  request_.duration = worker_.loop().now() - info_.started_mono;
  report();
  if (opened_) worker_.stats().tcp_closed(request_);
  worker_.access_log().log(settings_->access_logs, request_);
  worker_.remove(*this);
}

}  // namespace

void start_tcp_proxy(Worker& worker, std::unique_ptr<io::Stream> downstream, ConnectionInfo info,
                     std::shared_ptr<const TcpSettings> settings, std::string cluster_override) {
  auto proxy = std::make_unique<TcpProxy>(worker, std::move(downstream), std::move(info),
                                          std::move(settings), std::move(cluster_override));
  TcpProxy& started = *proxy;
  worker.add(std::move(proxy));
  started.start();
}

}  // namespace mizzen::proxy
