// Internal to net: one client of an HttpServer.
#pragma once

#include <memory>
#include <unordered_map>

#include "net/codec_connection.h"
#include "net/http_server.h"

namespace mizzen::net {

class ServerExchange;

class ServerConnection final : public CodecConnection, private http::ConnectionEvents {
 public:
  struct Owner {
    const HttpServerOptions* options;
    const Handler* handler;
    std::function<void(ServerConnection*)> gone;  // forget and dispose of it
  };

  ServerConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream, bool tls, Owner owner);
  ~ServerConnection() override;

  using CodecConnection::start;
  http::ServerCodec& codec() { return *codec_; }
  const std::string& server_header() const { return owner_.options->server_header; }
  void forget(http::StreamId id);
  // No new requests; closes when those there are have ended.
  void drain();

 private:
  void on_open() override;
  void on_first_bytes(std::string_view bytes) override;
  void on_dead(const Error& error) override;
  void on_pumped() override;
  bool lingers() const override { return true; }
  http::StreamEvents* on_request(http::StreamId id, http::RequestHead&& head, bool end) override;
  void on_work() override { kick(); }

  void choose(http::Protocol protocol);
  void on_timeout();
  void arm();

  Owner owner_;
  io::Timer timer_;
  bool tls_;
  bool busy_ = false;  // how the timer was armed last
  bool draining_ = false;
  std::unique_ptr<http::ServerCodec> codec_;
  std::unordered_map<http::StreamId, std::shared_ptr<ServerExchange>> exchanges_;
};

}  // namespace mizzen::net
