// The runtime's ends of a container's standard streams. Internal to runtime.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/stream.h"
#include "local/runtime/container.h"

namespace mizzen::local {

// A pseudo terminal of the sandbox.
struct Terminal {
  io::UniqueFd master;
  io::UniqueFd slave;
};
Result<Terminal> open_terminal();

// Reads one pipe or terminal to its end, and writes to it.
class Container::Output final : public io::StreamHandler {
 public:
  using Take = std::function<void(std::string_view)>;
  Output(io::Loop& loop, std::unique_ptr<io::Stream> stream, Take take, std::function<void()> ended)
      : loop_(loop), stream_(std::move(stream)), take_(std::move(take)), ended_(std::move(ended)) {
    stream_->set_handler(this);
  }
  void on_readable() override { drain(); }
  void on_writable() override { flush(); }
  void on_error(const Error&) override { finish(); }
  void drain() {
    std::array<std::byte, 16384> buffer;
    while (!done_ && stream_ != nullptr) {
      auto result = stream_->read(buffer);
      if (result.status == io::IoStatus::kWouldBlock) return;
      if (result.status != io::IoStatus::kOk) return finish();
      take_({reinterpret_cast<char*>(buffer.data()), result.bytes});
    }
  }
  // Kept until the container takes it; what is more than a few megabytes ahead is dropped.
  void write(std::string_view bytes) {
    constexpr std::size_t kMaxAhead = 4 << 20;
    if (!ending_ && pending_.size() < kMaxAhead) pending_ += bytes;
    flush();
  }
  void end_writing() {
    ending_ = true;
    flush();
  }
  int fd() const { return stream_ == nullptr ? -1 : stream_->fd(); }

 private:
  void flush() {
    while (stream_ != nullptr && !pending_.empty()) {
      auto result = stream_->write(pending_);
      if (result.status == io::IoStatus::kError) return finish();
      if (result.bytes == 0) return;
      pending_.erase(0, result.bytes);
    }
    // A pipe's end; a stream may not be destroyed from within its own callback.
    if (ending_ && stream_ != nullptr) loop_.dispose(std::move(stream_));
  }
  void finish() {
    if (done_) return;
    done_ = true;
    if (ended_) ended_();
  }
  io::Loop& loop_;
  std::unique_ptr<io::Stream> stream_;
  Take take_;
  std::function<void()> ended_;
  std::string pending_;
  bool done_ = false;
  bool ending_ = false;
};

}  // namespace mizzen::local
