#include "net/client_stream.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::net {
namespace {

bool idempotent(std::string_view method) {
  for (std::string_view safe : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}) {
    if (method == safe) return true;
  }
  return false;
}

HeaderList list_of(const http::Headers& headers) {
  HeaderList out;
  for (const http::HeaderField& field : headers) out.emplace_back(field.name, field.value);
  return out;
}

}  // namespace

ClientStream::ClientStream(io::Loop& loop, Request request, bool end, StreamCallbacks callbacks)
    : loop_(loop),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      timer_(io::Timer::of<&ClientStream::on_timeout>(loop, this)),
      may_resend_(end),
      output_ended_(end) {}

void ClientStream::arm_timeout() {
  if (request_.timeout.count() > 0) timer_.arm(request_.timeout);
}

void ClientStream::attach(ClientConnection* connection, const BaseUrl& base) {
  connection_ = connection;
  reused_ = !connection->unused();
  http::RequestHead head;
  head.set_method(request_.method);
  head.set_scheme(base.tls ? "https" : "http");
  head.set_authority(base.authority());
  head.set_path(base.prefix + request_.target);
  for (const auto& [name, value] : request_.headers) {
    std::string lowered = lower(name);
    if (lowered == "host") {
      head.set_authority(value);
    } else if (lowered == "upgrade") {
      head.set_upgrade(value);
    } else if (lowered != "connection") {
      head.headers.add(lowered, value);
    }
  }
  bool has_body = !request_.body.empty() || !unsent_.empty();
  bool complete = output_ended_ && unsent_.empty();
  if (complete && (has_body || request_.method == "POST" || request_.method == "PUT" ||
                   request_.method == "PATCH")) {
    head.headers.set("content-length", fmt::format_int(request_.body.size()).str());
    head.content_length = request_.body.size();
  }
  bool end = output_ended_ && !has_body;
  id_ = connection->submit(head, end, this);
  if (end) return;
  connection_->codec().send_data(id_, request_.body, output_ended_ && unsent_.empty());
  if (!unsent_.empty()) connection_->codec().send_data(id_, unsent_, output_ended_);
  unsent_.clear();
  connection_->kick();
}

void ClientStream::write(std::string_view bytes) {
  if (done_ || output_ended_ || bytes.empty()) return;
  may_resend_ = false;
  if (connection_ == nullptr) {
    unsent_.append(bytes);
    return;
  }
  connection_->codec().send_data(id_, bytes, false);
  connection_->kick();
}

void ClientStream::end() {
  if (done_ || output_ended_) return;
  output_ended_ = true;
  if (connection_ == nullptr) return;
  connection_->codec().send_data(id_, {}, true);
  connection_->kick();
}

void ClientStream::pause(bool paused) {
  paused_ = paused;
  if (paused || held_ == 0 || connection_ == nullptr) return;
  connection_->codec().consumed(id_, std::exchange(held_, 0));
  connection_->kick();
}

std::size_t ClientStream::buffered() const {
  return connection_ == nullptr ? unsent_.size() : connection_->codec().buffered(id_);
}

void ClientStream::on_response(http::ResponseHead&& head, bool end) {
  auto self = shared_from_this();
  head_seen_ = true;
  if (timeout_ends_at_head_) timer_.cancel();
  input_ended_ = end;
  if (upgraded_ && head.status == 101) return accept_upgrade(head);
  if (callbacks_.on_head) callbacks_.on_head(head);
}

void ClientStream::accept_upgrade(const http::ResponseHead& head) {
  timer_.cancel();
  output_ended_ = false;  // the new protocol may speak now
  tunnel_self_ = shared_from_this();
  auto tunnel =
      std::make_unique<Tunnel>(loop_, static_cast<TunnelPort*>(this), connection_->stream().local(),
                               connection_->stream().peer());
  tunnel_ = tunnel.get();
  auto done = std::move(upgraded_);
  upgraded_ = nullptr;
  done(HttpClient::Upgraded{std::move(tunnel), list_of(head.headers)});
}

void ClientStream::on_data(std::string_view bytes, bool end) {
  auto self = shared_from_this();
  input_ended_ = input_ended_ || end;
  if (tunnel_ != nullptr) return tunnel_->arrived(bytes, end);
  if (paused_) {
    held_ += bytes.size();
  } else if (!bytes.empty()) {
    connection_->codec().consumed(id_, bytes.size());
  }
  if (callbacks_.on_data && !bytes.empty()) callbacks_.on_data(bytes);
}

void ClientStream::on_trailers(http::Headers&& trailers) {
  auto self = shared_from_this();
  input_ended_ = true;
  if (callbacks_.on_trailers) callbacks_.on_trailers(trailers);
}

void ClientStream::on_writable() {
  auto self = shared_from_this();
  if (tunnel_ != nullptr) return tunnel_->writable();
  if (callbacks_.on_writable) callbacks_.on_writable();
}

void ClientStream::on_reset(const Error& error) {
  auto self = shared_from_this();
  ClientConnection* connection = release();
  bool unseen = error.retry_safe || (reused_ && idempotent(request_.method));
  if (!head_seen_ && !retried_ && may_resend_ && unseen && retry) {
    retried_ = true;
    if (retry(*this)) return;
  }
  finish(std::unexpected(error));
  if (connection != nullptr) connection->released();
}

void ClientStream::on_complete() {
  auto self = shared_from_this();
  ClientConnection* connection = release();
  finish({});
  if (connection != nullptr) connection->released();
}

ClientConnection* ClientStream::release() { return std::exchange(connection_, nullptr); }

void ClientStream::finish(Status status) {
  if (done_) return;
  done_ = true;
  timer_.cancel();
  if (tunnel_ != nullptr) {
    tunnel_->broke(status ? Error{Code::kClosed, Side::kUpstream, false, "closed"}
                          : status.error());
    tunnel_ = nullptr;
    tunnel_self_ = nullptr;
  }
  StreamCallbacks callbacks = std::move(callbacks_);
  callbacks_ = {};
  auto upgraded = std::move(upgraded_);
  upgraded_ = nullptr;
  if (upgraded) {
    upgraded(std::unexpected(status ? Error{Code::kProtocol, Side::kUpstream, false,
                                            "the server did not switch protocols"}
                                    : status.error()));
  }
  if (callbacks.on_closed) callbacks.on_closed(std::move(status));
}

void ClientStream::fail_with(Error error) {
  auto self = shared_from_this();
  if (ClientConnection* connection = release()) {
    connection->codec().reset(id_, http::ResetCode::kCancel);
    connection->kick();
    finish(std::unexpected(std::move(error)));
    connection->released();
    return;
  }
  finish(std::unexpected(std::move(error)));
}

void ClientStream::cancel() {
  if (done_) return;
  callbacks_ = {};
  upgraded_ = nullptr;
  fail_with({Code::kClosed, Side::kDownstream, false, "cancelled"});
}

void ClientStream::on_timeout() {
  // The timer is of this object, which the failure may end: let the loop do it.
  loop_.defer([self = shared_from_this()] {
    self->fail_with(
        {Code::kTimeout, Side::kUpstream, false,
         fmt::format("no answer to {} {} in time", self->request_.method, self->request_.target)});
  });
}

void ClientStream::tunnel_send(std::string_view bytes, bool end) {
  if (connection_ == nullptr || output_ended_) return;
  output_ended_ = end;
  connection_->codec().send_data(id_, bytes, end);
  connection_->kick();
}

void ClientStream::tunnel_consumed(std::size_t bytes) {
  if (connection_ == nullptr) return;
  connection_->codec().consumed(id_, bytes);
  connection_->kick();
}

void ClientStream::tunnel_reset() {
  loop_.defer([self = shared_from_this()] {
    self->fail_with({Code::kReset, Side::kDownstream, false, "the tunnel was closed"});
  });
}

void ClientStream::tunnel_gone() {
  tunnel_ = nullptr;
  loop_.defer([self = std::move(tunnel_self_)] {});
}

}  // namespace mizzen::net
