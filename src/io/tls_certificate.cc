#include <openssl/x509v3.h>

#include <array>

#include "base/strings.h"
#include "io/tls.h"
#include "io/tls_context.h"
#include "pki/certificate.h"

namespace mizzen::io {
namespace {

std::string der_of(X509* x509) {
  unsigned char* bytes = nullptr;
  int size = i2d_X509(x509, &bytes);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

std::string digest_of(std::string_view der) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_Digest(der.data(), der.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<char*>(digest.data()), size};
}

std::string name_of(X509_NAME* name) {
  pki::BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return pki::bio_text(bio.get());
}

std::shared_ptr<const PeerCertificate> parse(X509* x509, std::string der, std::string_view digest) {
  X509_up_ref(x509);
  pki::Certificate certificate(std::shared_ptr<x509_st>(x509, X509_free));
  auto out = std::make_shared<PeerCertificate>();
  pki::SubjectNames names = certificate.names();
  out->uri_sans = std::move(names.uris);
  out->dns_sans = std::move(names.dns);
  out->subject = certificate.subject();
  out->issuer = name_of(X509_get_issuer_name(x509));
  out->serial = certificate.serial();
  out->sha256 = hex(std::as_bytes(std::span(digest.data(), digest.size())));
  out->der = std::move(der);
  out->not_before = certificate.not_before();
  out->not_after = certificate.not_after();
  return out;
}

}  // namespace

std::string PeerCertificate::pem() const {
  std::string body = base64_encode(der);
  std::string out = "-----BEGIN CERTIFICATE-----\n";
  for (std::size_t at = 0; at < body.size(); at += 64) out += body.substr(at, 64) + "\n";
  return out + "-----END CERTIFICATE-----\n";
}

std::string PeerCertificate::spki_sha256() const {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const pki::X509Ptr x509(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  if (!x509) return {};
  unsigned char* key = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509.get()), &key);
  if (size <= 0) return {};
  std::string digest =
      digest_of({reinterpret_cast<const char*>(key), static_cast<std::size_t>(size)});
  OPENSSL_free(key);
  return base64_encode(digest);
}

std::string PeerCertificate::url_encoded_pem() const {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : pem()) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[(c >> 4) & 15], kHex[c & 15]};
    }
  }
  return out;
}

std::shared_ptr<const PeerCertificate> parse_peer_certificate(X509* x509) {
  std::string der = der_of(x509);
  std::string digest = digest_of(der);
  return parse(x509, std::move(der), digest);
}

CertificateCache::Known CertificateCache::get(X509* x509) {
  std::string der = der_of(x509);
  std::string digest = digest_of(der);
  std::lock_guard lock(mutex_);
  if (auto found = known_.find(digest); found != known_.end()) return found->second;
  Known known{parse(x509, std::move(der), digest), {}};
  // Rotation makes old ones useless; starting over is simpler than an order of use.
  if (known_.size() >= kMost) known_.clear();
  known_.emplace(std::move(digest), known);
  return known;
}

void CertificateCache::verified(const PeerCertificate& certificate, WallTime until) {
  std::lock_guard lock(mutex_);
  if (auto found = known_.find(digest_of(certificate.der)); found != known_.end()) {
    found->second.verified_until = until;
  }
}

SessionPtr SessionCache::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(key);
  if (found == sessions_.end()) return nullptr;
  if (!SSL_SESSION_is_resumable(found->second.get())) {
    sessions_.erase(found);
    return nullptr;
  }
  SSL_SESSION_up_ref(found->second.get());
  return SessionPtr(found->second.get());
}

void SessionCache::put(const std::string& key, SessionPtr session) {
  std::lock_guard lock(mutex_);
  if (sessions_.size() >= most_ && !sessions_.contains(key)) sessions_.erase(sessions_.begin());
  sessions_[key] = std::move(session);
}

}  // namespace mizzen::io
