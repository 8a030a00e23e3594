#include <fmt/format.h>

#include "net/grpc.h"

namespace mizzen::net {
namespace {

http::GrpcStatus status_of(const Error& error) {
  http::GrpcCode code = http::grpc_code_of(error.code);
  bool lost = error.code == Code::kReset || error.code == Code::kClosed ||
              error.code == Code::kUnavailable || error.code == Code::kNotFound;
  return {lost ? http::GrpcCode::kUnavailable : code, error.message};
}

// One call. Lives as long as its handle, and through its own callbacks.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(GrpcCallbacks callbacks, std::size_t max_message)
      : callbacks_(std::move(callbacks)), reader_(max_message) {}

  void start(HttpClient& http, Request request, io::Loop& loop, Duration timeout) {
    loop_ = &loop;
    auto weak = weak_from_this();
    StreamCallbacks callbacks;
    callbacks.on_head = [weak](const http::ResponseHead& head) {
      if (auto self = weak.lock()) self->on_head(head);
    };
    callbacks.on_data = [weak](std::string_view bytes) {
      if (auto self = weak.lock()) self->on_data(bytes);
    };
    callbacks.on_trailers = [weak](const http::Headers& trailers) {
      auto self = weak.lock();
      if (!self) return;
      self->status_ = http::grpc_status_of(trailers);
      // The server may end a call while our half is open: HTTP/2 alone would wait for us.
      if (self->status_) self->close(*self->status_);
    };
    callbacks.on_writable = [weak] {
      auto self = weak.lock();
      if (self && self->callbacks_.on_writable) self->callbacks_.on_writable();
    };
    callbacks.on_closed = [weak](const Status& status) {
      if (auto self = weak.lock()) self->on_closed(status);
    };
    if (timeout.count() > 0) {
      deadline_ = loop.after(timeout, [weak] {
        if (auto self = weak.lock()) {
          self->deadline_ = 0;
          self->close({http::GrpcCode::kDeadlineExceeded, "deadline exceeded"});
        }
      });
    }
    call_ = http.open(std::move(request), false, std::move(callbacks));
  }
  ~Conversation() {
    if (deadline_ != 0) loop_->cancel(deadline_);
  }

  void send(std::string_view message) {
    if (!call_) return;
    std::string framed;
    http::grpc_append_message(framed, message);
    call_->write(framed);
  }
  void half_close() {
    if (call_) call_->end();
  }
  std::size_t buffered() const { return call_ ? call_->buffered() : 0; }
  void pause(bool paused) {
    if (call_) call_->pause(paused);
  }

 private:
  void on_head(const http::ResponseHead& head) {
    http_status_ = head.status;
    status_ = http::grpc_status_of(head.headers);  // trailers-only
    if (callbacks_.on_headers) callbacks_.on_headers(head.headers);
  }

  void on_data(std::string_view bytes) {
    if (http_status_ != 200) return;  // an error page of something in between
    Status status = reader_.feed(bytes, [this](std::string_view message) {
      if (callbacks_.on_message) callbacks_.on_message(message);
    });
    if (!status) close({http::GrpcCode::kResourceExhausted, status.error().message});
  }

  void on_closed(const Status& status) {
    if (status_) return close(*status_);
    if (!status) return close(status_of(status.error()));
    close({http::grpc_code_of_http(http_status_),
           fmt::format("HTTP status {} without grpc-status", http_status_)});
  }

  void close(http::GrpcStatus status) {
    if (closed_) return;
    closed_ = true;
    auto self = shared_from_this();
    GrpcCallbacks callbacks = std::move(callbacks_);
    callbacks_ = {};
    if (callbacks.on_closed) callbacks.on_closed(std::move(status));
    // The call's own callback may be on the stack: it ends with this turn.
    loop_->defer([self] { self->call_.reset(); });
  }

  GrpcCallbacks callbacks_;
  http::GrpcReader reader_;
  io::Loop* loop_ = nullptr;
  std::unique_ptr<ClientCall> call_;
  std::optional<http::GrpcStatus> status_;
  io::TimerId deadline_ = 0;
  int http_status_ = 0;
  bool closed_ = false;
};

class Handle final : public GrpcCall {
 public:
  explicit Handle(std::shared_ptr<Conversation> conversation)
      : conversation_(std::move(conversation)) {}
  void send(std::string_view message) override { conversation_->send(message); }
  void half_close() override { conversation_->half_close(); }
  std::size_t buffered() const override { return conversation_->buffered(); }
  void pause(bool paused) override { conversation_->pause(paused); }

 private:
  std::shared_ptr<Conversation> conversation_;
};

Request request_of(std::string_view path, const HeaderList& metadata, Duration timeout) {
  Request request{.method = "POST", .target = std::string(path), .timeout = Duration{0}};
  request.headers = {{"content-type", "application/grpc"}, {"te", "trailers"}};
  if (timeout.count() > 0) {
    request.headers.emplace_back("grpc-timeout", http::format_grpc_timeout(timeout));
  }
  for (const auto& field : metadata) request.headers.push_back(field);
  return request;
}

}  // namespace

void GrpcClient::unary(std::string_view path, const HeaderList& metadata, std::string_view request,
                       Duration timeout, UnaryDone done) {
  auto response = std::make_shared<std::string>();
  // The conversation holds itself until it has closed.
  auto self = std::make_shared<std::shared_ptr<Conversation>>();
  GrpcCallbacks callbacks;
  callbacks.on_message = [response](std::string_view message) { *response = message; };
  callbacks.on_closed = [response, self, done = std::move(done)](http::GrpcStatus status) {
    auto keep = std::move(*self);
    done(std::move(status), std::move(*response));
  };
  auto conversation = std::make_shared<Conversation>(std::move(callbacks), max_message_);
  *self = conversation;
  conversation->start(http_, request_of(path, metadata, timeout), http_.loop(), timeout);
  conversation->send(request);
  conversation->half_close();
}

std::unique_ptr<GrpcCall> GrpcClient::stream(std::string_view path, const HeaderList& metadata,
                                             GrpcCallbacks callbacks) {
  auto conversation = std::make_shared<Conversation>(std::move(callbacks), max_message_);
  conversation->start(http_, request_of(path, metadata, Duration{0}), http_.loop(), Duration{0});
  return std::make_unique<Handle>(std::move(conversation));
}

}  // namespace mizzen::net
