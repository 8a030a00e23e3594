#include "proxy/tls_contexts.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "proxy/upstream.h"

namespace mizzen::proxy {
namespace {

// The secret that `name` or `inlined` stands for; null for none, an error while it has not come.
Result<const Secret*> find(const Snapshot& snapshot, const std::string& name,
                           const std::shared_ptr<const Secret>& inlined) {
  if (inlined) return inlined.get();
  if (name.empty()) return nullptr;
  const Secret* secret = snapshot.secret(name);
  if (secret == nullptr)
    return fail(Code::kUnavailable, fmt::format("secret {} has not come", name));
  return secret;
}

struct Secrets {
  const Secret* certificate = nullptr;
  const Secret* validation = nullptr;
  std::vector<const Secret*> more;
  std::uint64_t certificate_hash() const {
    std::uint64_t hash = certificate ? certificate->version_hash : 0;
    for (const Secret* one : more) hash = hash * 31 + one->version_hash;
    return hash;
  }
  std::uint64_t validation_hash() const { return validation ? validation->version_hash : 0; }
};

Result<Secrets> find_secrets(const Snapshot& snapshot, const TlsCommon& common) {
  Secrets secrets;
  MIZZEN_TRY(secrets.certificate, find(snapshot, common.certificate_secret, common.certificate));
  MIZZEN_TRY(secrets.validation, find(snapshot, common.validation_secret, common.validation));
  for (const TlsCommon::More& more : common.more_certificates) {
    MIZZEN_TRY(const Secret* secret, find(snapshot, more.secret, more.inlined));
    secrets.more.push_back(secret);
  }
  // A secret was to say whom to trust and says nobody: not everybody.
  if (!common.validation_secret.empty() && secrets.validation->trusted_ca.empty() &&
      !common.accept_untrusted) {
    return fail(Code::kInvalid,
                fmt::format("secret {} holds no trusted certificate", common.validation_secret));
  }
  return secrets;
}

io::TlsVersion version(TlsVersion wanted, io::TlsVersion otherwise) {
  switch (wanted) {
    case TlsVersion::kAuto:
      return otherwise;
    case TlsVersion::k13:
      return io::TlsVersion::k13;
    default:
      return io::TlsVersion::k12;
  }
}

bool matches_san(const std::vector<route::StringMatcher>& matchers,
                 const io::PeerCertificate& peer) {
  auto one = [&](const std::string& san) {
    return std::ranges::any_of(matchers, [&](const auto& matcher) { return matcher.matches(san); });
  };
  return std::ranges::any_of(peer.uri_sans, one) || std::ranges::any_of(peer.dns_sans, one);
}

// What `common` asks of a peer beyond its chain.
io::PeerCheck make_check(const TlsCommon& common, const Secret* validation) {
  std::vector<route::StringMatcher> san = common.san;
  if (validation != nullptr) san.insert(san.end(), validation->san.begin(), validation->san.end());
  std::vector<std::string> hashes = common.verify_certificate_hash;
  std::vector<std::string> keys = common.verify_certificate_spki;
  if (san.empty() && hashes.empty() && keys.empty()) return {};
  return [san, hashes, keys](const io::PeerCertificate& peer) -> Status {
    if (!san.empty() && !matches_san(san, peer)) {
      return fail(Code::kDenied, "verify SAN list: no SAN of the peer's certificate matches");
    }
    if (hashes.empty() && keys.empty()) return {};
    // Either is enough, as in Envoy.
    const bool listed =
        std::ranges::find(hashes, peer.sha256) != hashes.end() ||
        (!keys.empty() && std::ranges::find(keys, peer.spki_sha256()) != keys.end());
    if (!listed) return fail(Code::kDenied, "verify certificate hash: no match");
    return {};
  };
}

std::string revoked(const TlsCommon& common, const Secret* validation) {
  return validation == nullptr ? common.crl : common.crl + validation->crl;
}

io::TlsIdentity identity_of(const Secret* certificate) {
  if (certificate == nullptr) return {};
  return {certificate->certificate_chain, certificate->private_key};
}

}  // namespace

Result<io::TlsContextRef> TlsContexts::server(const Snapshot& snapshot, const DownstreamTls& tls,
                                              bool http) {
  const TlsCommon& common = tls.common;
  MIZZEN_TRY(Secrets secrets, find_secrets(snapshot, common));
  std::uint64_t key = common.version_hash * 8 + (tls.resumes ? 4 : 0) + (http ? 2 : 0) +
                      (tls.require_client_certificate ? 1 : 0);
  std::lock_guard lock(mutex_);
  Made& made = servers_[key];
  if (made.context && made.certificate == secrets.certificate_hash() &&
      made.validation == secrets.validation_hash()) {
    return made.context;
  }
  io::TlsServerOptions options;
  options.identity = identity_of(secrets.certificate);
  for (const Secret* more : secrets.more) options.more_identities.push_back(identity_of(more));
  if (secrets.validation != nullptr) options.trust_bundle_pem = secrets.validation->trusted_ca;
  options.crl_pem = revoked(common, secrets.validation);
  bool verifies = !options.trust_bundle_pem.empty() || common.accept_untrusted;
  using ClientCert = io::TlsServerOptions::ClientCert;
  options.client_cert = tls.require_client_certificate ? ClientCert::kRequired
                        : verifies                     ? ClientCert::kOptional
                                                       : ClientCert::kNone;
  options.accept_untrusted = common.accept_untrusted ||
                             (tls.require_client_certificate && options.trust_bundle_pem.empty());
  options.check = make_check(common, secrets.validation);
  // Only where a client must show who it is may it speak our own protocol.
  if (http && tls.require_client_certificate && !common.alpn.empty()) {
    options.alpn.emplace_back(kMizzenAlpn);
  }
  options.alpn.insert(options.alpn.end(), common.alpn.begin(), common.alpn.end());
  options.min_version = version(common.minimum, io::TlsVersion::k12);
  options.max_version = version(common.maximum, io::TlsVersion::k13);
  options.cipher_suites = common.cipher_suites;
  options.curves = common.curves;
  if (!made.sessions && tls.resumes) made.sessions = io::make_server_sessions();
  options.sessions = made.sessions;
  MIZZEN_TRY(made.context, io::make_tls_server_context(options));
  made.certificate = secrets.certificate_hash();
  made.validation = secrets.validation_hash();
  return made.context;
}

Result<io::TlsContextRef> TlsContexts::client(const Snapshot& snapshot, const UpstreamTls& tls) {
  const TlsCommon& common = tls.common;
  MIZZEN_TRY(Secrets secrets, find_secrets(snapshot, common));
  std::lock_guard lock(mutex_);
  Made& made = clients_[common.version_hash * 2 + (tls.auto_san_validation ? 1 : 0)];
  if (made.context && made.certificate == secrets.certificate_hash() &&
      made.validation == secrets.validation_hash()) {
    return made.context;
  }
  io::TlsClientOptions options;
  options.identity = identity_of(secrets.certificate);
  if (secrets.validation != nullptr) options.trust_bundle_pem = secrets.validation->trusted_ca;
  options.crl_pem = revoked(common, secrets.validation);
  options.insecure = options.trust_bundle_pem.empty() || common.accept_untrusted;
  options.verify_host = tls.auto_san_validation;
  options.check = make_check(common, secrets.validation);
  options.alpn = common.alpn;
  options.min_version = version(common.minimum, io::TlsVersion::k12);
  options.max_version = version(common.maximum, io::TlsVersion::k13);
  options.cipher_suites = common.cipher_suites;
  options.curves = common.curves;
  MIZZEN_TRY(made.context, io::make_tls_client_context(options));
  made.certificate = secrets.certificate_hash();
  made.validation = secrets.validation_hash();
  return made.context;
}

}  // namespace mizzen::proxy
