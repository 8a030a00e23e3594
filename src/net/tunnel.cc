#include "net/tunnel.h"

#include <algorithm>
#include <cstring>

namespace mizzen::net {
namespace {

constexpr std::size_t kHighMark = 256 * 1024;

}  // namespace

Tunnel::Tunnel(io::Loop& loop, TunnelPort* port, io::Address local, io::Address peer,
               const io::TlsInfo* tls)
    : loop_(loop), port_(port), local_(std::move(local)), peer_(std::move(peer)), tls_(tls) {}

Tunnel::~Tunnel() {
  if (port_ == nullptr) return;
  TunnelPort* port = port_;
  port_ = nullptr;
  if (!output_ended_) port->tunnel_send({}, true);
  if (!input_ended_) port->tunnel_reset();
  port->tunnel_gone();
}

void Tunnel::arrived(std::string_view bytes, bool end) {
  in_.append(bytes);
  input_ended_ = input_ended_ || end;
  notify_soon();
}

void Tunnel::writable() {
  if (!blocked_) return;
  blocked_ = false;
  wake_writer_ = true;
  notify_soon();
}

void Tunnel::broke(const Error& error) {
  port_ = nullptr;
  tls_ = nullptr;
  error_ = error;
  if (error_.message.empty()) error_.message = "the tunnel is gone";
  notify_soon();
}

void Tunnel::set_handler(io::StreamHandler* handler) {
  handler_ = handler;
  if (handler != nullptr) notify_soon();
}

io::IoResult Tunnel::nothing() {
  if (input_ended_) {
    told_end_ = true;
    return {0, io::IoStatus::kEof};
  }
  if (port_ == nullptr) {
    told_end_ = true;
    return {0, io::IoStatus::kError};
  }
  return {0, io::IoStatus::kWouldBlock};
}

io::IoResult Tunnel::peek(std::span<std::byte> buffer) {
  std::size_t size = std::min(buffer.size(), in_.size() - taken_);
  if (size == 0) return nothing();
  std::memcpy(buffer.data(), in_.data() + taken_, size);
  return {size, io::IoStatus::kOk};
}

io::IoResult Tunnel::read(std::span<std::byte> buffer) {
  io::IoResult result = peek(buffer);
  if (result.status != io::IoStatus::kOk) return result;
  taken_ += result.bytes;
  if (taken_ == in_.size() || taken_ > kHighMark) {
    in_.erase(0, taken_);
    taken_ = 0;
  }
  if (port_ != nullptr) port_->tunnel_consumed(result.bytes);
  return result;
}

io::IoResult Tunnel::write(std::span<const iovec> pieces) {
  if (port_ == nullptr || output_ended_) return {0, io::IoStatus::kError};
  if (port_->tunnel_buffered() > kHighMark) {  // as the codec counts, which tells when it fell
    blocked_ = true;
    return {0, io::IoStatus::kWouldBlock};
  }
  std::size_t total = 0;
  for (const iovec& piece : pieces) {
    port_->tunnel_send({static_cast<const char*>(piece.iov_base), piece.iov_len}, false);
    total += piece.iov_len;
  }
  return {total, io::IoStatus::kOk};
}

void Tunnel::shutdown_write() {
  if (output_ended_ || port_ == nullptr) return;
  output_ended_ = true;
  port_->tunnel_send({}, true);
}

void Tunnel::abort() {
  if (port_ != nullptr) port_->tunnel_reset();
}

void Tunnel::pause_reading(bool paused) {
  paused_ = paused;
  if (!paused) notify_soon();
}

void Tunnel::notify_soon() {
  if (scheduled_ || handler_ == nullptr) return;
  scheduled_ = true;
  loop_.defer([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) notify();
  });
}

void Tunnel::notify() {
  scheduled_ = false;
  std::weak_ptr<int> alive = alive_;
  if (wake_writer_ && handler_ != nullptr) {
    wake_writer_ = false;
    handler_->on_writable();
    if (alive.expired()) return;
  }
  if (!readable() || paused_ || handler_ == nullptr) return;
  handler_->on_readable();
  // The handler may have left something, be it the end: it hears of it in the next turn.
  if (!alive.expired() && readable() && !paused_) notify_soon();
}

bool Tunnel::readable() const {
  return taken_ < in_.size() || ((input_ended_ || port_ == nullptr) && !told_end_);
}

}  // namespace mizzen::net
