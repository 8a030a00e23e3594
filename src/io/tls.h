// TLS 1.2 and 1.3 (OpenSSL 3) over any Stream. Contexts are immutable and shared: rotation means
// that new connections get a new context.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/stream.h"

namespace mizzen::io {

// What we remember of a peer's certificate; parsed once and shared between its connections.
struct PeerCertificate {
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  std::string subject;  // RFC 2253
  std::string issuer;   // RFC 2253
  std::string serial;   // hex, lower case
  std::string sha256;   // of the DER, hex, lower case
  std::string der;
  WallTime not_before{};
  WallTime not_after{};

  std::string_view uri() const { return uri_sans.empty() ? std::string_view() : uri_sans.front(); }
  std::string pem() const;              // made on each call
  std::string spki_sha256() const;      // of the SubjectPublicKeyInfo, base64; made on each call
  std::string url_encoded_pem() const;  // as x-forwarded-client-cert's Cert= has it
};

struct TlsInfo {
  std::string alpn;          // "" when none was agreed
  std::string sni;           // "" when none was sent
  std::string_view version;  // "TLSv1.3"; static storage
  std::string_view cipher;   // static storage
  bool resumed = false;
  std::shared_ptr<const PeerCertificate> peer;   // null: none, or none verified
  std::shared_ptr<const PeerCertificate> local;  // the certificate that we showed
};

struct TlsIdentity {
  std::string chain_pem;  // leaf first
  std::string key_pem;
};

enum class TlsVersion : std::uint8_t { k12, k13 };

// Sessions that clients may resume, of all server contexts of one identity (never between
// identities): they outlive a rotation. Kept here and named by number, not sealed into tickets:
// OpenSSL 3 takes a third of a handshake to read a certificate out of a ticket. The oldest of 512
// goes. Any thread.
class ServerSessions;
std::shared_ptr<ServerSessions> make_server_sessions();

// Judges a peer whose chain has been verified (or was not asked to be). An error refuses the
// handshake.
using PeerCheck = std::function<Status(const PeerCertificate&)>;

class TlsContext;
using TlsContextRef = std::shared_ptr<const TlsContext>;

struct TlsServerOptions {
  TlsIdentity identity;
  // Further certificates: the first that names the SNI (exactly, else by wildcard) is shown, ECDSA
  // ahead of RSA to who can verify it; `identity` when none does, as Envoy chooses.
  std::vector<TlsIdentity> more_identities;
  enum class ClientCert : std::uint8_t {
    kNone,
    kOptional,
    kRequired
  } client_cert = ClientCert::kNone;
  std::string trust_bundle_pem;  // CAs of clients; needed unless kNone or `accept_untrusted`
  // Lists of revoked certificates, PEM. When not empty, every CA of a chain must have a valid one.
  std::string crl_pem;
  bool accept_untrusted = false;  // take any client certificate's chain; `check` still judges
  PeerCheck check;
  std::vector<std::string> alpn;  // in order of preference; empty: none is negotiated. A client
                                  // that offers only others is answered without ALPN, as Envoy does
  TlsVersion min_version = TlsVersion::k12;
  TlsVersion max_version = TlsVersion::k13;
  std::string cipher_suites;                 // OpenSSL's list for TLS 1.2; "" for the default
  std::string curves;                        // OpenSSL's list; "" for the default
  std::shared_ptr<ServerSessions> sessions;  // null: no resumption
};

struct TlsClientOptions {
  TlsIdentity identity;          // empty: shows none
  std::string trust_bundle_pem;  // CAs of servers; "" and system_roots false: see `insecure`
  std::string crl_pem;           // as a server's
  bool system_roots = false;
  bool insecure = false;  // accepts any chain; `check` still judges
  bool verify_host =
      true;  // the certificate must name the SNI or `host` (DNS or IP). Off for SPIFFE
  PeerCheck check;
  std::vector<std::string> alpn;
  TlsVersion min_version = TlsVersion::k12;
  TlsVersion max_version = TlsVersion::k13;
  std::string cipher_suites;
  std::string curves;
  std::size_t max_sessions = 1024;  // remembered for resumption; 0: none
};

// Loading keys and bundles happens here, once. Errors name what is wrong with which PEM.
Result<TlsContextRef> make_tls_server_context(const TlsServerOptions& options);
Result<TlsContextRef> make_tls_client_context(const TlsClientOptions& options);

// Wraps a stream; the handshake starts at once. read() and write() answer kWouldBlock until it is
// over; on_open() tells, on_error() tells of its failure.
std::unique_ptr<Stream> tls_server(Loop& loop, std::unique_ptr<Stream> stream,
                                   TlsContextRef context);

struct TlsClientTarget {
  std::string sni;          // "" sends none
  std::string host;         // verified instead of the SNI; IP literals too
  std::string session_key;  // sessions are resumed within one context and one key; "" uses the SNI
  std::vector<std::string> alpn;  // instead of the context's
};
std::unique_ptr<Stream> tls_client(Loop& loop, std::unique_ptr<Stream> stream,
                                   TlsContextRef context, TlsClientTarget target);

// The first record of a connection, looked at without taking it (Stream::peek), for filter chains.
struct ClientHello {
  std::string sni;  // lower case
  std::vector<std::string> alpn;
};
enum class HelloStatus : std::uint8_t { kNeedMore, kNotTls, kDone };
// RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301. Bounded at 16 KiB; kNotTls beyond.
HelloStatus parse_client_hello(std::span<const std::byte> bytes, ClientHello* out);

}  // namespace mizzen::io
