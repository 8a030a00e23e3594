// Internal to io: TLS over another stream.
#pragma once

#include "io/stream.h"
#include "io/tls_context.h"

namespace mizzen::io {

class TlsStream final : public Stream, private StreamHandler {
 public:
  TlsStream(Loop& loop, std::unique_ptr<Stream> under, TlsContextRef context);
  ~TlsStream() override;

  void accept();
  void connect(TlsClientTarget target);

  void set_handler(StreamHandler* handler) override;
  IoResult read(std::span<std::byte> buffer) override;
  bool drained() const override { return state_ == State::kOpen && !readable_ && !eof_; }
  IoResult peek(std::span<std::byte>) override { return {0, IoStatus::kError}; }
  IoResult write(std::span<const iovec> pieces) override;
  void shutdown_write() override;
  void abort() override { under_->abort(); }
  void pause_reading(bool paused) override;
  Address local() const override { return under_->local(); }
  Address peer() const override { return under_->peer(); }
  Result<Address> original_dst() const override { return under_->original_dst(); }
  const TlsInfo* tls() const override { return info_.get(); }
  const Error& error() const override;
  int fd() const override { return under_->fd(); }

  Stream& under() { return *under_; }
  bool under_eof = false;  // told by the BIO

 private:
  enum class State : std::uint8_t { kHandshake, kOpen, kDead };

  // From the stream underneath.
  void on_readable() override;
  void on_writable() override;
  void on_error(const Error& error) override;
  void on_hangup() override;

  bool make_ssl();
  void advance();
  Status finish_handshake();
  void dispatch();
  IoResult die(Error error);
  void die_soon(Error error);
  Error ssl_error(std::string_view what);
  Side side() const { return server_ ? Side::kDownstream : Side::kUpstream; }
  IoStatus put(const void* bytes, std::size_t size);
  void try_shutdown();
  void free_ticket_buffer();

  Loop& loop_;
  std::unique_ptr<Stream> under_;
  TlsHandshake handshake_;
  SslPtr ssl_;
  std::unique_ptr<TlsInfo> info_;
  std::unique_ptr<Error> error_;
  StreamHandler* handler_ = nullptr;
  Task notify_;
  std::size_t pending_write_ = 0;  // bytes that OpenSSL has encrypted and not been rid of
  State state_ = State::kHandshake;
  bool server_;
  bool readable_ = false;
  bool paused_ = false;
  bool wants_write_ = false;
  bool open_told_ = false;
  bool error_told_ = false;
  bool eof_ = false;
  bool shutdown_wanted_ = false;
  bool shutdown_done_ = false;
};

}  // namespace mizzen::io
