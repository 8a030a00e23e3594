#include "local/apiserver/upgraded.h"

#include <array>
#include <atomic>

namespace mizzen::local {

namespace ws = http::websocket;

namespace {
constexpr std::size_t kMaxMessage = 4 << 20;
constexpr auto kLinger = std::chrono::seconds(5);
constexpr std::size_t kPiece = 32 * 1024;
std::atomic<std::size_t> g_open = 0;
}  // namespace

std::shared_ptr<Upgraded> Upgraded::make(io::Loop& loop, std::unique_ptr<io::Stream> stream,
                                         bool websocket) {
  return std::shared_ptr<Upgraded>(new Upgraded(loop, std::move(stream), websocket));
}

Upgraded::Upgraded(io::Loop& loop, std::unique_ptr<io::Stream> stream, bool websocket)
    : loop_(loop),
      stream_(std::move(stream)),
      websocket_(websocket),
      reader_(ws::Role::kServer, kMaxMessage) {}

void Upgraded::start(UpgradedEvents events) {
  events_ = std::move(events);
  self_ = shared_from_this();
  ++g_open;
  stream_->set_handler(this);
}

void Upgraded::send(std::string_view bytes) {
  if (closing_ || closed_) return;
  if (websocket_)
    ws::append_frame(output_, ws::Role::kServer, ws::Opcode::kBinary, bytes);
  else
    output_ += bytes;
  flush();
}

void Upgraded::pause(bool paused) {
  if (!closed_) stream_->pause_reading(paused);
}

void Upgraded::close() {
  if (closing_ || closed_) return;
  if (websocket_) ws::append_close(output_, ws::Role::kServer, 1000, "");
  closing_ = true;
  flush();
}

std::size_t Upgraded::open() { return g_open; }

void Upgraded::on_readable() {
  std::array<std::byte, kPiece> buffer;
  while (!closed_) {
    const io::IoResult result = stream_->read(buffer);
    if (result.status == io::IoStatus::kWouldBlock) return;
    if (result.status != io::IoStatus::kOk) return finish();
    if (!closing_) take({reinterpret_cast<const char*>(buffer.data()), result.bytes});
  }
}

void Upgraded::take(std::string_view bytes) {
  if (!websocket_) {
    if (events_.message) events_.message(bytes);
    return;
  }
  const Status fed = reader_.feed(bytes, [this](ws::Opcode opcode, std::string_view payload) {
    if (closing_ || closed_) return;
    if (opcode == ws::Opcode::kPing) {
      ws::append_frame(output_, ws::Role::kServer, ws::Opcode::kPong, payload);
      flush();
    } else if (opcode == ws::Opcode::kClose) {
      auto told = std::move(events_.closed);
      close();
      if (told) told();
    } else if (opcode != ws::Opcode::kPong && events_.message) {
      events_.message(payload);
    }
  });
  if (!fed) {
    ws::append_close(output_, ws::Role::kServer, reader_.close_code(), fed.error().message);
    auto told = std::move(events_.closed);
    closing_ = true;
    flush();
    if (told) told();
  }
}

void Upgraded::flush() {
  if (closed_) return;
  const bool had = !output_.empty();
  while (!output_.empty()) {
    const io::IoResult result = stream_->write(output_);
    if (result.status == io::IoStatus::kError) return finish();
    if (result.bytes == 0) break;
    output_.erase(0, result.bytes);
    if (result.status == io::IoStatus::kWouldBlock) break;
  }
  if (!output_.empty()) return;
  if (closing_) {
    if (lingering_) return;
    // Closing with bytes unread would send a reset, which may overtake what we have sent.
    lingering_ = true;
    stream_->shutdown_write();
    stream_->pause_reading(false);
    loop_.after(kLinger, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->finish();
    });
    return;
  }
  if (had && events_.drained) events_.drained();
}

void Upgraded::finish() {
  if (closed_) return;
  closed_ = true;
  stream_->set_handler(nullptr);
  loop_.dispose(std::move(stream_));
  // The callbacks may hold the last reference to whoever called us: both go at the end of the turn.
  loop_.defer([self = std::move(self_)] {
    if (!self) return;
    auto told = std::move(self->events_.closed);
    if (told && !self->closing_) told();
    self->events_ = {};
    --g_open;
  });
}

}  // namespace mizzen::local
