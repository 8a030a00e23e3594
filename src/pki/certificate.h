// X.509: what a certificate says, requests for one, and issuing.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "pki/key.h"

struct x509_st;

namespace mizzen::pki {

// Names that a certificate is for (RFC 5280 4.2.1.6).
struct SubjectNames {
  std::vector<std::string> uris;
  std::vector<std::string> dns;
  std::vector<std::string> ips;  // as text
};

// A parsed certificate; shares the object underneath, any thread.
class Certificate {
 public:
  static Result<Certificate> from_pem(std::string_view pem);  // the first of a chain

  std::string to_pem() const;
  std::string serial() const;   // hex, lower case
  std::string subject() const;  // RFC 2253
  std::string sha256() const;   // of the DER, hex, lower case
  WallTime not_before() const;
  WallTime not_after() const;
  SubjectNames names() const;
  bool is_ca() const;
  PublicKey public_key() const;
  // Whether `ca`'s key has signed this certificate.
  bool signed_by(const Certificate& ca) const;

  explicit Certificate(std::shared_ptr<x509_st> x509) : x509_(std::move(x509)) {}
  x509_st* get() const { return x509_.get(); }

 private:
  std::shared_ptr<x509_st> x509_;
};

// Every certificate of a PEM bundle, in order. Errors: kInvalid for none, for more than 1,000, or
// for one that does not parse.
Result<std::vector<Certificate>> parse_bundle(std::string_view pem);

struct CertificateRequest {
  PublicKey key;
  SubjectNames names;
};

// A PKCS#10 request in PEM, with an empty subject and the URI as a critical name, as Istio's agents
// send it (RFC 2986).
Result<std::string> make_request(const PrivateKey& key, std::string_view uri);
// Parses a request and checks that the key in it has signed it.
Result<CertificateRequest> parse_request(std::string_view pem);

struct IssueOptions {
  SubjectNames names;
  std::string organization;  // subject; may be empty
  WallTime not_before{};
  WallTime not_after{};
  bool ca = false;  // otherwise: for TLS servers and clients
};

// A certificate for `key`, signed by `ca_key`; self-signed when `ca` is null (then `key` must be
// ca_key's public half). Serial: 128 random bits.
Result<Certificate> issue(const PublicKey& key, const IssueOptions& options,
                          const PrivateKey& ca_key, const Certificate* ca);

struct Authority {
  PrivateKey key;
  Certificate certificate;
};
// A new self-signed root with a P-256 key, valid from two minutes before `now` for `ttl`.
Result<Authority> make_root(std::string_view organization, WallTime now, Duration ttl);

// A list of revoked certificates in PEM (RFC 5280 5), signed by `ca`, valid from `now` for `ttl`.
Result<std::string> make_revocation_list(const Authority& ca, std::span<const Certificate> revoked,
                                         WallTime now, Duration ttl);

}  // namespace mizzen::pki
