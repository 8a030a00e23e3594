// Internal to net: one connection of an HttpClient to its server.
#pragma once

#include <functional>
#include <memory>

#include "net/codec_connection.h"

namespace mizzen::net {

class ClientConnection final : public CodecConnection, private http::ConnectionEvents {
 public:
  struct Owner {
    std::function<void(ClientConnection*, Status)> opened;  // once, unless it dies before
    std::function<void(ClientConnection*)> idle;            // a stream ended; it can take another
    std::function<void(ClientConnection*, const Error&)> gone;  // forget and dispose of it
  };

  // `handshake`: the stream is TLS and not open yet.
  ClientConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream, bool handshake, bool http2,
                   const http::Limits& limits, Duration ping_interval, Owner owner);

  void start();
  http::ClientCodec& codec() { return *codec_; }
  bool ready() const { return codec_ != nullptr && !dead() && !going_; }
  bool codec_ready() const { return codec_ != nullptr; }  // has been open, if only once
  bool http2() const { return codec_ != nullptr && codec_->protocol() == http::Protocol::kHttp2; }
  bool can_submit() const { return ready() && codec_->can_submit(); }
  bool unused() const { return submitted_ == 0; }
  MonoTime last_used() const { return last_used_; }

  http::StreamId submit(const http::RequestHead& head, bool end, http::StreamEvents* events);
  // A stream of this connection has ended.
  void released();

 private:
  void on_open() override;
  void on_first_bytes(std::string_view) override {}
  void on_dead(const Error& error) override;
  void on_goaway() override { going_ = true; }
  void on_pong(std::uint64_t) override { pong_due_ = false; }
  void on_work() override { kick(); }
  void choose(bool http2);
  void on_ping_timer();

  Owner owner_;
  http::Limits limits_;
  Duration ping_interval_;
  io::Timer ping_timer_;
  std::unique_ptr<http::ClientCodec> codec_;
  MonoTime last_used_;
  std::size_t submitted_ = 0;
  bool handshake_;
  bool want_http2_;
  bool going_ = false;
  bool pong_due_ = false;
};

}  // namespace mizzen::net
