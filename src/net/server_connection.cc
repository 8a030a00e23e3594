#include "net/server_connection.h"

#include "net/server_exchange.h"

namespace mizzen::net {
namespace {

// For a request more, where the client could not be told that the last one was the last.
constexpr Duration kDrainIdle = std::chrono::milliseconds(500);

}  // namespace

ServerConnection::ServerConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream, bool tls,
                                   Owner owner)
    : CodecConnection(loop, std::move(stream)),
      owner_(std::move(owner)),
      timer_(io::Timer::of<&ServerConnection::on_timeout>(loop, this)),
      tls_(tls) {
  timer_.arm(owner_.options->head_timeout);
}

ServerConnection::~ServerConnection() {
  for (auto& [id, exchange] : exchanges_) exchange->orphan();
}

void ServerConnection::on_open() {
  const io::TlsInfo* info = stream().tls();
  bool h2 = info != nullptr && info->alpn == "h2" && owner_.options->http2;
  if (h2) choose(http::Protocol::kHttp2);
}

void ServerConnection::on_first_bytes(std::string_view bytes) {
  switch (http::guess_protocol(bytes)) {
    case http::Guess::kNeedMore:
      return;
    case http::Guess::kHttp2:
      if (owner_.options->http2) return choose(http::Protocol::kHttp2);
      [[fallthrough]];
    default:
      return choose(http::Protocol::kHttp11);
  }
}

void ServerConnection::choose(http::Protocol protocol) {
  http::CodecOptions options{.limits = owner_.options->limits, .scheme = tls_ ? "https" : "http"};
  codec_ = protocol == http::Protocol::kHttp2 ? http::make_h2_server(options, this)
                                              : http::make_h1_server(options, this);
  set_codec(codec_.get());
  if (draining_) codec_->drain();
  kick();
}

http::StreamEvents* ServerConnection::on_request(http::StreamId id, http::RequestHead&& head,
                                                 bool end) {
  auto exchange = std::make_shared<ServerExchange>(this, id, std::move(head), end);
  exchanges_.emplace(id, exchange);
  (*owner_.handler)(exchange);
  return exchange.get();
}

void ServerConnection::forget(http::StreamId id) { exchanges_.erase(id); }

void ServerConnection::drain() {
  draining_ = true;
  if (codec_ == nullptr) return close({Code::kClosed, Side::kInternal, true, "draining"});
  codec_->drain();
  kick();
}

void ServerConnection::on_pumped() {
  bool busy = codec_->open_streams() != 0;
  if (busy == busy_) return;
  busy_ = busy;
  arm();
}

void ServerConnection::arm() {
  timer_.cancel();
  if (busy_) return;
  Duration idle = owner_.options->idle_timeout;
  if (draining_ && (idle.count() == 0 || idle > kDrainIdle)) idle = kDrainIdle;
  if (idle.count() > 0) timer_.arm(idle);
}

void ServerConnection::on_timeout() {
  close({Code::kTimeout, Side::kDownstream, false, "idle for too long"});
}

void ServerConnection::on_dead(const Error&) {
  timer_.cancel();
  owner_.gone(this);
}

}  // namespace mizzen::net
