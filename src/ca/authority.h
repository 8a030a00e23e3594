// The mesh's certificate authority: a signing key, its chain, and the roots that proxies trust.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "pki/certificate.h"

namespace mizzen::ca {

// Everything in PEM, as the Secret `istio-ca-secret` (ca-cert.pem, ca-key.pem) or `cacerts`
// (with cert-chain.pem and root-cert.pem too) holds it.
struct AuthorityPems {
  std::string certificate;  // of the signing key
  std::string key;
  std::string chain;  // between the signing certificate and the root; may be empty
  std::string roots;  // the trust bundle; empty: `certificate` is the root
};

// Immutable; any thread.
class Authority {
 public:
  // Errors: a key that does not belong to the certificate, a certificate that is no CA or has
  // expired at `now`, PEM that does not parse. The error says which part.
  static Result<std::shared_ptr<const Authority>> from_pems(const AuthorityPems& pems,
                                                            WallTime now);
  // A new self-signed root, valid for ten years.
  static Result<std::shared_ptr<const Authority>> self_signed(std::string_view organization,
                                                              WallTime now);

  // A certificate for the request's key and for `uri` alone, whatever names the request has in it.
  // Valid from two minutes before `now`; `ttl` is cut to kMaxTtl and to the authority's own end.
  // The chain in PEM: leaf, intermediates, and the root last, as Istio's agents take it apart.
  Result<std::vector<std::string>> sign_workload(std::string_view csr_pem, std::string_view uri,
                                                 Duration ttl, WallTime now) const;

  struct Served {
    std::string chain_pem;
    std::string key_pem;
    WallTime not_after;
  };
  // A key and certificate for a server of the control plane itself.
  Result<Served> issue_server(const std::vector<std::string>& dns_names, Duration ttl,
                              WallTime now) const;

  const std::string& roots_pem() const { return roots_pem_; }
  AuthorityPems pems() const;
  WallTime not_after() const { return certificate_.not_after(); }

 private:
  Authority(pki::PrivateKey key, pki::Certificate certificate, std::string chain,
            std::string roots);

  pki::PrivateKey key_;
  pki::Certificate certificate_;
  std::string chain_pem_;
  std::string roots_pem_;
};

inline constexpr Duration kDefaultTtl = std::chrono::hours(24);
inline constexpr Duration kMaxTtl = std::chrono::hours(24 * 90);

}  // namespace mizzen::ca
