// TLS settings and secrets of the compiled configuration. Contexts (SSL_CTX) are made from these by
// the data plane and cached there by (settings, secret generation).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "route/matchers.h"

namespace mizzen::proxy {

// envoy.extensions.transport_sockets.tls.v3.Secret, PEM inside. Held until the last user lets go.
struct Secret {
  std::string name;
  std::string certificate_chain;          // PEM, leaf first; empty in a pure trust bundle
  std::string private_key;                // PEM
  std::string trusted_ca;                 // PEM bundle; empty in a pure key pair
  std::string crl;                        // PEM
  std::vector<route::StringMatcher> san;  // match_typed_subject_alt_names of the secret itself
  std::uint64_t version_hash = 0;
};

enum class TlsVersion : std::uint8_t { kAuto, k10, k11, k12, k13 };

struct TlsCommon {
  // Own certificate: a secret by name, or an inline one; both empty: none (client only).
  std::string certificate_secret;
  std::shared_ptr<const Secret> certificate;
  // Further ones of a server, chosen by SNI and kind of key: by name, or inline.
  struct More {
    std::string secret;
    std::shared_ptr<const Secret> inlined;
  };
  std::vector<More> more_certificates;
  // Trust: a secret by name, or an inline one; both empty: the peer is not verified.
  std::string validation_secret;
  std::shared_ptr<const Secret> validation;
  // When not empty, one of the peer's SANs must match one of these.
  std::vector<route::StringMatcher> san;
  // When either is not empty, the peer's certificate or its key must be listed.
  std::vector<std::string> verify_certificate_hash;  // lower-case hex of SHA-256
  std::vector<std::string> verify_certificate_spki;  // base64 of SHA-256
  std::string crl;                                   // PEM, beside that of the trust's secret
  bool accept_untrusted = false;
  std::vector<std::string>
      alpn;  // as in xDS; the private ALPN of Mizzen is added by the data plane
  TlsVersion minimum = TlsVersion::kAuto;
  TlsVersion maximum = TlsVersion::kAuto;
  std::string cipher_suites;  // OpenSSL's list, empty: default
  std::string curves;         // likewise
  std::uint64_t version_hash = 0;
};

struct DownstreamTls {
  TlsCommon common;
  bool require_client_certificate = false;
  bool resumes = true;  // false: neither tickets nor session ids, whichever was switched off
};

struct UpstreamTls {
  TlsCommon common;
  std::string sni;
  bool auto_sni = false;             // the request's authority (HttpProtocolOptions)
  bool auto_san_validation = false;  // ... and it must be in the certificate
};

}  // namespace mizzen::proxy
