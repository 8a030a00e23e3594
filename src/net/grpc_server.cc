#include <fmt/format.h>

#include "net/grpc.h"

namespace mizzen::net {
namespace {

HeaderList trailers_of(const http::GrpcStatus& status) {
  http::Headers fields;
  http::set_grpc_status(fields, status);
  HeaderList out;
  for (const http::HeaderField& field : fields) out.emplace_back(field.name, field.value);
  return out;
}

// Messages that nobody hears yet (the caller is still being identified), and for each of them.
constexpr std::size_t kMostWaiting = 256 * 1024;
constexpr std::size_t kWaitingOverhead = 64;

class ServerStream final : public GrpcStream {
 public:
  ServerStream(std::shared_ptr<Exchange> exchange, std::size_t max_message)
      : exchange_(std::move(exchange)), reader_(max_message) {}

  // Apart from the constructor: the callbacks hold this object.
  void start() {
    auto self = std::static_pointer_cast<ServerStream>(shared_from_this());
    exchange_->on_data([self](std::string_view bytes, bool end) { self->arrived(bytes, end); });
    exchange_->on_writable([self] {
      if (self->writable_) self->writable_();
    });
    exchange_->on_closed([self](bool) { self->over(); });
    auto timeout = http::parse_grpc_timeout(exchange_->header("grpc-timeout"));
    if (!timeout) return;
    deadline_ = exchange_->loop().after(*timeout, [weak = std::weak_ptr<ServerStream>(self)] {
      auto stream = weak.lock();
      if (!stream) return;
      stream->deadline_ = 0;
      stream->finish({http::GrpcCode::kDeadlineExceeded, "deadline exceeded"});
    });
  }

  const Exchange& exchange() const override { return *exchange_; }
  void on_message(std::function<void(std::string_view)> fn) override {
    message_ = std::move(fn);
    flush_soon();
  }
  void on_half_close(std::function<void()> fn) override {
    half_close_ = std::move(fn);
    flush_soon();
  }
  void on_closed(std::function<void()> fn) override { closed_fn_ = std::move(fn); }
  void on_writable(std::function<void()> fn) override { writable_ = std::move(fn); }

  void send(std::string_view message) override {
    if (finished_ || exchange_->closed()) return;
    begin();
    std::string framed;
    http::grpc_append_message(framed, message);
    exchange_->write(framed);
  }
  void flush() override { exchange_->flush(); }
  std::size_t buffered() const override { return exchange_->buffered(); }
  void pause(bool paused) override { exchange_->pause(paused); }

  void finish(http::GrpcStatus status) override {
    if (finished_) return;
    finished_ = true;
    if (exchange_->closed()) return;
    begin();
    exchange_->end_with_trailers(trailers_of(status));
  }
  bool closed() const override { return closed_; }

 private:
  void begin() {
    if (!exchange_->begun()) exchange_->begin(200, {{"content-type", "application/grpc"}});
  }

  void arrived(std::string_view bytes, bool end) {
    Status status = reader_.feed(bytes, [this](std::string_view message) {
      if (message_ && waiting_.empty()) {
        message_(message);
      } else {
        waiting_.emplace_back(message);
        waiting_bytes_ += message.size() + kWaitingOverhead;
      }
    });
    if (waiting_bytes_ > kMostWaiting) {
      waiting_.clear();
      return finish({http::GrpcCode::kResourceExhausted, "too much before the call was accepted"});
    }
    if (!status) {
      auto code = status.error().code == Code::kLimit ? http::GrpcCode::kResourceExhausted
                                                      : http::GrpcCode::kUnimplemented;
      return finish({code, status.error().message});
    }
    if (!end) return;
    half_closed_ = true;
    if (!reader_.at_boundary()) {
      return finish({http::GrpcCode::kInternal, "the request ends inside a message"});
    }
    if (waiting_.empty()) tell_half_close();
  }

  void flush_soon() {
    if (waiting_.empty() && !half_closed_) return;
    exchange_->loop().defer([self = std::static_pointer_cast<ServerStream>(shared_from_this())] {
      if (!self->message_ && !self->waiting_.empty()) return;
      auto messages = std::move(self->waiting_);
      self->waiting_.clear();
      self->waiting_bytes_ = 0;
      for (const std::string& message : messages) {
        if (self->message_) self->message_(message);
      }
      if (self->half_closed_) self->tell_half_close();
    });
  }

  void tell_half_close() {
    if (!half_close_) return;
    auto fn = std::move(half_close_);
    half_close_ = nullptr;
    fn();
  }

  void over() {
    if (closed_) return;
    closed_ = true;
    if (deadline_ != 0) exchange_->loop().cancel(deadline_);
    message_ = nullptr;
    half_close_ = nullptr;
    writable_ = nullptr;
    auto fn = std::move(closed_fn_);
    closed_fn_ = nullptr;
    if (fn) fn();
  }

  std::shared_ptr<Exchange> exchange_;
  http::GrpcReader reader_;
  std::function<void(std::string_view)> message_;
  std::function<void()> half_close_;
  std::function<void()> closed_fn_;
  std::function<void()> writable_;
  std::vector<std::string> waiting_;
  std::size_t waiting_bytes_ = 0;
  io::TimerId deadline_ = 0;
  bool half_closed_ = false;
  bool finished_ = false;
  bool closed_ = false;
};

void serve_unary(const GrpcServer::Unary& fn, const std::shared_ptr<ServerStream>& stream) {
  auto request = std::make_shared<std::optional<std::string>>();
  std::weak_ptr<ServerStream> weak = stream;
  stream->on_message([request, weak](std::string_view message) {
    auto stream = weak.lock();
    if (!stream) return;
    if (*request) {
      return stream->finish({http::GrpcCode::kInternal, "a unary call with several messages"});
    }
    request->emplace(message);
  });
  stream->on_half_close([request, weak, fn] {
    auto stream = weak.lock();
    if (!stream) return;
    if (!*request)
      return stream->finish({http::GrpcCode::kInternal, "a unary call without message"});
    fn(std::move(**request), stream, [stream](http::GrpcStatus status, std::string response) {
      if (status.ok()) stream->send(response);
      stream->finish(std::move(status));
    });
  });
}

}  // namespace

void GrpcServer::unary(std::string path, Unary fn) { methods_[std::move(path)] = std::move(fn); }
void GrpcServer::streaming(std::string path, Streaming fn) {
  methods_[std::move(path)] = std::move(fn);
}

bool GrpcServer::handle(const std::shared_ptr<Exchange>& exchange) {
  if (!exchange->request().is_grpc() || exchange->method() != "POST") return false;
  auto found = methods_.find(exchange->path());
  if (found == methods_.end()) {
    HeaderList headers = trailers_of(
        {http::GrpcCode::kUnimplemented, fmt::format("unknown method {}", exchange->path())});
    headers.insert(headers.begin(), {"content-type", "application/grpc"});
    exchange->respond(200, headers, "");
    return true;
  }
  auto stream = std::make_shared<ServerStream>(exchange, max_message_);
  stream->start();
  if (const auto* unary = std::get_if<Unary>(&found->second)) {
    serve_unary(*unary, stream);
  } else {
    std::get<Streaming>(found->second)(stream);
  }
  return true;
}

}  // namespace mizzen::net
