#include "io/tls_stream.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"

namespace mizzen::io {
namespace {

constexpr std::size_t kRecord = 16 * 1024;

int bio_read(BIO* bio, char* to, int size) {
  auto* stream = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  IoResult got =
      stream->take_input({reinterpret_cast<std::byte*>(to), static_cast<std::size_t>(size)});
  switch (got.status) {
    case IoStatus::kOk:
      return static_cast<int>(got.bytes);
    case IoStatus::kWouldBlock:
      BIO_set_retry_read(bio);
      return -1;
    case IoStatus::kEof:
      return 0;
    case IoStatus::kError:
      return -1;
  }
  return -1;
}

int bio_write(BIO* bio, const char* from, int size) {
  auto* stream = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  IoResult put = stream->under().write(std::string_view(from, static_cast<std::size_t>(size)));
  if (put.status == IoStatus::kOk) return static_cast<int>(put.bytes);
  if (put.status == IoStatus::kWouldBlock) BIO_set_retry_write(bio);
  return -1;
}

long bio_ctrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF)
    return static_cast<TlsStream*>(BIO_get_data(bio))->under_eof() ? 1 : 0;
  return 0;
}

BIO_METHOD* bio_method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mizzen stream");
    BIO_meth_set_read(method, &bio_read);
    BIO_meth_set_write(method, &bio_write);
    BIO_meth_set_ctrl(method, &bio_ctrl);
    return method;
  }();
  return kMethod;
}

bool is_ip(const std::string& host) { return Address::parse_ip(host, 0).has_value(); }

}  // namespace

std::unique_ptr<Stream> tls_server(Loop& loop, std::unique_ptr<Stream> stream,
                                   TlsContextRef context) {
  auto tls = std::make_unique<TlsStream>(loop, std::move(stream), std::move(context));
  tls->accept();
  return tls;
}

std::unique_ptr<Stream> tls_client(Loop& loop, std::unique_ptr<Stream> stream,
                                   TlsContextRef context, TlsClientTarget target) {
  auto tls = std::make_unique<TlsStream>(loop, std::move(stream), std::move(context));
  tls->connect(std::move(target));
  return tls;
}

TlsStream::TlsStream(Loop& loop, std::unique_ptr<Stream> under, TlsContextRef context)
    : loop_(loop),
      under_(std::move(under)),
      handshake_(std::make_unique<TlsHandshake>()),
      notify_(Task::of<&TlsStream::dispatch>(loop, this)),
      server_(context->server) {
  handshake_->context = std::move(context);
}

TlsStream::~TlsStream() {
  under_->set_handler(nullptr);
  if (records_ && state_ == State::kOpen && !close_sent_ &&
      records_->flush(*under_) == IoStatus::kOk) {
    records_->close(*under_);
  }
  if (!ssl_) return;
  if (state_ == State::kOpen && !shutdown_done_ && pending_write_ == 0) SSL_shutdown(ssl_.get());
  // Otherwise SSL_free() would mark the session as not resumable.
  if (state_ == State::kOpen)
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ERR_clear_error();
  ssl_.reset();  // before the stream that its BIO uses
}

bool TlsStream::make_ssl() {
  ssl_.reset(SSL_new(handshake_->context->ctx.get()));
  BIO* bio = ssl_ ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr) {
    die_soon({Code::kInternal, Side::kInternal, false, "TLS: out of memory"});
    return false;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), handshake_.get());
  note_records(ssl_.get(), *handshake_);
  return true;
}

void TlsStream::accept() { under_->set_handler(this); }

// Chooses who answers; false while the ClientHello is not there.
bool TlsStream::begin_accept() {
  std::string& input = handshake_->input;
  while (!TlsResumption::has_hello(input)) {
    std::array<std::byte, kRecord> bytes;
    const IoResult got = under_->read(bytes);
    if (got.status == IoStatus::kWouldBlock) return false;
    if (got.status != IoStatus::kOk) break;  // OpenSSL will say so
    input.append(reinterpret_cast<const char*>(bytes.data()), got.bytes);
  }
  resumption_ = TlsResumption::begin(*handshake_->context, input, loop_.wall());
  if (resumption_) return true;
  if (!make_ssl()) return false;
  SSL_set_accept_state(ssl_.get());
  return true;
}

void TlsStream::flush_resumption() {
  std::string& output = resumption_->output();
  if (output.empty()) return;
  output.erase(0, under_->write(output).bytes);
}

void TlsStream::advance_resumption() {
  flush_resumption();
  std::string& input = handshake_->input;
  TlsResumption::Step step = resumption_->take(input);
  while (step == TlsResumption::Step::kMore) {
    std::array<std::byte, kRecord> bytes;
    const IoResult got = under_->read(bytes);
    if (got.status == IoStatus::kWouldBlock) return;
    if (got.status == IoStatus::kEof) under_eof_ = true;
    if (got.status != IoStatus::kOk) {
      die(ssl_error("TLS handshake"));
      return;
    }
    input.append(reinterpret_cast<const char*>(bytes.data()), got.bytes);
    step = resumption_->take(input);
  }
  flush_resumption();
  if (step == TlsResumption::Step::kFailed) {
    die({Code::kProtocol, side(), false, "TLS handshake: " + std::string(resumption_->fault())});
    return;
  }
  if (!resumption_->output().empty()) return;  // the ticket
  info_ = resumption_->info();
  records_ = std::make_unique<TlsRecords>(resumption_->secrets(), std::move(input));
  resumption_.reset();
  handshake_.reset();
  opened();
}

void TlsStream::opened() {
  state_ = State::kOpen;
  readable_ = true;  // what came with the last flight
  under_->pause_reading(paused_);
  if (shutdown_wanted_) try_shutdown();
}

void TlsStream::connect(TlsClientTarget target) {
  if (!make_ssl()) return;
  under_->set_handler(this);
  SSL* ssl = ssl_.get();
  const TlsContext& context = *handshake_->context;
  SSL_set_connect_state(ssl);
  std::string host = target.host.empty() ? target.sni : target.host;
  if (!target.sni.empty() && !is_ip(target.sni)) SSL_set_tlsext_host_name(ssl, target.sni.c_str());
  if (context.verify_host) {
    bool set = is_ip(host) ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1
                           : !host.empty() && SSL_set1_host(ssl, host.c_str()) == 1;
    if (!set) {
      return die_soon({Code::kInvalid, Side::kInternal, false, "TLS: no host name to verify"});
    }
  }
  std::string alpn = target.alpn.empty() ? context.alpn_wire : alpn_to_wire(target.alpn);
  if (!alpn.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()),
                        static_cast<unsigned>(alpn.size()));
  }
  if (context.sessions) {
    // What was agreed with other protocols or another name is not resumed.
    handshake_->session_key =
        (target.session_key.empty() ? target.sni : target.session_key) + '\0' + host + '\0' + alpn;
    if (SessionPtr session = context.sessions->find(handshake_->session_key)) {
      SSL_set_session(ssl, session.get());
    }
  }
  notify_.schedule();
}

void TlsStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  if (handler == nullptr) return;
  notify_.schedule();
}

void TlsStream::on_readable() {
  readable_ = true;
  dispatch();
}

void TlsStream::on_writable() {
  if (records_) records_->flush(*under_);
  if (state_ == State::kOpen && shutdown_wanted_ && pending_write_ > 0) put(nullptr, 0);
  try_shutdown();
  dispatch();
}

void TlsStream::on_hangup() {
  if (handler_ != nullptr && paused_) handler_->on_hangup();
}

void TlsStream::on_error(const Error& error) {
  if (state_ == State::kDead) return;
  die(error);
  dispatch();
}

void TlsStream::dispatch() {
  if (state_ == State::kHandshake) advance();
  if (handler_ != nullptr && state_ == State::kDead) {
    if (!error_told_) {
      error_told_ = true;
      handler_->on_error(*error_);
    }
    return;
  }
  if (handler_ != nullptr && state_ == State::kOpen && !open_told_) {
    open_told_ = true;
    handler_->on_open();
  }
  if (handler_ != nullptr && state_ == State::kOpen && wants_write_) {
    wants_write_ = false;
    handler_->on_writable();
  }
  if (handler_ != nullptr && state_ == State::kOpen && readable_ && !paused_ && !eof_) {
    handler_->on_readable();
    if (handler_ != nullptr && readable_ && !paused_ && !eof_) notify_.schedule();
  }
}

void TlsStream::advance() {
  if (resumption_) return advance_resumption();
  if (!ssl_) {
    if (!begin_accept()) return;
    if (resumption_) return advance_resumption();
  }
  ERR_clear_error();
  int status = SSL_do_handshake(ssl_.get());
  if (status == 1) {
    if (auto finished = finish_handshake(); !finished) {
      die(std::move(finished.error()));
      return;
    }
    if (server_) hand_over();
    return opened();
  }
  int why = SSL_get_error(ssl_.get(), status);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return;
  Error error = handshake_->was_refused ? handshake_->refused : ssl_error("TLS handshake");
  if (handshake_->was_refused) error.side = side();
  die(std::move(error));
}

Status TlsStream::finish_handshake() {
  SSL* ssl = ssl_.get();
  auto info = std::make_unique<TlsInfo>();
  const unsigned char* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  info->alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) info->sni = lower(sni);
  info->version = SSL_get_version(ssl);
  info->cipher = SSL_get_cipher_name(ssl);
  info->resumed = SSL_session_reused(ssl) == 1;
  info->local = handshake_->local ? handshake_->local : handshake_->context->local;
  if (server_ && info->resumed) {
    info->peer = handshake_->resumed_peer;
  } else if (X509* peer = SSL_get0_peer_certificate(ssl); peer != nullptr && handshake_->peer) {
    info->peer = handshake_->peer;
  } else if (peer != nullptr) {
    info->peer = handshake_->context->certificates.get(peer).certificate;
  }
  // A resumed session was not verified again.
  if (info->resumed && info->peer) {
    if (!handshake_->context->any_chain && info->peer->not_after < loop_.wall()) {
      return fail(Code::kDenied, "certificate has expired since the session began", side());
    }
    if (auto status = handshake_->context->judge(*info->peer); !status) {
      status.error().side = side();
      return status;
    }
  }
  info_ = std::move(info);
  return {};
}

Error TlsStream::ssl_error(std::string_view what) {
  Code code = Code::kProtocol;
  std::string text;
  unsigned long last = ERR_peek_error();
  if (last != 0) {
    const char* reason = ERR_reason_error_string(last);
    text = reason != nullptr ? reason : "unknown failure";
  } else if (under_eof_) {
    code = Code::kClosed;
    text = "the peer closed the connection";
  } else {
    code = under_->error().code;
    text = under_->error().message;
  }
  ERR_clear_error();
  return {code, side(), false, std::string(what) + ": " + text};
}

IoResult TlsStream::die(Error error) {
  if (state_ != State::kDead) {
    state_ = State::kDead;
    error_ = std::make_unique<Error>(std::move(error));
  }
  return {0, IoStatus::kError};
}

void TlsStream::die_soon(Error error) {
  die(std::move(error));
  notify_.schedule();
}

const Error& TlsStream::error() const { return error_ ? *error_ : under_->error(); }

IoResult TlsStream::read(std::span<std::byte> buffer) {
  if (state_ == State::kDead) {
    error_told_ = true;
    return {0, IoStatus::kError};
  }
  if (state_ == State::kHandshake || !readable_) return {0, IoStatus::kWouldBlock};
  if (eof_) return {0, IoStatus::kEof};
  return records_ ? read_records(buffer) : read_openssl(buffer);
}

IoResult TlsStream::read_records(std::span<std::byte> buffer) {
  const IoResult got = records_->read(*under_, buffer);
  switch (got.status) {
    case IoStatus::kOk:
      // Spares its user another turn only to hear that there is nothing.
      if (got.bytes < buffer.size() && under_->drained() && !records_->has_input()) {
        readable_ = false;
      }
      return got;
    case IoStatus::kWouldBlock:
      readable_ = false;
      return got;
    case IoStatus::kEof:
      eof_ = true;
      return got;
    case IoStatus::kError:
      break;
  }
  return records_failed("TLS read");
}

IoResult TlsStream::records_failed(std::string_view what) {
  error_told_ = true;
  if (records_->fault().empty()) return die(under_->error());
  return die(
      {Code::kProtocol, side(), false, std::string(what) + ": " + std::string(records_->fault())});
}

// What OpenSSL wants next of what has come.
IoResult TlsStream::take_input(std::span<std::byte> to) {
  std::string& kept = handshake_->input;
  if (kept.empty()) {
    std::array<std::byte, 16 * 1024> bytes;
    const IoResult got = under_->read(bytes);
    if (got.status == IoStatus::kEof) under_eof_ = true;
    if (got.status != IoStatus::kOk) return got;
    kept.assign(reinterpret_cast<const char*>(bytes.data()), got.bytes);
  }
  const std::size_t size = std::min(to.size(), kept.size());
  std::memcpy(to.data(), kept.data(), size);
  kept.erase(0, size);
  if (kept.empty()) std::string().swap(kept);
  return {size, IoStatus::kOk};
}

// From OpenSSL to our own records, between two records of TLS 1.3.
void TlsStream::hand_over() {
  TlsSecrets& secrets = handshake_->secrets;
  SSL* ssl = ssl_.get();
  const SSL_CIPHER* suite = SSL_get_current_cipher(ssl);
  if (SSL_version(ssl) != TLS1_3_VERSION || suite == nullptr || handshake_->keys_changed) return;
  if (secrets.read.size == 0 || secrets.write.size == 0 || pending_write_ > 0) return;
  if (SSL_has_pending(ssl) != 0 || std::string_view(SSL_rstate_string(ssl)) != "RH") return;
  secrets.cipher = record_cipher(SSL_CIPHER_get_protocol_id(suite));
  if (secrets.cipher == RecordCipher::kNone) return;
  records_ = std::make_unique<TlsRecords>(secrets, std::move(handshake_->input));
  OPENSSL_cleanse(&secrets, sizeof secrets);
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // the session stays resumable
  ssl_.reset();
  handshake_.reset();
}

IoResult TlsStream::read_openssl(std::span<std::byte> buffer) {
  ERR_clear_error();
  std::size_t got = 0;
  if (SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &got) == 1) {
    const bool all = SSL_has_pending(ssl_.get()) == 0 && handshake_->input.empty();
    if (got < buffer.size() && under_->drained() && all) {
      readable_ = false;
      free_ticket_buffer();
    }
    hand_over();
    return {got, IoStatus::kOk};
  }
  switch (SSL_get_error(ssl_.get(), 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      readable_ = false;
      free_ticket_buffer();
      return {0, IoStatus::kWouldBlock};
    case SSL_ERROR_ZERO_RETURN:
      eof_ = true;
      return {0, IoStatus::kEof};
    default:
      error_told_ = true;
      return die(ssl_error("TLS read"));
  }
}

// OpenSSL makes ready to write when a ticket comes, and keeps that buffer until the first write. It
// may go only between records: the test for unread bytes in SSL_free_buffers() does not see a
// header that was taken already.
void TlsStream::free_ticket_buffer() {
  if (!handshake_->ticket_came || pending_write_ > 0) return;
  if (std::string_view(SSL_rstate_string(ssl_.get())) != "RH") return;
  handshake_->ticket_came = false;
  SSL_free_buffers(ssl_.get());
}

// One record at most. Counts as pending until OpenSSL has passed it on.
IoStatus TlsStream::put(const void* bytes, std::size_t size) {
  static const std::array<std::byte, 1> kUnread{};  // OpenSSL has these bytes already
  ERR_clear_error();
  std::size_t written = 0;
  bool again = pending_write_ > 0;
  if (SSL_write_ex(ssl_.get(), again ? kUnread.data() : bytes, again ? pending_write_ : size,
                   &written) == 1) {
    pending_write_ = 0;
    return IoStatus::kOk;
  }
  int why = SSL_get_error(ssl_.get(), 0);
  if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) {
    if (!again) pending_write_ = size;
    return IoStatus::kWouldBlock;
  }
  error_told_ = true;
  die(ssl_error("TLS write"));
  return IoStatus::kError;
}

IoResult TlsStream::write(std::span<const iovec> pieces) {
  if (state_ == State::kDead || shutdown_wanted_) {
    error_told_ |= state_ == State::kDead;
    return {0, IoStatus::kError};
  }
  if (state_ == State::kHandshake) {
    wants_write_ = true;
    return {0, IoStatus::kWouldBlock};
  }
  if (!records_) return write_openssl(pieces);
  std::size_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  const IoResult put = records_->write(*under_, pieces);
  if (put.status == IoStatus::kError) return records_failed("TLS write");
  wants_write_ = put.bytes < total;
  return put;
}

IoResult TlsStream::write_openssl(std::span<const iovec> pieces) {
  std::size_t taken = 0;
  std::size_t skip = pending_write_;
  if (pending_write_ > 0) {
    IoStatus status = put(nullptr, 0);
    if (status != IoStatus::kOk) {
      wants_write_ = status == IoStatus::kWouldBlock;
      return {0, status};
    }
    taken = skip;
  }
  static thread_local std::array<char, kRecord> record;
  std::size_t piece = 0;
  std::size_t offset = 0;
  auto step = [&](std::size_t bytes) {
    offset += bytes;
    while (piece < pieces.size() && offset >= pieces[piece].iov_len) {
      offset -= pieces[piece].iov_len;
      ++piece;
    }
  };
  step(skip);
  while (piece < pieces.size()) {
    const char* from = static_cast<const char*>(pieces[piece].iov_base) + offset;
    std::size_t size = std::min(pieces[piece].iov_len - offset, kRecord);
    std::size_t next = piece + 1;
    if (size < kRecord && next < pieces.size()) {  // small pieces share a record
      std::memcpy(record.data(), from, size);
      for (; next < pieces.size() && size < kRecord; ++next) {
        std::size_t part = std::min(pieces[next].iov_len, kRecord - size);
        std::memcpy(record.data() + size, pieces[next].iov_base, part);
        size += part;
      }
      from = record.data();
    }
    IoStatus status = put(from, size);
    if (status == IoStatus::kError) return {0, status};
    if (status == IoStatus::kWouldBlock) {
      wants_write_ = true;
      return {taken, taken > 0 ? IoStatus::kOk : IoStatus::kWouldBlock};
    }
    taken += size;
    step(size);
  }
  return {taken, IoStatus::kOk};
}

void TlsStream::shutdown_write() {
  shutdown_wanted_ = true;
  try_shutdown();
}

void TlsStream::try_shutdown() {
  if (!shutdown_wanted_ || shutdown_done_ || state_ != State::kOpen || pending_write_ > 0) return;
  if (records_) {
    if (records_->flush(*under_) == IoStatus::kWouldBlock) return;
    const bool first = !std::exchange(close_sent_, true);
    if (first && records_->close(*under_) == IoStatus::kWouldBlock) return;
    shutdown_done_ = true;
    return under_->shutdown_write();
  }
  ERR_clear_error();
  int status = SSL_shutdown(ssl_.get());
  if (status < 0 && SSL_get_error(ssl_.get(), status) == SSL_ERROR_WANT_WRITE) return;
  ERR_clear_error();
  shutdown_done_ = true;
  under_->shutdown_write();
}

void TlsStream::pause_reading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  // The handshake reads whatever its user thinks of data.
  if (state_ != State::kHandshake) under_->pause_reading(paused);
  if (!paused) notify_.schedule();
}

}  // namespace mizzen::io
