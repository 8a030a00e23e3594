#include "io/tls_context.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "pki/certificate.h"
#include "pki/key.h"

namespace mizzen::io {
namespace {

TlsHandshake* handshake_of(SSL* ssl) { return static_cast<TlsHandshake*>(SSL_get_app_data(ssl)); }

// The end of the first certificate to expire in a chain that was verified.
WallTime chain_end(X509_STORE_CTX* store) {
  WallTime end = WallTime::max();
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(store);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* x509 = sk_X509_value(chain, i);
    X509_up_ref(x509);
    end = std::min(end, pki::Certificate(std::shared_ptr<x509_st>(x509, X509_free)).not_after());
  }
  return end;
}

// A chain that was verified in this context holds until one of its certificates expires: the trust
// of a context never changes.
bool verify_chain(X509_STORE_CTX* store, TlsHandshake& handshake,
                  const CertificateCache::Known& known) {
  const TlsContext& context = *handshake.context;
  // The name to be verified differs from connection to connection; a revocation list expires.
  const bool may_remember = !context.verify_host && !context.holds_revoked;
  const WallTime now = system_clock().wall();
  if (may_remember && now < known.verified_until && now >= known.certificate->not_before) {
    return true;
  }
  if (X509_verify_cert(store) != 1) {
    handshake.was_refused = true;
    handshake.refused = {Code::kDenied, Side::kInternal, false,
                         std::string("certificate: ") +
                             X509_verify_cert_error_string(X509_STORE_CTX_get_error(store))};
    return false;
  }
  if (may_remember) context.certificates.verified(*known.certificate, chain_end(store));
  return true;
}

int verify_callback(X509_STORE_CTX* store, void*) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsHandshake* handshake = handshake_of(ssl);
  if (handshake == nullptr) return 0;
  const TlsContext& context = *handshake->context;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (leaf == nullptr) return 0;
  const CertificateCache::Known known = context.certificates.get(leaf);
  if (!context.any_chain && !verify_chain(store, *handshake, known)) return 0;
  if (auto status = context.judge(*known.certificate); !status) {
    handshake->was_refused = true;
    handshake->refused = std::move(status.error());
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  handshake->peer = known.certificate;
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

int alpn_callback(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                  const unsigned char* offered, unsigned offered_length, void*) {
  const std::string_view chosen = handshake_of(ssl)->context->choose_alpn(
      {reinterpret_cast<const char*>(offered), offered_length});
  if (chosen.empty()) return SSL_TLSEXT_ERR_NOACK;
  *out = reinterpret_cast<const unsigned char*>(chosen.data());
  *out_length = static_cast<unsigned char>(chosen.size());
  return SSL_TLSEXT_ERR_OK;
}

int new_session_callback(SSL* ssl, SSL_SESSION* session) {
  TlsHandshake* handshake = handshake_of(ssl);
  if (handshake == nullptr || !handshake->context->sessions) return 0;
  handshake->ticket_came = true;
  handshake->context->sessions->put(handshake->session_key, SessionPtr(session));
  return 1;  // the reference is ours now
}

// What OpenSSL reads out of extensions it keeps in the certificate. Done here by one thread, so
// that the first handshakes of several do not write to what they share.
void read_extensions(X509* certificate) { X509_check_purpose(certificate, -1, 0); }

Status use_identity(SSL_CTX* ctx, const TlsIdentity& identity, TlsContext* context) {
  auto chain = pki::parse_bundle(identity.chain_pem);
  if (!chain) return std::unexpected(chain.error().in("certificate chain"));
  auto key = pki::PrivateKey::from_pem(identity.key_pem);
  if (!key) return std::unexpected(key.error().in("private key"));
  for (const pki::Certificate& certificate : *chain) read_extensions(certificate.get());
  if (SSL_CTX_use_certificate(ctx, chain->front().get()) != 1) {
    return pki::openssl_fail(Code::kInvalid, "certificate chain");
  }
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, (*chain)[i].get()) != 1) {
      return pki::openssl_fail(Code::kInvalid, "certificate chain");
    }
  }
  if (SSL_CTX_use_PrivateKey(ctx, key->get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
    return pki::openssl_fail(Code::kInvalid, "private key does not belong to the certificate");
  }
  context->local = parse_peer_certificate(chain->front().get());
  return {};
}

Status use_revoked(SSL_CTX* ctx, const std::string& pem, TlsContext* context) {
  if (pem.empty()) return {};
  const pki::BioPtr bio = pki::memory_bio(pem);
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  int lists = 0;
  while (X509_CRL* crl = PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr)) {
    const bool added = X509_STORE_add_crl(store, crl) == 1;
    X509_CRL_free(crl);
    if (!added) return pki::openssl_fail(Code::kInvalid, "revocation list");
    ++lists;
  }
  const unsigned long why = ERR_peek_last_error();
  const bool ended = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
  if (!ended) return pki::openssl_fail(Code::kInvalid, "revocation list");
  ERR_clear_error();
  if (lists == 0) return fail(Code::kInvalid, "revocation list: no X509 CRL in PEM");
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  context->holds_revoked = true;
  return {};
}

Status use_trust(SSL_CTX* ctx, const std::string& bundle_pem) {
  auto bundle = pki::parse_bundle(bundle_pem);
  if (!bundle) return std::unexpected(bundle.error().in("trust bundle"));
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  for (const pki::Certificate& certificate : *bundle) {
    read_extensions(certificate.get());
    if (X509_STORE_add_cert(store, certificate.get()) != 1) {
      return pki::openssl_fail(Code::kInvalid, "trust bundle");
    }
  }
  // An intermediate that the bundle names is an anchor of its own.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

int version_number(TlsVersion version) {
  return version == TlsVersion::k12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

template <class Options>
Status use_common(SSL_CTX* ctx, const Options& options) {
  SSL_CTX_set_min_proto_version(ctx, version_number(options.min_version));
  SSL_CTX_set_max_proto_version(ctx, version_number(options.max_version));
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Exactly record by record: what follows the handshake is not OpenSSL's (TlsRecords).
  SSL_CTX_set_read_ahead(ctx, 0);
  note_secrets(ctx);
  // AES-128 first, as Envoy and Go have it: less work per byte, and SHA-256 in the handshake.
  SSL_CTX_set_ciphersuites(
      ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  if (!options.cipher_suites.empty() &&
      SSL_CTX_set_cipher_list(ctx, options.cipher_suites.c_str()) != 1) {
    return pki::openssl_fail(Code::kInvalid, "cipher suites '" + options.cipher_suites + "'");
  }
  const std::string curves = options.curves.empty() ? "X25519:P-256:P-384" : options.curves;
  if (SSL_CTX_set1_groups_list(ctx, curves.c_str()) != 1) {
    return pki::openssl_fail(Code::kInvalid, "curves '" + curves + "'");
  }
  for (const std::string& protocol : options.alpn) {
    if (protocol.empty() || protocol.size() > 255)
      return fail(Code::kInvalid, "ALPN: empty or too long");
  }
  return {};
}

// Sessions are resumed only where the same peers would be trusted.
void set_session_scope(SSL_CTX* ctx, const TlsServerOptions& options, TlsContext& context) {
  std::string scope = options.trust_bundle_pem + options.crl_pem;
  scope += static_cast<char>('0' + static_cast<int>(options.client_cert));
  scope += options.accept_untrusted ? '1' : '0';
  EVP_Digest(scope.data(), scope.size(), context.scope.data(), nullptr, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(ctx, context.scope.data(), 32);
}

}  // namespace

std::string alpn_to_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) continue;
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

std::string_view TlsContext::choose_alpn(std::string_view offered) const {
  unsigned char* chosen = nullptr;
  unsigned char size = 0;
  const auto* theirs = reinterpret_cast<const unsigned char*>(offered.data());
  const int status = SSL_select_next_proto(
      &chosen, &size, reinterpret_cast<const unsigned char*>(alpn_wire.data()),
      static_cast<unsigned>(alpn_wire.size()), theirs, static_cast<unsigned>(offered.size()));
  if (status != OPENSSL_NPN_NEGOTIATED) return {};
  return {reinterpret_cast<const char*>(chosen), size};
}

namespace {

// A list of what is revoked says nothing where nobody is trusted in the first place.
Status check_revoked(const std::string& crl_pem, const std::string& trust_bundle_pem) {
  if (crl_pem.empty() || !trust_bundle_pem.empty()) return {};
  return fail(Code::kInvalid, "revocation list: no trust bundle to hold it against");
}

}  // namespace

Result<TlsContextRef> make_tls_server_context(const TlsServerOptions& options) {
  using ClientCert = TlsServerOptions::ClientCert;
  auto context = std::make_shared<TlsContext>();
  context->server = true;
  context->ctx.reset(SSL_CTX_new_ex(pki::tls_library(), nullptr, TLS_server_method()));
  if (!context->ctx) return pki::openssl_fail(Code::kInternal, "TLS context");
  SSL_CTX* ctx = context->ctx.get();
  MIZZEN_CHECKED(use_common(ctx, options));
  MIZZEN_CHECKED(check_revoked(options.crl_pem, options.trust_bundle_pem));
  MIZZEN_CHECKED(use_identity(ctx, options.identity, context.get()));
  MIZZEN_CHECKED(use_choices(options, *context));
  if (options.client_cert != ClientCert::kNone) {
    context->verify_mode = SSL_VERIFY_PEER;
    if (options.client_cert == ClientCert::kRequired) {
      context->verify_mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    context->any_chain = options.accept_untrusted;
    if (!options.trust_bundle_pem.empty()) {
      MIZZEN_CHECKED(use_trust(ctx, options.trust_bundle_pem));
      MIZZEN_CHECKED(use_revoked(ctx, options.crl_pem, context.get()));
    } else if (!options.accept_untrusted) {
      return fail(Code::kInvalid, "trust bundle: none, but client certificates are to be verified");
    }
  }
  SSL_CTX_set_verify(ctx, context->verify_mode, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, &verify_callback, nullptr);
  context->check = options.check;
  context->alpn_wire = alpn_to_wire(options.alpn);
  if (!options.alpn.empty()) SSL_CTX_set_alpn_select_cb(ctx, &alpn_callback, nullptr);
  set_session_scope(ctx, options, *context);
  context->server_sessions = options.sessions;
  context->resumes_x25519 =
      options.sessions && options.max_version == TlsVersion::k13 && options.curves.empty();
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);  // tickets are numbers of sessions, if anything
  SSL_CTX_set_num_tickets(ctx, options.sessions ? 1 : 0);
  if (options.sessions) {
    keep_server_sessions(ctx);
  } else {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  }
  return TlsContextRef(std::move(context));
}

Result<TlsContextRef> make_tls_client_context(const TlsClientOptions& options) {
  auto context = std::make_shared<TlsContext>();
  context->ctx.reset(SSL_CTX_new_ex(pki::tls_library(), nullptr, TLS_client_method()));
  if (!context->ctx) return pki::openssl_fail(Code::kInternal, "TLS context");
  SSL_CTX* ctx = context->ctx.get();
  MIZZEN_CHECKED(use_common(ctx, options));
  MIZZEN_CHECKED(check_revoked(options.crl_pem, options.trust_bundle_pem));
  if (!options.identity.chain_pem.empty()) {
    MIZZEN_CHECKED(use_identity(ctx, options.identity, context.get()));
  }
  if (!options.trust_bundle_pem.empty()) {
    MIZZEN_CHECKED(use_trust(ctx, options.trust_bundle_pem));
    MIZZEN_CHECKED(use_revoked(ctx, options.crl_pem, context.get()));
  }
  if (options.system_roots && SSL_CTX_set_default_verify_paths(ctx) != 1) {
    return pki::openssl_fail(Code::kUnavailable, "the system's trusted roots");
  }
  if (options.trust_bundle_pem.empty() && !options.system_roots && !options.insecure) {
    return fail(Code::kInvalid, "trust bundle: none, and verification is on");
  }
  context->verify_mode = SSL_VERIFY_PEER;
  context->any_chain = options.insecure;
  context->verify_host = options.verify_host && !options.insecure;
  context->check = options.check;
  context->alpn_wire = alpn_to_wire(options.alpn);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, &verify_callback, nullptr);
  if (options.max_sessions > 0) {
    context->sessions = std::make_unique<SessionCache>(options.max_sessions);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, &new_session_callback);
  } else {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  }
  return TlsContextRef(std::move(context));
}

}  // namespace mizzen::io
