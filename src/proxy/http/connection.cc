#include "proxy/http/connection.h"

#include <array>

#include "api/names.h"
#include "base/log.h"
#include "base/prefetch.h"
#include "base/strings.h"
#include "proxy/http/stream.h"

namespace mizzen::proxy {
namespace {

constexpr int kMostReads = 2;                   // of 64 KiB, before others get their turn
constexpr std::size_t kSuspectRead = 8 * 1024;  // and once
constexpr int kMostLingeringReads = 4;
constexpr std::uint32_t kHeadsPerTurn = 16;  // of HTTP/2 requests
constexpr Duration kLinger = std::chrono::seconds(1);
constexpr Duration kRest = std::chrono::seconds(1);  // of idleness, until what is not needed goes

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Connection::Busy::Busy(Connection& connection)
    : limit(io::Timer::of<&Connection::on_head_timeout>(connection.worker_.loop(), &connection)) {}

Connection::Connection(Worker& worker, std::unique_ptr<io::Stream> stream, ConnectionInfo info,
                       std::shared_ptr<const HttpSettings> settings)
    : worker_(worker),
      stream_(std::move(stream)),
      settings_(std::move(settings)),
      busy_(std::make_unique<Busy>(*this)),
      timer_(io::Timer::of<&Connection::on_timeout>(worker.loop(), this)) {
  busy_->info = std::move(info);
}

Connection::~Connection() {
  if (flush_planned_) worker_.forget_flush(*this);
  worker_.stats().gauge("mizzen_downstream_http_connections", -1);
}

void Connection::start() {
  worker_.stats().gauge("mizzen_downstream_http_connections", 1);
  using Codec = HttpSettings::Codec;
  const ConnectionInfo& info = busy_->info;
  if (settings_->codec == Codec::kHttp2 || info.alpn == kMizzenAlpn || info.alpn == api::kAlpnH2 ||
      info.alpn == api::kAlpnIstioH2 ||
      (!info.tls && info.application_protocols.size() == 1 &&
       info.application_protocols.front() == "h2c")) {
    make_codec(http::Protocol::kHttp2);
  } else if (settings_->codec == Codec::kHttp1 || info.alpn == api::kAlpnHttp11) {
    make_codec(http::Protocol::kHttp11);
  }
  if (settings_->max_connection_duration) {
    ends_at_ = worker_.loop().now() + *settings_->max_connection_duration;
  }
  stream_->set_handler(this);
  arm_idle();
  if (busy_->codec) flush();
}

void Connection::make_codec(http::Protocol protocol) {
  http::CodecOptions options;
  options.limits = settings_->limits;
  options.header_case = settings_->header_case;
  options.absolute_targets = settings_->http1_allow_absolute_url;
  options.scheme = busy_->info.tls ? "https" : "http";
  options.heads_per_turn = kHeadsPerTurn;
  busy_->codec = protocol == http::Protocol::kHttp2 ? http::make_h2_server(options, this)
                                                    : http::make_h1_server(options, this);
  state_ = State::kOpen;
  if (protocol != http::Protocol::kHttp2 || !settings_->h2_keep_alive) return;
  busy_->keep_alive = std::make_unique<KeepAlive>(
      worker_.loop(), *settings_->h2_keep_alive, *busy_->codec, worker_.random(), [this] {
        worker_.stats().count("mizzen_http2_keepalive_timeout_total");
        close();
      });
}

// By the preface; false while it may still be either. Whatever is neither, HTTP/1 knows how to
// refuse.
bool Connection::choose_codec(std::string_view first_bytes) {
  const bool http2 = first_bytes.starts_with(http::kHttp2Preface);
  if (!http2 && http::kHttp2Preface.starts_with(first_bytes)) return false;
  make_codec(http2 ? http::Protocol::kHttp2 : http::Protocol::kHttp11);
  return true;
}

void Connection::foresee() const { prefetch(busy_.get(), sizeof(Busy)); }

void Connection::on_readable() {
  if (state_ == State::kClosed || half_closed_) return;
  const bool suspect = busy_ && busy_->codec && busy_->codec->is_suspect();
  for (int i = 0; i < (suspect ? 1 : kMostReads); ++i) {
    auto buffer = suspect ? worker_.scratch().first(kSuspectRead) : worker_.scratch();
    io::IoResult got = stream_->read(buffer);
    if (got.status == io::IoStatus::kWouldBlock) break;
    if (got.status == io::IoStatus::kEof && tunnel_ && state_ == State::kOpen) {
      end_input();
      break;
    }
    if (got.status == io::IoStatus::kEof || got.status == io::IoStatus::kError) return close();
    if (state_ == State::kLingering) {
      // Who floods a connection that broke the protocol is not listened to until the time is over.
      const bool http2 = busy_->codec->protocol() == http::Protocol::kHttp2;
      if (http2 && ++reads_ >= kMostLingeringReads) return close();
      break;
    }
    if (!busy_) wake();
    std::string_view bytes = text(buffer.first(got.bytes));
    std::string joined;
    if (busy_->codec == nullptr) {
      if (!busy_->first_bytes.empty()) {
        bytes = joined = std::exchange(busy_->first_bytes, {}).append(bytes);
      }
      if (!choose_codec(bytes)) {
        busy_->first_bytes = bytes;
        watch_head();
        continue;
      }
    }
    if (Status fed = feed(bytes); !fed) return fail(fed.error());
    watch_head();
    if (!busy_->codec->wants_input()) break;
    if (got.bytes < buffer.size()) break;  // on_readable comes again if there is more
  }
  flush();
}

// Requests without a body go on their way only when all that came has been read: one that was taken
// back in the same breath costs no upstream anything.
Status Connection::feed(std::string_view bytes) {
  in_codec_ = true;
  Status fed = busy_->codec->feed(bytes);
  std::vector<Stream*>& fresh = worker_.fresh();
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (Stream* stream = std::exchange(fresh[i], nullptr)) stream->go();
  }
  fresh.clear();
  in_codec_ = false;
  if (busy_->codec->wants_turn()) on_work();
  return fed;
}

// A request whose client has gone is given up; a tunnel's other half goes on.
void Connection::end_input() {
  half_closed_ = true;
  in_codec_ = true;
  busy_->codec->end_of_input();
  in_codec_ = false;
}

void Connection::on_writable() {
  blocked_ = false;
  flush();
}

void Connection::on_error(const Error&) { close(); }

void Connection::on_work() {
  if (in_codec_ || flush_planned_ || state_ == State::kClosed) return;
  flush_planned_ = true;
  worker_.flush_later(*this);
}

void Connection::answered() {
  if (!in_codec_ && busy_->codec->protocol() != http::Protocol::kHttp2) flush();
}

void Connection::flush_planned() {
  flush_planned_ = false;
  if (state_ == State::kClosed) return;
  if (busy_ && busy_->codec && state_ != State::kLingering) {
    if (Status fed = feed({}); !fed) return fail(fed.error());  // input that was kept back
    watch_head();
  }
  flush();
}

void Connection::flush() {
  if (state_ == State::kClosed || !busy_ || busy_->codec == nullptr) return;
  std::array<iovec, 16> pieces;
  while (!blocked_) {
    std::size_t count = busy_->codec->output(pieces);
    if (count == 0) break;
    if (busy_->codec->output_ends()) stream_->end_follows();
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
    io::IoResult put = stream_->write(std::span(pieces).first(count));
    if (put.status == io::IoStatus::kError) return close();
    if (put.bytes < total) blocked_ = true;
    if (put.bytes == 0) break;
    in_codec_ = true;
    busy_->codec->drained(put.bytes);
    in_codec_ = false;
  }
  if (state_ == State::kLingering) {
    if (!blocked_) stream_->shutdown_write();
    return;
  }
  if (obsolete_ && busy_->codec->open_streams() == 0 && !blocked_) return linger();
  if (busy_->codec->output_ended() && !blocked_) {
    if (busy_->codec->finished()) return linger();
    stream_->shutdown_write();
  }
  bool pause = !busy_->codec->wants_input();
  if (pause != paused_) {
    paused_ = pause;
    stream_->pause_reading(pause);
  }
  if (busy_->streams.empty() && !timer_.armed()) arm_idle();
}

http::StreamEvents* Connection::on_request(http::StreamId id, http::RequestHead&& head, bool end) {
  if (obsolete_ || state_ != State::kOpen) return nullptr;
  timer_.cancel();
  Stream& started = busy_->streams.push(std::make_unique<Stream>(*this, id, std::move(head)));
  ++requests_;
  bool enough = settings_->max_requests_per_connection != 0 &&
                requests_ >= settings_->max_requests_per_connection;
  bool old = ends_at_ != MonoTime{} && worker_.loop().now() >= ends_at_;
  // Before the start: a request that is answered at once is to say that it was the last.
  if (enough || old || worker_.draining()) busy_->codec->drain();
  started.start(end);
  if (end && busy_->codec->protocol() == http::Protocol::kHttp2) {
    worker_.fresh().push_back(&started);
  } else {
    started.go();
  }
  busy_->limit.cancel();
  return &started;
}

void Connection::stream_done(Stream& stream) {
  worker_.loop().dispose(busy_->streams.take(stream));
}

void Connection::on_chain(const std::shared_ptr<const Listener>& listener,
                          const FilterChain* chain) {
  const std::shared_ptr<const HttpSettings>* http =
      chain == nullptr ? nullptr
                       : std::get_if<std::shared_ptr<const HttpSettings>>(&chain->terminal);
  const bool tls = busy_ ? busy_->info.tls : common_->tls;
  if (http == nullptr || (chain->tls != nullptr) != tls) {
    // A plaintext connection under a new STRICT, or a listener that is gone.
    if (!busy_) wake();
    obsolete_ = true;
    if (busy_->codec) busy_->codec->drain();
    if (busy_->codec == nullptr || busy_->codec->open_streams() == 0) on_work();
    if (busy_->codec == nullptr) close();
    return;
  }
  settings_ = *http;
  if (busy_) {
    busy_->info.listener = listener;
    busy_->info.chain_name = chain->name;
    return;
  }
  CommonInfo changed = *common_;
  changed.listener = listener;
  changed.chain_name = chain->name;
  common_ = worker_.share(std::move(changed));
}

// Where nobody can be told, a request may be on its way: it is answered yet, and told that it was
// the last. So is the next one after an answer whose head has left.
void Connection::drain() {
  http::ServerCodec* const codec = busy_ ? busy_->codec.get() : nullptr;
  const bool silent = codec == nullptr ||
                      (codec->open_streams() == 0 && codec->protocol() != http::Protocol::kHttp2);
  if (silent) return arm_idle();
  told_last_ = true;
  codec->drain();
  on_work();
}

const ConnectionInfo& Connection::resting_info() const {
  ConnectionInfo& spare = worker_.spare_info();
  static_cast<CommonInfo&>(spare) = *common_;
  static_cast<OwnInfo&>(spare) = own_;
  return spare;
}

const std::shared_ptr<const Listener>& Connection::listener() const {
  return busy_ ? busy_->info.listener : common_->listener;
}

// HTTP/1 between two requests, or before the first: what comes next needs a codec, but no
// particular one.
bool Connection::can_rest() {
  if (!busy_ || !busy_->streams.empty() || !busy_->first_bytes.empty()) return false;
  if (obsolete_ || blocked_ || tunnel_ || paused_ || flush_planned_ || told_last_) return false;
  const auto& codec = busy_->codec;
  if (codec == nullptr) return state_ == State::kWaiting;
  std::array<iovec, 1> piece;
  return state_ == State::kOpen && codec->protocol() != http::Protocol::kHttp2 &&
         codec->open_streams() == 0 && !codec->head_pending() && !codec->finished() &&
         codec->output(piece) == 0;
}

void Connection::rest() {
  if (!can_rest()) return;
  own_ = std::move(static_cast<OwnInfo&>(busy_->info));
  common_ = worker_.share(std::move(static_cast<CommonInfo&>(busy_->info)));
  busy_.reset();
}

void Connection::wake() {
  busy_ = std::make_unique<Busy>(*this);
  static_cast<OwnInfo&>(busy_->info) = std::move(own_);
  static_cast<CommonInfo&>(busy_->info) = *std::exchange(common_, nullptr);
  if (state_ == State::kOpen) make_codec(http::Protocol::kHttp11);
}

namespace {

// The limits that a flood ran into, as counters.
struct Violation {
  std::string_view name;
  std::string_view counter;
};
constexpr Violation kViolations[] = {
    {"inbound_empty_frames_flood", "mizzen_http2_inbound_empty_frames_flood_total"},
    {"inbound_idle_frames_flood", "mizzen_http2_inbound_idle_frames_flood_total"},
    {"inbound_priority_frames_flood", "mizzen_http2_inbound_priority_frames_flood_total"},
    {"inbound_settings_flood", "mizzen_http2_inbound_settings_flood_total"},
    {"inbound_window_update_frames_flood", "mizzen_http2_inbound_window_update_frames_flood_total"},
    {"outbound_control_flood", "mizzen_http2_outbound_control_flood_total"},
    {"outbound_flood", "mizzen_http2_outbound_flood_total"},
    {"premature_resets", "mizzen_http2_premature_resets_total"},
};

}  // namespace

void Connection::fail(const Error& error) {
  log::debug("connection", "{}: {}", busy_->info.remote.to_string(), error.message);
  worker_.stats().count("mizzen_downstream_protocol_errors_total");
  for (const Violation& one : kViolations) {
    if (one.name == busy_->codec->violation()) worker_.stats().count(one.counter);
  }
  log_refused("http1.codec_error");
  flush();
  linger();
}

// A request that never became one: Envoy's line has no method, path or protocol.
void Connection::log_refused(std::string_view details) {
  if (busy_->codec->protocol() == http::Protocol::kHttp2) return;
  std::array<iovec, 1> piece;
  std::string_view out;
  if (busy_->codec->output(piece) == 1) {
    out = {static_cast<const char*>(piece[0].iov_base), piece[0].iov_len};
  }
  if (!out.starts_with("HTTP/1.1 ") || out.size() < 12) return;
  RequestInfo request;
  request.connection = &busy_->info;
  request.started = worker_.loop().wall();
  request.status = parse_int<int>(out.substr(9, 3)).value_or(400);
  request.protocol = http::Protocol::kHttp11;
  if (request.status != 408) request.flags = static_cast<std::uint32_t>(Flag::kDPE);
  request.details = request.status == 431 ? "http1.headers_too_large" : details;
  if (request.status == 426) request.details = "low_version";
  if (auto body = out.find("\r\n\r\n"); body != std::string_view::npos) {
    request.bytes_sent = out.size() - body - 4;
  }
  worker_.access_log().log(settings_->access_logs, request);
}

// Ends our half and waits a little for the peer's end: a close with unread input would be a reset,
// which can overtake the response.
void Connection::linger() {
  if (state_ == State::kLingering || state_ == State::kClosed) return;
  if (half_closed_ && !blocked_) return close();  // the peer's end has come already
  state_ = State::kLingering;
  if (!blocked_) stream_->shutdown_write();
  if (paused_) stream_->pause_reading(false);
  rests_next_ = false;
  const Duration wait = settings_->delayed_close_timeout;
  timer_.arm(wait > Duration::zero() ? wait : kLinger);
}

void Connection::arm_idle(Duration passed) {
  std::optional<Duration> idle = settings_->idle_timeout;
  http::ServerCodec* const codec = busy_ ? busy_->codec.get() : nullptr;
  const bool told = codec != nullptr && codec->protocol() == http::Protocol::kHttp2;
  if (auto draining = worker_.drain_idle(); draining && !told) {
    idle = idle ? std::min(*idle, *draining) : *draining;
  }
  if (idle) idle = std::max(*idle - passed, Duration{0});
  if (ends_at_ != MonoTime{}) {
    Duration left = std::max(ends_at_ - worker_.loop().now(), Duration{0});
    idle = idle ? std::min(*idle, left) : left;
  }
  rests_next_ = busy_ && !told && passed == Duration{0} && (!idle || *idle > kRest);
  if (rests_next_) {
    timer_.arm(kRest);
  } else if (idle) {
    timer_.arm(*idle);
  }
}

void Connection::on_timeout() {
  if (std::exchange(rests_next_, false)) {
    rest();
    return arm_idle(kRest);
  }
  if (state_ == State::kOpen && !busy_) wake();
  if (state_ == State::kLingering || !busy_ || busy_->codec == nullptr) return close();
  busy_->codec->drain();
  obsolete_ = true;
  flush();
}

void Connection::on_pong(std::uint64_t) {
  if (busy_->keep_alive) busy_->keep_alive->on_pong();
}

// request_headers_timeout runs from a head's first byte to its last.
void Connection::watch_head() {
  if (!settings_->request_headers_timeout) return;
  if (busy_->codec != nullptr && !busy_->codec->head_pending()) return busy_->limit.cancel();
  if (!busy_->limit.armed()) busy_->limit.arm(*settings_->request_headers_timeout);
}

void Connection::on_head_timeout() {
  if (state_ == State::kClosed || state_ == State::kLingering) return;
  worker_.stats().count("mizzen_downstream_request_header_timeouts_total");
  if (busy_->codec == nullptr) return close();
  in_codec_ = true;
  busy_->codec->refuse(408);
  in_codec_ = false;
  log_refused("request_header_timeout");
  flush();
  linger();
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.cancel();
  stream_->set_handler(nullptr);
  if (busy_) {
    busy_->limit.cancel();
    for (Stream* at = busy_->streams.first(); at != nullptr; at = at->next()) at->abandon();
  }
  worker_.remove(*this);
}

}  // namespace mizzen::proxy
