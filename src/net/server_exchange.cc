#include "net/server_exchange.h"

#include <fmt/format.h>

#include <ctime>

#include "base/strings.h"
#include "net/server_connection.h"

namespace mizzen::net {
namespace {

// RFC 9110 6.6.1, made once a second.
std::string_view http_date(io::Loop& loop) {
  thread_local std::time_t at = 0;
  thread_local char text[32] = "";
  std::time_t now =
      std::chrono::floor<std::chrono::seconds>(loop.wall()).time_since_epoch().count();
  if (now != at) {
    at = now;
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  }
  return text;
}

}  // namespace

std::string_view Exchange::path() const { return target().substr(0, target().find('?')); }

std::string_view Exchange::query() const {
  std::size_t mark = target().find('?');
  return mark == std::string_view::npos ? std::string_view() : target().substr(mark + 1);
}

std::string_view Exchange::header(std::string_view lower_name) const {
  return request().headers.get_or(lower_name, "");
}

std::optional<std::string> Exchange::query_param(std::string_view name) const {
  if (query().empty()) return std::nullopt;
  for (std::string_view pair : split(query(), '&')) {
    std::size_t equals = pair.find('=');
    if (url_decode(pair.substr(0, equals), true) != name) continue;
    return equals == pair.npos ? "" : url_decode(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

ServerExchange::ServerExchange(ServerConnection* connection, http::StreamId id,
                               http::RequestHead&& head, bool end)
    : connection_(connection),
      loop_(connection->loop()),
      id_(id),
      head_(std::move(head)),
      peer_(connection->stream().peer()),
      local_(connection->stream().local()),
      input_ended_(end) {}

http::ServerCodec& ServerExchange::codec() const { return connection_->codec(); }

const io::TlsInfo* ServerExchange::tls() const {
  return connection_ == nullptr ? nullptr : connection_->stream().tls();
}

void ServerExchange::read_body(std::size_t max, std::function<void(Result<std::string>)> done) {
  max_body_ = max;
  body_done_ = std::move(done);
  if (connection_ != nullptr && head_.expects_continue() && !begun_ && !input_ended_) {
    codec().inform(id_, http::ResponseHead{.status = 100});
  }
  deliver_soon();
}

void ServerExchange::on_data(std::function<void(std::string_view, bool)> fn) {
  data_ = std::move(fn);
  if (connection_ != nullptr && head_.expects_continue() && !begun_ && !input_ended_) {
    codec().inform(id_, http::ResponseHead{.status = 100});
  }
  deliver_soon();
}

void ServerExchange::pause(bool paused) {
  paused_ = paused;
  if (!paused) deliver_soon();
}

void ServerExchange::deliver_soon() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.defer([self = shared_from_this(), this] {
    scheduled_ = false;
    deliver();
  });
}

// Hands on what is held, to whoever wants it; nobody does after the response has ended.
void ServerExchange::deliver() {
  if (paused_ || tunnel_ != nullptr) return;
  bool wanted = !end_told_ && (data_ || body_done_);
  if (!wanted && !output_ended_) return;
  std::string bytes = std::move(held_);
  held_.clear();
  if (!bytes.empty() && connection_ != nullptr) {
    codec().consumed(id_, bytes.size());
    connection_->kick();
  }
  if (!wanted) return;
  if (!input_ended_ && connection_ == nullptr) {
    end_told_ = true;
    if (body_done_) finish_body(fail(Code::kClosed, "the client went away", Side::kDownstream));
    return;
  }
  end_told_ = input_ended_;
  if (data_) {
    if (!bytes.empty() || input_ended_) {
      auto fn = data_;
      fn(bytes, input_ended_);
    }
    return;
  }
  body_ += bytes;
  if (body_.size() > max_body_) {
    end_told_ = true;
    finish_body(fail(Code::kLimit, fmt::format("the body has more than {} bytes", max_body_)));
  } else if (input_ended_) {
    finish_body(std::move(body_));
  }
}

void ServerExchange::finish_body(Result<std::string> result) {
  auto done = std::move(body_done_);
  body_done_ = nullptr;
  done(std::move(result));
}

void ServerExchange::send_head(int status, const HeaderList& headers,
                               std::optional<std::size_t> length, bool end) {
  http::ResponseHead head;
  head.status = status;
  for (const auto& [name, value] : headers) head.headers.add(name, value);
  if (length && status >= 200 && status != 204 && status != 304) {
    head.headers.set("content-length", fmt::format_int(*length).str());
    head.content_length = *length;
  }
  if (status >= 200 && !head.headers.has("date")) head.headers.add("date", http_date(loop_));
  if (!connection_->server_header().empty() && !head.headers.has("server")) {
    head.headers.add("server", connection_->server_header());
  }
  begun_ = true;
  codec().respond(id_, head, end);
}

void ServerExchange::respond(int status, const HeaderList& headers, std::string_view body) {
  if (connection_ == nullptr || begun_) return;
  bool bodiless = body.empty() || head_.method == "HEAD" || status == 204 || status == 304;
  send_head(status, headers, body.size(), bodiless);
  output_ended_ = true;
  if (!bodiless) codec().send_data(id_, body, true);
  connection_->kick();
  deliver_soon();
}

void ServerExchange::begin(int status, const HeaderList& headers) {
  if (connection_ == nullptr || begun_) return;
  send_head(status, headers, std::nullopt, false);
  connection_->kick();
}

void ServerExchange::write(std::string_view bytes) {
  if (connection_ == nullptr || !begun_ || output_ended_ || bytes.empty()) return;
  codec().send_data(id_, bytes, false);
  connection_->kick();
}

void ServerExchange::end() {
  if (connection_ == nullptr || !begun_ || output_ended_) return;
  output_ended_ = true;
  codec().send_data(id_, {}, true);
  connection_->kick();
  deliver_soon();
}

void ServerExchange::end_with_trailers(const HeaderList& trailers) {
  if (connection_ == nullptr || !begun_ || output_ended_) return;
  output_ended_ = true;
  http::Headers fields;
  for (const auto& [name, value] : trailers) fields.add(name, value);
  codec().send_trailers(id_, fields);
  connection_->kick();
  deliver_soon();
}

void ServerExchange::abort() {
  if (connection_ == nullptr) return;
  auto self = shared_from_this();
  codec().reset(id_, http::ResetCode::kInternalError);
  connection_->kick();
  loop_.defer([self, this] {
    if (connection_ != nullptr) over(false);
  });
}

std::size_t ServerExchange::buffered() const {
  return connection_ == nullptr ? 0 : codec().buffered(id_);
}

void ServerExchange::flush() {
  if (connection_ != nullptr) connection_->flush();
}

std::unique_ptr<io::Stream> ServerExchange::upgrade(int status, const HeaderList& headers) {
  bool asked = !head_.upgrade.empty() || head_.is_connect();
  if (connection_ == nullptr || begun_ || !asked) return nullptr;
  auto tunnel = std::make_unique<Tunnel>(loop_, static_cast<TunnelPort*>(this), local_, peer_);
  tunnel_ = tunnel.get();
  send_head(status, headers, std::nullopt, false);
  connection_->kick();
  if (!held_.empty() || input_ended_) tunnel_->arrived(held_, false);
  held_.clear();
  return tunnel;
}

void ServerExchange::tunnel_send(std::string_view bytes, bool end) {
  if (connection_ == nullptr || output_ended_) return;
  output_ended_ = end;
  codec().send_data(id_, bytes, end);
  connection_->kick();
}

void ServerExchange::tunnel_consumed(std::size_t bytes) {
  if (connection_ == nullptr) return;
  codec().consumed(id_, bytes);
  connection_->kick();
}

void ServerExchange::on_data(std::string_view bytes, bool end) {
  if (tunnel_ != nullptr) return tunnel_->arrived(bytes, end);
  input_ended_ = input_ended_ || end;
  if (!data_ || paused_ || !held_.empty() || end_told_) {
    held_.append(bytes);
    return deliver_soon();
  }
  end_told_ = input_ended_;
  const auto self = shared_from_this();
  codec().consumed(id_, bytes.size());
  auto fn = std::move(data_);  // which may put another in its place
  data_ = nullptr;
  fn(bytes, end_told_);
  if (!data_) data_ = std::move(fn);
}

void ServerExchange::on_trailers(http::Headers&&) {
  input_ended_ = true;
  deliver_soon();
}

void ServerExchange::on_writable() {
  if (tunnel_ != nullptr) return tunnel_->writable();
  if (!writable_) return;
  loop_.defer([self = shared_from_this(), this] {
    if (connection_ != nullptr && writable_) writable_();
  });
}

void ServerExchange::on_reset(const Error&) { over(false); }
void ServerExchange::on_complete() { over(true); }

void ServerExchange::over(bool complete) {
  if (connection_ == nullptr) return;
  auto self = std::static_pointer_cast<ServerExchange>(shared_from_this());
  ServerConnection* connection = connection_;
  connection_ = nullptr;
  connection->forget(id_);
  if (tunnel_ != nullptr) {
    tunnel_->broke({Code::kClosed, Side::kDownstream, false, "the connection is gone"});
    tunnel_ = nullptr;
  }
  loop_.defer([self, complete] {
    auto closed = std::move(self->closed_);
    if (self->body_done_) self->deliver();
    self->data_ = nullptr;
    self->writable_ = nullptr;
    if (closed) closed(complete);
  });
}

void ServerExchange::orphan() {
  connection_ = nullptr;
  if (tunnel_ != nullptr)
    tunnel_->broke({Code::kClosed, Side::kDownstream, false, "the server ended"});
  tunnel_ = nullptr;
  data_ = nullptr;
  body_done_ = nullptr;
  writable_ = nullptr;
  closed_ = nullptr;
}

}  // namespace mizzen::net
