// Internal to net: one request of a server connection, between the codec and its handler.
#pragma once

#include <memory>
#include <string>

#include "net/http_server.h"
#include "net/tunnel.h"

namespace mizzen::net {

class ServerConnection;

class ServerExchange final : public Exchange, public http::StreamEvents, private TunnelPort {
 public:
  ServerExchange(ServerConnection* connection, http::StreamId id, http::RequestHead&& head,
                 bool end);

  // Exchange
  const http::RequestHead& request() const override { return head_; }
  io::Address peer() const override { return peer_; }
  io::Address local() const override { return local_; }
  const io::TlsInfo* tls() const override;
  io::Loop& loop() const override { return loop_; }
  void read_body(std::size_t max, std::function<void(Result<std::string>)> done) override;
  void on_data(std::function<void(std::string_view, bool)> fn) override;
  void pause(bool paused) override;
  void respond(int status, const HeaderList& headers, std::string_view body) override;
  void begin(int status, const HeaderList& headers) override;
  void write(std::string_view bytes) override;
  void end() override;
  void end_with_trailers(const HeaderList& trailers) override;
  void abort() override;
  std::size_t buffered() const override;
  void flush() override;
  bool begun() const override { return begun_; }
  bool closed() const override { return connection_ == nullptr; }
  void on_writable(std::function<void()> fn) override { writable_ = std::move(fn); }
  void on_closed(std::function<void(bool)> fn) override { closed_ = std::move(fn); }
  std::unique_ptr<io::Stream> upgrade(int status, const HeaderList& headers) override;

  // http::StreamEvents
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Headers&& trailers) override;
  void on_reset(const Error& error) override;
  void on_writable() override;
  void on_complete() override;

  // The connection is destroyed; no callback follows.
  void orphan();

 private:
  void tunnel_send(std::string_view bytes, bool end) override;
  void tunnel_consumed(std::size_t bytes) override;
  std::size_t tunnel_buffered() const override { return buffered(); }
  void tunnel_reset() override { abort(); }
  void tunnel_gone() override { tunnel_ = nullptr; }

  http::ServerCodec& codec() const;
  void send_head(int status, const HeaderList& headers, std::optional<std::size_t> length,
                 bool end);
  void deliver();
  void deliver_soon();
  void finish_body(Result<std::string> result);
  void over(bool complete);

  ServerConnection* connection_;  // null once the exchange is over
  io::Loop& loop_;
  http::StreamId id_;
  http::RequestHead head_;
  io::Address peer_;
  io::Address local_;
  // The request's body, until somebody takes it. Held bytes are not yet consumed at the codec.
  std::string held_;
  std::size_t max_body_ = 0;
  bool input_ended_;
  bool end_told_ = false;
  bool paused_ = false;
  bool scheduled_ = false;
  std::function<void(std::string_view, bool)> data_;
  std::function<void(Result<std::string>)> body_done_;
  std::string body_;
  // The response.
  bool begun_ = false;
  bool output_ended_ = false;
  std::function<void()> writable_;
  std::function<void(bool)> closed_;
  Tunnel* tunnel_ = nullptr;
};

}  // namespace mizzen::net
