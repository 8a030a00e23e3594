// A byte stream over one HTTP exchange that was upgraded (RFC 9110 7.8) or
// CONNECTed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/stream.h"

namespace mizzen::net {

class Tunnel;

// The exchange below a tunnel. Outlives it or tells by Tunnel::detach().
class TunnelPort {
 public:
  virtual void tunnel_send(std::string_view bytes, bool end) = 0;
  virtual void tunnel_consumed(std::size_t bytes) = 0;
  virtual std::size_t tunnel_buffered() const = 0;
  virtual void tunnel_reset() = 0;
  // The tunnel is destroyed; forget it.
  virtual void tunnel_gone() = 0;

 protected:
  ~TunnelPort() = default;
};

class Tunnel final : public io::Stream {
 public:
  // `tls`: of the connection below, which outlives the tunnel; may be null.
  Tunnel(io::Loop& loop, TunnelPort* port, io::Address local, io::Address peer,
         const io::TlsInfo* tls = nullptr);
  ~Tunnel() override;

  // From the port.
  void arrived(std::string_view bytes, bool end);
  void writable();
  void broke(const Error& error);  // the port is gone afterwards

  void set_handler(io::StreamHandler* handler) override;
  io::IoResult read(std::span<std::byte> buffer) override;
  io::IoResult peek(std::span<std::byte> buffer) override;
  io::IoResult write(std::span<const iovec> pieces) override;
  void shutdown_write() override;
  void abort() override;
  void pause_reading(bool paused) override;
  io::Address local() const override { return local_; }
  io::Address peer() const override { return peer_; }
  const Error& error() const override { return error_; }
  const io::TlsInfo* tls() const override { return tls_; }

 private:
  void notify_soon();
  void notify();
  bool readable() const;  // bytes, or an end that was not told yet
  io::IoResult nothing();

  io::Loop& loop_;
  TunnelPort* port_;
  io::Address local_;
  io::Address peer_;
  const io::TlsInfo* tls_;
  io::StreamHandler* handler_ = nullptr;
  std::string in_;
  std::size_t taken_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  Error error_;
  bool input_ended_ = false;
  bool output_ended_ = false;
  bool told_end_ = false;  // read() has answered kEof or kError
  bool blocked_ = false;
  bool wake_writer_ = false;
  bool paused_ = false;
  bool scheduled_ = false;
};

}  // namespace mizzen::net
