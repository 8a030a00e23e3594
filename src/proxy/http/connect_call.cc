#include "proxy/http/connect_call.h"

#include <algorithm>
#include <array>
#include <string>

#include "io/stream.h"

namespace mizzen::proxy {
namespace {

constexpr int kMostReads = 8;                  // before others get their turn
constexpr std::size_t kMostHeld = 256 * 1024;  // read and not consumed yet
constexpr std::size_t kLowMark = 64 * 1024;    // of what waits to be written

}  // namespace

// Lives until the end of the turn in which its call goes: a stream's handler must.
class ConnectCall::Pipe final : public io::StreamHandler, public TcpEvents {
 public:
  Pipe(io::Loop& its_loop, UpstreamEvents& events)
      : loop(its_loop),
        events_(&events),
        started_(io::Task::of<&Pipe::tell_head>(its_loop, this)) {}

  void dial(Upstream& upstream, const UpstreamAsk& ask,
            std::expected<void, UpstreamFailure>& result) {
    auto made = upstream.dial(ask, *this);
    if (made) {
      dial_ = std::move(*made);
    } else {
      result = std::unexpected(made.error());
    }
  }

  void take(std::unique_ptr<io::Stream> stream, const UpstreamInfo& info) {
    stream_ = std::move(stream);
    info_ = info;
    stream_->set_handler(this);
    stream_->pause_reading(true);  // until the answer is told
    started_.schedule();
  }

  void leave() {
    events_ = nullptr;
    started_.cancel();
    if (!stream_) return;
    stream_->set_handler(nullptr);
    if (!ended_ || !read_end_) stream_->abort();
  }

  void send(std::string_view data, bool end) {
    if (ended_) return;
    ended_ = end;
    if (stream_ && pending_.empty() && !data.empty()) {
      io::IoResult put = stream_->write(data);
      if (put.status == io::IoStatus::kError) return fail_later();
      data.remove_prefix(put.bytes);
    }
    pending_.append(data);
    if (pending_.size() > kLowMark) above_ = true;
    shut_if_done();
  }

  std::size_t buffered() const { return pending_.size(); }

  void consumed(std::size_t bytes) {
    held_ -= std::min(held_, bytes);
    if (paused_ && held_ <= kMostHeld / 2 && stream_) {
      paused_ = false;
      stream_->pause_reading(false);
    }
  }

  io::Loop& loop;

 private:
  void on_tcp_connected(std::unique_ptr<io::Stream> stream, const UpstreamInfo& info) override {
    if (events_ != nullptr) take(std::move(stream), info);
  }
  void on_tcp_failed(const UpstreamFailure& failure) override { fail(failure); }

  void tell_head() {
    if (events_ == nullptr) return;
    if (broken_) return fail({UpstreamFault::kConnectionTermination, {}, false});
    events_->on_upstream_host(info_);
    write_rest();
    if (events_ == nullptr) return;
    stream_->pause_reading(false);
    http::ResponseHead head;
    head.status = 200;
    events_->on_upstream_head(std::move(head), false);
  }

  void on_readable() override {
    for (int i = 0; i < kMostReads && events_ != nullptr && !paused_; ++i) {
      thread_local std::array<std::byte, 64 * 1024> buffer;
      io::IoResult got = stream_->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      if (got.status == io::IoStatus::kError) {
        return fail({UpstreamFault::kConnectionTermination, {}, false});
      }
      if (got.status == io::IoStatus::kEof) {
        read_end_ = true;
        return events_->on_upstream_data({}, true);
      }
      held_ += got.bytes;
      if (held_ > kMostHeld) {
        paused_ = true;
        stream_->pause_reading(true);
      }
      events_->on_upstream_data({reinterpret_cast<const char*>(buffer.data()), got.bytes}, false);
    }
  }

  void on_writable() override {
    write_rest();
    const bool tell = above_ ? pending_.size() <= kLowMark : ended_ && pending_.empty();
    if (!tell || events_ == nullptr) return;
    above_ = false;
    events_->on_upstream_writable();
  }

  void on_error(const Error&) override { fail({UpstreamFault::kConnectionTermination, {}, false}); }

  void write_rest() {
    while (!pending_.empty()) {
      io::IoResult put = stream_->write(std::string_view(pending_));
      if (put.status == io::IoStatus::kError) return fail_later();
      if (put.bytes == 0) return;
      pending_.erase(0, put.bytes);
    }
    shut_if_done();
  }

  void shut_if_done() {
    if (ended_ && pending_.empty() && stream_) stream_->shutdown_write();
  }

  // Not from inside a method of the call.
  void fail_later() {
    broken_ = true;
    started_.schedule();
  }

  void fail(const UpstreamFailure& failure) {
    if (UpstreamEvents* told = std::exchange(events_, nullptr)) told->on_upstream_failed(failure);
  }

  UpstreamEvents* events_;
  io::Task started_;
  std::unique_ptr<TcpCall> dial_;
  std::unique_ptr<io::Stream> stream_;
  UpstreamInfo info_;
  std::string pending_;
  std::size_t held_ = 0;
  bool ended_ = false;     // the client sends no more
  bool read_end_ = false;  // nor does the host
  bool above_ = false;
  bool paused_ = false;
  bool broken_ = false;
};

ConnectCall::ConnectCall(std::unique_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {}

ConnectCall::~ConnectCall() {
  pipe_->leave();
  io::Loop& loop = pipe_->loop;
  loop.dispose(std::move(pipe_));
}

std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> ConnectCall::dial(
    io::Loop& loop, Upstream& upstream, const UpstreamAsk& ask, UpstreamEvents& events) {
  auto pipe = std::make_unique<Pipe>(loop, events);
  std::expected<void, UpstreamFailure> result;
  pipe->dial(upstream, ask, result);
  if (!result) return std::unexpected(result.error());
  return std::unique_ptr<UpstreamCall>(new ConnectCall(std::move(pipe)));
}

std::unique_ptr<UpstreamCall> ConnectCall::over(io::Loop& loop, std::unique_ptr<io::Stream> stream,
                                                UpstreamInfo info, UpstreamEvents& events) {
  auto pipe = std::make_unique<Pipe>(loop, events);
  pipe->take(std::move(stream), info);
  return std::unique_ptr<UpstreamCall>(new ConnectCall(std::move(pipe)));
}

void ConnectCall::send_data(std::string_view data, bool end) { pipe_->send(data, end); }
void ConnectCall::send_trailers(const http::Headers&) { pipe_->send({}, true); }
std::size_t ConnectCall::buffered() const { return pipe_->buffered(); }
void ConnectCall::consumed(std::size_t bytes) { pipe_->consumed(bytes); }

}  // namespace mizzen::proxy
