// Internal to net: one request of an HttpClient, from waiting for a connection to its end.
#pragma once

#include <memory>
#include <string>

#include "net/client_connection.h"
#include "net/http_client.h"
#include "net/tunnel.h"

namespace mizzen::net {

class ClientStream final : public http::StreamEvents,
                           public std::enable_shared_from_this<ClientStream>,
                           private TunnelPort {
 public:
  using Upgraded = std::function<void(Result<HttpClient::Upgraded>)>;

  ClientStream(io::Loop& loop, Request request, bool end, StreamCallbacks callbacks);

  // Sends what was given so far. `base` names the authority and the prefix of the target.
  void attach(ClientConnection* connection, const BaseUrl& base);
  // Ends it with `error`, from outside (no connection to be had, time-out).
  void fail_with(Error error);
  // Drops it: no callback follows.
  void cancel();

  void write(std::string_view bytes);
  void end();
  void pause(bool paused);
  std::size_t buffered() const;
  void arm_timeout();
  void timeout_until_head() { timeout_ends_at_head_ = true; }
  void wants_upgrade(Upgraded done) { upgraded_ = std::move(done); }

  bool done() const { return done_; }
  bool attached() const { return connection_ != nullptr; }
  // After a reset that a second try may mend: whether the request can go once more.
  std::function<bool(ClientStream&)> retry;

 private:
  void on_informational(http::ResponseHead&&) override {}
  void on_response(http::ResponseHead&& head, bool end) override;
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Headers&& trailers) override;
  void on_reset(const Error& error) override;
  void on_writable() override;
  void on_complete() override;
  void tunnel_send(std::string_view bytes, bool end) override;
  void tunnel_consumed(std::size_t bytes) override;
  std::size_t tunnel_buffered() const override { return buffered(); }
  void tunnel_reset() override;
  void tunnel_gone() override;

  void finish(Status status);
  ClientConnection* release();
  void on_timeout();
  void accept_upgrade(const http::ResponseHead& head);

  io::Loop& loop_;
  Request request_;
  StreamCallbacks callbacks_;
  Upgraded upgraded_;
  io::Timer timer_;
  ClientConnection* connection_ = nullptr;
  http::StreamId id_ = 0;
  std::string unsent_;    // body given before there was a connection
  std::size_t held_ = 0;  // body bytes of the response not yet consumed, while paused
  bool may_resend_;       // the whole request is in request_ and asks for nothing twice
  bool output_ended_;
  bool input_ended_ = false;
  bool head_seen_ = false;
  bool paused_ = false;
  bool reused_ = false;  // on a connection that served others before
  bool retried_ = false;
  bool done_ = false;
  bool timeout_ends_at_head_ = false;
  Tunnel* tunnel_ = nullptr;
  std::shared_ptr<ClientStream> tunnel_self_;  // a tunnel keeps its exchange
};

}  // namespace mizzen::net
