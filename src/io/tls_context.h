// Internal to io: what stands behind TlsContext, shared by all connections of one configuration.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/tls.h"
#include "io/tls_records.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "pki/openssl.h"

namespace mizzen::io {

using SslCtxPtr = std::unique_ptr<SSL_CTX, pki::OpensslDelete<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, pki::OpensslDelete<SSL_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, pki::OpensslDelete<SSL_SESSION_free>>;

// Parsed peer certificates by digest, and until when their chain is known to hold. Any thread.
class CertificateCache {
 public:
  struct Known {
    std::shared_ptr<const PeerCertificate> certificate;
    WallTime verified_until{};  // unset: not verified yet
  };
  Known get(X509* x509);
  // A chain for this certificate was verified; it holds until then.
  void verified(const PeerCertificate& certificate, WallTime until);

 private:
  static constexpr std::size_t kMost = 1024;
  std::mutex mutex_;
  std::unordered_map<std::string, Known> known_;
};

// Resumable sessions by key. Any thread.
class SessionCache {
 public:
  explicit SessionCache(std::size_t most) : most_(most) {}
  SessionPtr find(const std::string& key);
  void put(const std::string& key, SessionPtr session);

 private:
  std::size_t most_;
  std::mutex mutex_;
  std::unordered_map<std::string, SessionPtr> sessions_;
};

// A certificate that a server may show. Immutable; shared by all handshakes.
struct ServerCertificate {
  pki::Certificate leaf;
  std::vector<pki::Certificate> chain;  // without the leaf
  pki::PrivateKey key;
  std::vector<std::string> names;  // lower case; "*.example.com" as ".example.com"
  bool ecdsa = false;
  std::shared_ptr<const PeerCertificate> parsed;
};

class TlsContext {
 public:
  SslCtxPtr ctx;
  bool server = false;
  int verify_mode = SSL_VERIFY_NONE;
  bool any_chain = false;  // the chain is not verified
  bool verify_host = false;
  PeerCheck check;
  std::string alpn_wire;  // length-prefixed, in order of preference
  std::shared_ptr<ServerSessions> server_sessions;
  std::array<unsigned char, 32> scope{};  // of the sessions: the same peers would be trusted
  bool resumes_x25519 = false;            // whether TlsResumption may answer
  std::shared_ptr<const PeerCertificate> local;
  std::vector<ServerCertificate> choices;  // when a server has several
  bool holds_revoked = false;              // chains are looked up in lists
  std::unique_ptr<SessionCache> sessions;  // clients
  mutable CertificateCache certificates;

  // The first of ours among those that a client offers (as the extension lists them), or "".
  std::string_view choose_alpn(std::string_view offered) const;
  // Runs `check` on a certificate that has passed.
  Status judge(const PeerCertificate& peer) const { return check ? check(peer) : Status{}; }
};

// What the callbacks of one handshake share with its stream; the SSL's app data. Ends with the SSL.
struct TlsHandshake {
  TlsContextRef context;
  std::shared_ptr<const PeerCertificate> local;  // chosen out of several; null: the context's
  std::shared_ptr<const PeerCertificate> peer;   // whose certificate was verified
  std::shared_ptr<const PeerCertificate> resumed_peer;  // of the session that was found last
  std::string session_key;
  std::string input;   // read from the stream underneath, not asked for by OpenSSL yet
  Error refused;       // why the peer's certificate was not taken
  TlsSecrets secrets;  // of the application's data in TLS 1.3, as they become known
  bool was_refused = false;
  bool ticket_came = false;   // since the last look
  bool keys_changed = false;  // a KeyUpdate has passed: `secrets` are old
};

// Has a context with more than one identity choose among them, handshake by handshake.
Status use_choices(const TlsServerOptions& options, TlsContext& context);
// The one of `choices`, which are not empty, for this client (TlsServerOptions::more_identities).
const ServerCertificate& choose_certificate(const std::vector<ServerCertificate>& choices,
                                            std::string_view sni, bool ecdsa_client);

std::string alpn_to_wire(const std::vector<std::string>& protocols);
std::shared_ptr<const PeerCertificate> parse_peer_certificate(X509* x509);
// Has the secrets and record counts of connections noted in their TlsHandshake.
void note_secrets(SSL_CTX* ctx);
void note_records(SSL* ssl, TlsHandshake& handshake);
// OpenSSL's callbacks of a server context with sessions.
void keep_server_sessions(SSL_CTX* ctx);

}  // namespace mizzen::io
