// Internal to io: TLS over another stream.
#pragma once

#include "io/stream.h"
#include "io/tls_context.h"
#include "io/tls_resumption.h"

namespace mizzen::io {

// OpenSSL shakes hands, on a server TlsResumption where a session is resumed; then TlsRecords goes
// on alone where the version is 1.3: on a server at once, on a client after the first bytes of
// data, since the tickets come before them.
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
  void end_follows() override { under_->end_follows(); }
  void shutdown_write() override;
  void abort() override { under_->abort(); }
  void pause_reading(bool paused) override;
  Address local() const override { return under_->local(); }
  Address peer() const override { return under_->peer(); }
  Result<Address> original_dst() const override { return under_->original_dst(); }
  const TlsInfo* tls() const override { return info_.get(); }
  const Error& error() const override;
  int fd() const override { return under_->fd(); }

  // For the BIO of the handshake.
  IoResult take_input(std::span<std::byte> to);
  Stream& under() { return *under_; }
  bool under_eof() const { return under_eof_; }
  // New keys for what we send, after the hand-over; `ask`: the peer is to change its own too.
  void update_keys(bool ask) { records_->update_keys(*under_, ask); }
  // Whether OpenSSL's connection object is gone and our own records carry the data.
  bool handed_over() const { return records_ != nullptr; }

 private:
  enum class State : std::uint8_t { kHandshake, kOpen, kDead };

  // From the stream underneath.
  void on_readable() override;
  void on_writable() override;
  void on_error(const Error& error) override;
  void on_hangup() override;

  bool make_ssl();
  void advance();
  bool begin_accept();
  void advance_resumption();
  void flush_resumption();
  void opened();
  Status finish_handshake();
  void dispatch();
  IoResult die(Error error);
  void die_soon(Error error);
  Error ssl_error(std::string_view what);
  Side side() const { return server_ ? Side::kDownstream : Side::kUpstream; }
  // The data path until the hand-over, and of TLS 1.2.
  IoResult read_openssl(std::span<std::byte> buffer);
  IoResult write_openssl(std::span<const iovec> pieces);
  IoStatus put(const void* bytes, std::size_t size);
  void free_ticket_buffer();
  void hand_over();
  IoResult read_records(std::span<std::byte> buffer);
  IoResult records_failed(std::string_view what);
  void try_shutdown();

  Loop& loop_;
  std::unique_ptr<Stream> under_;
  std::unique_ptr<TlsHandshake> handshake_;  // as long as ssl_
  SslPtr ssl_;
  std::unique_ptr<TlsResumption> resumption_;  // instead of ssl_
  std::unique_ptr<TlsRecords> records_;        // afterwards
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
  bool under_eof_ = false;
  bool close_sent_ = false;
  bool shutdown_wanted_ = false;
  bool shutdown_done_ = false;
};

}  // namespace mizzen::io
