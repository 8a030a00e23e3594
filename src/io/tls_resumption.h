// Internal to io: a server's handshake that resumes one of its own TLS 1.3 sessions (RFC 8446 2.2,
// psk_dhe_ke: a new X25519 secret each time). OpenSSL's way through the same messages costs several
// times the two multiplications that they are about.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "io/server_sessions.h"
#include "io/tls_records.h"
#include "io/tls_schedule.h"

namespace mizzen::io {

class TlsResumption {
 public:
  // Whether begin() can decide on these first bytes of a connection.
  static bool has_hello(std::string_view input);

  // Answers the ClientHello that `input` starts with and takes it out. Null when it is anything but
  // the plain case: then nothing has happened, and OpenSSL answers, with the same sessions.
  // `now`: for the peer's certificate.
  static std::unique_ptr<TlsResumption> begin(const TlsContext& context, std::string& input,
                                              WallTime now);

  ~TlsResumption();
  TlsResumption(const TlsResumption&) = delete;

  // What is to be sent; the caller takes out what has gone.
  std::string& output() { return output_; }

  enum class Step : std::uint8_t { kMore, kDone, kFailed };
  // Takes the client's answer out of `input`. kFailed: fault() says why, output() may hold an
  // alert. kDone: the session of the new ticket is kept, what follows is data.
  Step take(std::string& input);
  std::string_view fault() const { return fault_; }  // a literal

  // Once, when done.
  std::unique_ptr<TlsInfo> info() { return std::move(info_); }
  const TlsSecrets& secrets() const { return secrets_; }

 private:
  TlsResumption() = default;
  struct Hello;
  static bool parse(std::string_view message, Hello& hello);
  bool answer(const TlsContext& context, const Hello& hello, const ServerSession& session);
  void put_ticket(const Bytes32& master, const ServerSession& session);
  Step fail(unsigned char alert, std::string_view why);

  std::string output_;
  std::string finished_;  // of the client's message, what has come
  Bytes32 expected_{};    // the client's verify_data
  std::unique_ptr<RecordKeys> read_keys_;
  std::unique_ptr<RecordKeys> write_keys_;
  TlsSecrets secrets_;
  std::unique_ptr<TlsInfo> info_;
  std::shared_ptr<ServerSessions> sessions_;
  ServerSession next_;  // kept when the client has finished
  std::string_view fault_;
  unsigned ignored_ = 0;  // records without meaning
};

// X25519 (RFC 7748) with a new key: what to send, and the secret shared with who sent `theirs`.
struct X25519Agreed {
  Bytes32 share;
  Secret32 secret;
};
// Nothing when `theirs` is none (RFC 8446 7.4.2). Any thread.
std::optional<X25519Agreed> agree_x25519(std::span<const unsigned char> theirs);

}  // namespace mizzen::io
