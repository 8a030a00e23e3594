#include "net/client_connection.h"

#include "io/tls.h"

namespace mizzen::net {

ClientConnection::ClientConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream,
                                   bool handshake, bool http2, const http::Limits& limits,
                                   Duration ping_interval, Owner owner)
    : CodecConnection(loop, std::move(stream)),
      owner_(std::move(owner)),
      limits_(limits),
      ping_interval_(ping_interval),
      ping_timer_(io::Timer::of<&ClientConnection::on_ping_timer>(loop, this)),
      last_used_(loop.now()),
      handshake_(handshake),
      want_http2_(http2) {}

void ClientConnection::start() {
  if (handshake_) return CodecConnection::start();
  choose(want_http2_);
  CodecConnection::start();
  owner_.opened(this, {});
}

void ClientConnection::on_open() {
  const io::TlsInfo* info = stream().tls();
  bool agreed = info != nullptr && info->alpn == "h2";
  if (want_http2_ && !agreed && info != nullptr && !info->alpn.empty()) {
    return close({Code::kProtocol, Side::kUpstream, true, "the server does not speak HTTP/2"});
  }
  choose(agreed || want_http2_);
  owner_.opened(this, {});
}

void ClientConnection::choose(bool http2) {
  http::CodecOptions options{.limits = limits_, .scheme = handshake_ ? "https" : "http"};
  codec_ = http2 ? http::make_h2_client(options, this) : http::make_h1_client(options, this);
  set_codec(codec_.get());
  if (http2 && ping_interval_.count() > 0) ping_timer_.arm(ping_interval_);
  kick();
}

http::StreamId ClientConnection::submit(const http::RequestHead& head, bool end,
                                        http::StreamEvents* events) {
  ++submitted_;
  last_used_ = loop().now();
  http::StreamId id = codec_->submit(head, end, events);
  kick();
  return id;
}

void ClientConnection::released() {
  last_used_ = loop().now();
  if (!dead()) owner_.idle(this);
}

void ClientConnection::on_ping_timer() {
  if (dead()) return;
  if (pong_due_) return close({Code::kTimeout, Side::kUpstream, false, "no answer to a ping"});
  if (codec_->open_streams() != 0) {
    pong_due_ = true;
    codec_->ping(0x6d697a7a656e);
    kick();
  }
  ping_timer_.arm(ping_interval_);
}

void ClientConnection::on_dead(const Error& error) {
  ping_timer_.cancel();
  owner_.gone(this, error);
}

}  // namespace mizzen::net
