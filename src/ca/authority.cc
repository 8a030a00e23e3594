#include "ca/authority.h"

#include <algorithm>

namespace mizzen::ca {
namespace {

constexpr Duration kBackdate = std::chrono::minutes(2);  // for clocks that are a little behind
constexpr Duration kRootLife = std::chrono::hours(24 * 3650);

Result<pki::Certificate> issue_leaf(const pki::PublicKey& key, pki::SubjectNames names,
                                    Duration ttl, WallTime now, const pki::PrivateKey& ca_key,
                                    const pki::Certificate& ca) {
  pki::IssueOptions options;
  options.names = std::move(names);
  options.not_before = now - kBackdate;
  options.not_after = std::min(now + ttl, ca.not_after());
  if (options.not_after <= now) {
    return fail(Code::kUnavailable, "the certificate authority's own certificate has expired");
  }
  return pki::issue(key, options, ca_key, &ca);
}

}  // namespace

Authority::Authority(pki::PrivateKey key, pki::Certificate certificate, std::string chain,
                     std::string roots)
    : key_(std::move(key)),
      certificate_(std::move(certificate)),
      chain_pem_(std::move(chain)),
      roots_pem_(std::move(roots)) {}

Result<std::shared_ptr<const Authority>> Authority::from_pems(const AuthorityPems& pems,
                                                              WallTime now) {
  Result<pki::Certificate> certificate = pki::Certificate::from_pem(pems.certificate);
  if (!certificate) return std::unexpected(certificate.error().in("ca-cert.pem"));
  Result<pki::PrivateKey> key = pki::PrivateKey::from_pem(pems.key);
  if (!key) return std::unexpected(key.error().in("ca-key.pem"));
  if (key->public_key().to_pem() != certificate->public_key().to_pem()) {
    return fail(Code::kInvalid, "ca-key.pem is not the key of ca-cert.pem");
  }
  if (!certificate->is_ca()) {
    return fail(Code::kInvalid, "ca-cert.pem is no certificate authority (basicConstraints CA)");
  }
  if (certificate->not_after() <= now) {
    return fail(Code::kInvalid, "ca-cert.pem expired at " + rfc3339(certificate->not_after()));
  }
  std::string chain;
  if (!pems.chain.empty()) {
    Result<std::vector<pki::Certificate>> links = pki::parse_bundle(pems.chain);
    if (!links) return std::unexpected(links.error().in("cert-chain.pem"));
    // Plugged-in chains begin with the signing certificate itself or with what signed it.
    for (const pki::Certificate& link : *links) {
      if (link.sha256() != certificate->sha256()) chain += link.to_pem();
    }
  }
  std::string roots = pems.roots.empty() ? certificate->to_pem() : pems.roots;
  if (Result<std::vector<pki::Certificate>> bundle = pki::parse_bundle(roots); !bundle) {
    return std::unexpected(bundle.error().in("root-cert.pem"));
  }
  return std::shared_ptr<const Authority>(
      new Authority(std::move(*key), std::move(*certificate), std::move(chain), std::move(roots)));
}

Result<std::shared_ptr<const Authority>> Authority::self_signed(std::string_view organization,
                                                                WallTime now) {
  MIZZEN_TRY(pki::Authority made, pki::make_root(organization, now, kRootLife));
  std::string roots = made.certificate.to_pem();
  return std::shared_ptr<const Authority>(
      new Authority(std::move(made.key), std::move(made.certificate), {}, std::move(roots)));
}

Result<std::vector<std::string>> Authority::sign_workload(std::string_view csr_pem,
                                                          std::string_view uri, Duration ttl,
                                                          WallTime now) const {
  MIZZEN_TRY(const pki::CertificateRequest request, pki::parse_request(csr_pem));
  pki::SubjectNames names;
  names.uris.emplace_back(uri);
  const Duration wanted = ttl <= Duration::zero() ? kDefaultTtl : std::min(ttl, kMaxTtl);
  MIZZEN_TRY(const pki::Certificate leaf,
             issue_leaf(request.key, std::move(names), wanted, now, key_, certificate_));
  std::vector<std::string> chain{leaf.to_pem()};
  const bool is_root = certificate_.to_pem() == roots_pem_;
  if (!is_root) chain.push_back(certificate_.to_pem());
  if (!chain_pem_.empty()) {
    MIZZEN_TRY(const std::vector<pki::Certificate> links, pki::parse_bundle(chain_pem_));
    for (const pki::Certificate& link : links) chain.push_back(link.to_pem());
  }
  chain.push_back(roots_pem_);
  return chain;
}

Result<Authority::Served> Authority::issue_server(const std::vector<std::string>& dns_names,
                                                  Duration ttl, WallTime now) const {
  MIZZEN_TRY(const pki::PrivateKey key, pki::PrivateKey::generate_p256());
  pki::SubjectNames names;
  names.dns = dns_names;
  MIZZEN_TRY(const pki::Certificate leaf,
             issue_leaf(key.public_key(), std::move(names), ttl, now, key_, certificate_));
  Served served;
  served.chain_pem = leaf.to_pem();
  if (certificate_.to_pem() != roots_pem_) served.chain_pem += certificate_.to_pem();
  served.chain_pem += chain_pem_;
  served.key_pem = key.to_pem();
  served.not_after = leaf.not_after();
  return served;
}

AuthorityPems Authority::pems() const {
  return {certificate_.to_pem(), key_.to_pem(), chain_pem_, roots_pem_};
}

}  // namespace mizzen::ca
