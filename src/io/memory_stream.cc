#include "io/memory_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

namespace mizzen::io {
namespace {

// One direction's bytes in flight.
struct Pipe {
  std::string bytes;
  std::size_t passed = 0;
  bool ended = false;
};

struct Shared {
  MemoryOptions options;
  std::mt19937_64 random;
  std::array<Pipe, 2> pipes;  // pipes[i]: written by end i
  std::array<class MemoryStream*, 2> ends{};
  bool reset = false;
};

class MemoryStream final : public Stream {
 public:
  MemoryStream(Loop& loop, std::shared_ptr<Shared> shared, unsigned side)
      : shared_(std::move(shared)),
        side_(side),
        notify_(Task::of<&MemoryStream::dispatch>(loop, this)) {
    shared_->ends[side_] = this;
  }
  ~MemoryStream() override {
    shared_->ends[side_] = nullptr;
    out().ended = true;
    if (aborted_ || !in().bytes.empty()) shared_->reset = true;
    wake_other();
  }

  void set_handler(StreamHandler* handler) override {
    handler_ = handler;
    peeked_ = 0;
    eof_peeked_ = false;
    if (handler != nullptr) notify_.schedule();
  }

  IoResult read(std::span<std::byte> buffer) override {
    peeked_ = 0;
    eof_peeked_ = false;
    if (shared_->reset) return broken();
    if (blocks()) return {0, IoStatus::kWouldBlock};
    Pipe& pipe = in();
    if (pipe.bytes.empty()) {
      drained_ = true;
      if (pipe.ended) eof_read_ = true;
      return {0, pipe.ended ? IoStatus::kEof : IoStatus::kWouldBlock};
    }
    std::size_t count = std::min({buffer.size(), pipe.bytes.size(), draw(faults().max_read)});
    std::memcpy(buffer.data(), pipe.bytes.data(), count);
    pipe.bytes.erase(0, count);
    wake_other();
    return {count, IoStatus::kOk};
  }

  bool drained() const override {
    const Pipe& pipe = shared_->pipes[1 - side_];
    return pipe.bytes.empty() && !pipe.ended && !shared_->reset;
  }

  IoResult peek(std::span<std::byte> buffer) override {
    if (shared_->reset) return broken();
    Pipe& pipe = in();
    if (pipe.bytes.empty()) return {0, pipe.ended ? IoStatus::kEof : IoStatus::kWouldBlock};
    std::size_t count = std::min(buffer.size(), pipe.bytes.size());
    std::memcpy(buffer.data(), pipe.bytes.data(), count);
    peeked_ = pipe.bytes.size();
    bool last = eof_peeked_ = pipe.ended && count == pipe.bytes.size();
    return {count, last ? IoStatus::kEof : IoStatus::kOk};
  }

  IoResult write(std::span<const iovec> pieces) override {
    if (shared_->reset || out().ended || shared_->ends[1 - side_] == nullptr) return broken();
    std::size_t offered = 0;
    for (const iovec& piece : pieces) offered += piece.iov_len;
    std::size_t room = shared_->options.capacity - out().bytes.size();
    std::size_t count = std::min({offered, room, draw(faults().max_write)});
    if (blocks()) count = 0;
    wants_write_ = count < offered;
    if (wants_write_ && room > 0) notify_.schedule();
    if (count == 0) return {0, offered == 0 ? IoStatus::kOk : IoStatus::kWouldBlock};
    std::size_t left = count;
    for (const iovec& piece : pieces) {
      std::size_t part = std::min(left, piece.iov_len);
      out().bytes.append(static_cast<const char*>(piece.iov_base), part);
      left -= part;
    }
    out().passed += count;
    if (faults().reset_after != 0 && out().passed >= faults().reset_after) {
      shared_->reset = true;
      notify_.schedule();
    }
    wake_other();
    return {count, IoStatus::kOk};
  }

  void shutdown_write() override {
    out().ended = true;
    wake_other();
  }
  void abort() override { aborted_ = true; }
  void pause_reading(bool paused) override {
    paused_ = paused;
    notify_.schedule();
  }
  Address local() const override { return side_ == 0 ? shared_->options.a : shared_->options.b; }
  Address peer() const override { return side_ == 0 ? shared_->options.b : shared_->options.a; }
  const Error& error() const override { return error_; }

 private:
  Pipe& in() { return shared_->pipes[1 - side_]; }
  Pipe& out() { return shared_->pipes[side_]; }
  const MemoryFaults& faults() const { return shared_->options.faults; }
  std::size_t draw(std::size_t most) {
    if (faults().seed == 0 || most == 0) return most == 0 ? SIZE_MAX : most;
    return shared_->random() % most + 1;
  }
  bool blocks() {
    if (faults().seed == 0 || shared_->random() % 100 >= faults().block_percent) return false;
    notify_.schedule();
    return true;
  }
  void wake_other() {
    if (MemoryStream* other = shared_->ends[1 - side_]) other->notify_.schedule();
  }
  IoResult broken() {
    told_ = true;
    return {0, IoStatus::kError};
  }

  void dispatch() {
    if (handler_ != nullptr && shared_->reset && paused_) {
      if (!told_) {
        told_ = true;
        handler_->on_error(error_);
      }
      return;
    }
    bool room = out().bytes.size() < shared_->options.capacity || shared_->reset;
    if (handler_ != nullptr && wants_write_ && room) {
      wants_write_ = false;
      handler_->on_writable();
    }
    if (handler_ != nullptr && !paused_ && something()) {
      drained_ = false;
      handler_->on_readable();
      if (!drained_ && !paused_ && something()) notify_.schedule();
    }
    if (handler_ != nullptr && paused_ && in().ended && !hangup_told_) {
      hangup_told_ = true;
      handler_->on_hangup();
    }
  }

  bool something() {
    if (shared_->reset) return !told_;
    if (in().bytes.size() > peeked_) return true;
    return in().ended && !eof_read_ && !eof_peeked_;
  }

  std::shared_ptr<Shared> shared_;
  unsigned side_;
  Task notify_;
  StreamHandler* handler_ = nullptr;
  Error error_{Code::kReset, Side::kInternal, false, "connection reset (in memory)"};
  std::size_t peeked_ = 0;
  bool drained_ = false;
  bool paused_ = false;
  bool aborted_ = false;
  bool wants_write_ = false;
  bool eof_read_ = false;
  bool eof_peeked_ = false;  // told together with the bytes before it
  bool told_ = false;
  bool hangup_told_ = false;
};

}  // namespace

std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> memory_pair(
    Loop& loop, const MemoryOptions& options) {
  auto shared = std::make_shared<Shared>();
  shared->options = options;
  shared->random.seed(options.faults.seed);
  auto a = std::make_unique<MemoryStream>(loop, shared, 0);
  auto b = std::make_unique<MemoryStream>(loop, shared, 1);
  return {std::move(a), std::move(b)};
}

}  // namespace mizzen::io
