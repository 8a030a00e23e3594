// For tests: a client and an echoing server that are codecs on sockets and nothing more, so that
// one set of exchanges runs over every protocol.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "http/codec.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/tls.h"

namespace mizzen::proxy {

// Moves bytes between a stream and a codec.
class WirePeer : public io::StreamHandler, public http::ConnectionEvents {
 public:
  explicit WirePeer(io::Loop& loop)
      : loop_(loop), pump_(io::Task::of<&WirePeer::pump>(loop, this)) {}
  ~WirePeer() {
    if (stream) stream->set_handler(nullptr);
  }
  void begin(std::unique_ptr<io::Stream> from, http::Codec& codec) {
    stream = std::move(from);
    codec_ = &codec;
    stream->set_handler(this);
    pump_.schedule();
  }
  void on_open() override { pump(); }
  void on_readable() override {
    std::array<std::byte, 16384> buffer;
    while (!over && codec_->wants_input()) {
      io::IoResult got = stream->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) break;
      if (got.status == io::IoStatus::kOk) {
        if (!codec_->feed({reinterpret_cast<const char*>(buffer.data()), got.bytes})) over = true;
        read_bytes += got.bytes;
        continue;
      }
      over = got.status == io::IoStatus::kError;
      codec_->end_of_input();
      break;
    }
    pump();
  }
  void on_writable() override { pump(); }
  void on_error(const Error&) override {
    over = true;
    codec_->end_of_input();
  }
  void on_work() override { pump_.schedule(); }
  void pump() {
    if (codec_ == nullptr || stream == nullptr) return;
    if (!over && !codec_->feed({})) over = true;
    std::array<iovec, 8> pieces;
    while (const std::size_t count = codec_->output(pieces)) {
      io::IoResult put = stream->write(std::span(pieces).first(count));
      if (put.bytes == 0) break;
      written_bytes += put.bytes;
      codec_->drained(put.bytes);
    }
    if (codec_->output_ended()) stream->shutdown_write();
  }

  std::unique_ptr<io::Stream> stream;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  bool over = false;

 protected:
  io::Loop& loop_;

 private:
  io::Task pump_;
  http::Codec* codec_ = nullptr;
};

// Answers "METHOD PATH BODY" and the trailer x-sum, "/large" with kLarge bytes; echoes what comes
// through a tunnel.
class EchoServer {
 public:
  static constexpr std::size_t kLarge = 8 << 20;
  EchoServer(io::Loop& loop, bool http2, io::TlsContextRef tls = nullptr)
      : loop_(loop), http2_(http2), tls_(std::move(tls)) {
    auto made = io::Listener::listen(loop, io::Address::loopback(0), {}, [this](auto stream) {
      if (tls_) stream = io::tls_server(loop_, std::move(stream), tls_);
      peers_.push_back(std::make_unique<Peer>(loop_, http2_, std::move(stream)));
    });
    listener_ = std::move(*made);
  }
  io::Address address() const { return listener_->address(); }
  std::uint64_t written() const {  // to all connections
    std::uint64_t sum = 0;
    for (const auto& peer : peers_) sum += peer->written_bytes;
    return sum;
  }

 private:
  struct Peer;
  struct Exchange final : http::StreamEvents {
    Exchange(Peer& its_peer, http::StreamId its_id, http::RequestHead&& its_head)
        : peer(its_peer), id(its_id), head(std::move(its_head)) {}
    void on_data(std::string_view bytes, bool end) override;
    void on_trailers(http::Headers&& got) override;
    void on_reset(const Error&) override {}
    void on_complete() override {}
    void answer();
    Peer& peer;
    http::StreamId id;
    http::RequestHead head;
    std::string body;
    std::string sum;
    bool tunnel = false;
  };
  struct Peer final : WirePeer {
    Peer(io::Loop& loop, bool http2, std::unique_ptr<io::Stream> from) : WirePeer(loop) {
      codec = http2 ? http::make_h2_server({}, this) : http::make_h1_server({}, this);
      begin(std::move(from), *codec);
    }
    http::StreamEvents* on_request(http::StreamId id, http::RequestHead&& head, bool end) override {
      exchanges.push_back(std::make_unique<Exchange>(*this, id, std::move(head)));
      Exchange& made = *exchanges.back();
      made.tunnel = made.head.is_connect() || !made.head.upgrade.empty();
      if (made.tunnel || end) made.answer();
      return &made;
    }
    std::unique_ptr<http::ServerCodec> codec;
    std::vector<std::unique_ptr<Exchange>> exchanges;
  };

  io::Loop& loop_;
  bool http2_;
  io::TlsContextRef tls_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

inline void EchoServer::Exchange::on_data(std::string_view bytes, bool end) {
  peer.codec->consumed(id, bytes.size());
  if (tunnel) return peer.codec->send_data(id, bytes, end);
  body += bytes;
  if (end) answer();
}

inline void EchoServer::Exchange::on_trailers(http::Headers&& got) {
  sum = got.get_or("x-sum", "");
  answer();
}

inline void EchoServer::Exchange::answer() {
  http::ResponseHead response;
  response.status = tunnel && !head.upgrade.empty() ? 101 : 200;
  response.headers.add("x-protocol", http::to_string(head.protocol));
  if (head.is_grpc()) response.headers.add("content-type", "application/grpc");
  peer.codec->respond(id, response, false);
  if (tunnel) return;
  if (head.path == "/large") return peer.codec->send_data(id, std::string(kLarge, 'l'), true);
  peer.codec->send_data(id, std::string(head.method) + " " + std::string(head.path) + " " + body,
                        false);
  http::Headers trailers;
  trailers.add("x-sum", sum.empty() ? "none" : sum);
  if (head.is_grpc()) trailers.add("grpc-status", "0");
  peer.codec->send_trailers(id, trailers);
}

// One request of a client, and all that came back.
struct Asked final : http::StreamEvents {
  void on_response(http::ResponseHead&& head, bool end) override {
    status = head.status;
    response = std::move(head);
    ended = end;
  }
  void on_data(std::string_view bytes, bool end) override {
    body += bytes;
    ended = ended || end;
    if (codec != nullptr) codec->consumed(id, bytes.size());
  }
  void on_trailers(http::Headers&& got) override {
    trailers = std::move(got);
    ended = true;
  }
  void on_reset(const Error& error) override { broken = error.message; }
  void on_complete() override {}

  http::ClientCodec* codec = nullptr;  // null: nothing is consumed
  http::StreamId id = 0;
  int status = 0;
  http::ResponseHead response;
  std::string body;
  http::Headers trailers;
  std::string broken;
  bool ended = false;
};

class WireClient final : public WirePeer {
 public:
  WireClient(io::Loop& loop, const io::Address& to, bool http2, io::TlsContextRef tls = nullptr,
             const http::CodecOptions& options = {})
      : WirePeer(loop) {
    codec = http2 ? http::make_h2_client(options, this) : http::make_h1_client(options, this);
    dial_ = io::connect(loop, to, {}, [this, tls](auto made) {
      if (!made) {
        over = true;
        return;
      }
      auto opened = std::move(*made);
      if (tls) opened = io::tls_client(loop_, std::move(opened), tls, {.sni = "localhost"});
      begin(std::move(opened), *codec);
    });
  }
  // `end`: no body follows.
  std::unique_ptr<Asked> ask(const http::RequestHead& head, bool end) {
    auto asked = std::make_unique<Asked>();
    asked->codec = codec.get();
    asked->id = codec->submit(head, end, asked.get());
    return asked;
  }
  std::unique_ptr<http::ClientCodec> codec;

 private:
  std::unique_ptr<io::Connecting> dial_;
};

}  // namespace mizzen::proxy
