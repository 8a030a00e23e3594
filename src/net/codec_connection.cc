#include "net/codec_connection.h"

#include <array>

namespace mizzen::net {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr int kReadsPerTurn = 16;  // then other connections have their turn
constexpr Duration kLinger = std::chrono::seconds(2);
thread_local std::array<std::byte, kReadSize> t_buffer;

Error closed(const char* why) { return {Code::kClosed, Side::kUpstream, false, why}; }

}  // namespace

CodecConnection::CodecConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream)
    : loop_(loop),
      stream_(std::move(stream)),
      linger_timer_(io::Timer::of<&CodecConnection::on_linger_timeout>(loop, this)),
      kick_(io::Task::of<&CodecConnection::pump>(loop, this)) {}

CodecConnection::~CodecConnection() { stream_->set_handler(nullptr); }

void CodecConnection::start() { stream_->set_handler(this); }

void CodecConnection::kick() {
  // Inside of an event the pump comes by itself, once the codec has returned.
  if (!in_codec_ && !dead_) kick_.schedule();
}

void CodecConnection::flush() {
  if (!in_codec_ && !dead_ && !lingering_ && codec_ != nullptr) write_output();
}

void CodecConnection::close(const Error& why) {
  if (dead_) return;
  dead_ = true;
  stream_->set_handler(nullptr);
  if (codec_ != nullptr) {
    in_codec_ = true;
    codec_->connection_lost();  // tells the open streams
    in_codec_ = false;
  }
  on_dead(why);
}

void CodecConnection::on_readable() {
  if (lingering_) return linger();
  for (int i = 0; i < kReadsPerTurn && !dead_ && !failing_; ++i) {
    if (codec_ != nullptr && !codec_->wants_input()) break;
    io::IoResult got = stream_->read(t_buffer);
    if (got.status == io::IoStatus::kWouldBlock) break;
    if (got.status == io::IoStatus::kError) return close(stream_->error());
    if (got.status == io::IoStatus::kEof) {
      if (codec_ == nullptr) return close(closed("closed before a request"));
      input_ended_ = true;
      in_codec_ = true;
      codec_->end_of_input();
      in_codec_ = false;
      break;
    }
    take({reinterpret_cast<const char*>(t_buffer.data()), got.bytes});
  }
  pump();
}

void CodecConnection::take(std::string_view bytes) {
  if (codec_ == nullptr) {
    first_bytes_.append(bytes);
    on_first_bytes(first_bytes_);
    if (codec_ == nullptr) return;
  }
  std::string kept = std::move(first_bytes_);
  first_bytes_.clear();
  in_codec_ = true;
  Status status = codec_->feed(kept.empty() ? bytes : std::string_view(kept));
  in_codec_ = false;
  if (!status) failing_ = true;
}

void CodecConnection::pump() {
  kick_.cancel();
  if (dead_ || codec_ == nullptr || lingering_) return;
  if (!failing_ && !input_ended_ && codec_->wants_input()) take({});
  write_output();
  if (!dead_) settle();
}

void CodecConnection::write_output() {
  std::array<iovec, 16> pieces;
  while (!dead_) {
    std::size_t count = codec_->output(pieces);
    if (count == 0) return;
    io::IoResult put = stream_->write(std::span(pieces.data(), count));
    if (put.status == io::IoStatus::kError) return close(stream_->error());
    if (put.bytes == 0) return;  // on_writable follows
    in_codec_ = true;
    codec_->drained(put.bytes);
    in_codec_ = false;
  }
}

// Closing a socket with bytes unread resets it, and the reset overtakes our last answer: the peer's
// end is waited for, within a bound.
void CodecConnection::linger() {
  const char* why = failing_ ? "the peer broke the protocol" : "closed";
  if (!lingering_) {
    lingering_ = true;
    if (!lingers() || input_ended_ || hangup_) return close(closed(why));
    linger_timer_.arm(kLinger);
    stream_->pause_reading(false);
  }
  for (int i = 0; i < kReadsPerTurn; ++i) {
    io::IoResult got = stream_->read(t_buffer);
    if (got.status == io::IoStatus::kWouldBlock) return;
    if (got.status != io::IoStatus::kOk) return close(closed(why));
  }
}

void CodecConnection::on_linger_timeout() {
  close(closed(failing_ ? "the peer broke the protocol" : "closed"));
}

// What the connection should do next, seen from where it stands now.
void CodecConnection::settle() {
  std::array<iovec, 1> piece;
  bool silent = codec_->output(piece) == 0;
  if (silent && (failing_ || codec_->finished())) {
    stream_->shutdown_write();
    return linger();
  }
  bool pause = !codec_->wants_input() || failing_ || input_ended_;
  if (pause != paused_) {
    paused_ = pause;
    stream_->pause_reading(pause);
  }
  on_pumped();
}

}  // namespace mizzen::net
