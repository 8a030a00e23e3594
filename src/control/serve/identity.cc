#include "control/serve/identity.h"

#include "api/names.h"
#include "base/strings.h"

namespace mizzen::control {
namespace {

std::string_view bearer_token(const net::Exchange& exchange) {
  const std::string_view header = exchange.header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() <= kScheme.size() ||
      !equals_ignore_case(header.substr(0, kScheme.size()), kScheme)) {
    return {};
  }
  return trim(header.substr(kScheme.size()));
}

const io::PeerCertificate* certificate(const net::Exchange& exchange) {
  const io::TlsInfo* tls = exchange.tls();
  return tls == nullptr ? nullptr : tls->peer.get();
}

}  // namespace

Result<pki::SpiffeId> identity_of_username(std::string_view username,
                                           std::string_view trust_domain) {
  const std::vector<std::string_view> parts = split(username, ':');
  if (parts.size() != 4 || parts[0] != "system" || parts[1] != "serviceaccount" ||
      parts[2].empty() || parts[3].empty()) {
    return fail(Code::kUnauthenticated,
                "the token is not of a service account: " + std::string(username));
  }
  return pki::SpiffeId{std::string(trust_domain), std::string(parts[2]), std::string(parts[3])};
}

bool Authenticator::shows_credentials(const net::Exchange& exchange) {
  return !bearer_token(exchange).empty() || certificate(exchange) != nullptr;
}

void Authenticator::identify(const net::Exchange& exchange, Done done) {
  const std::string_view token = bearer_token(exchange);
  if (!token.empty()) {
    client_.review_token(
        token, {std::string(api::kTokenAudience)},
        [domain = trust_domain_, done = std::move(done)](Result<kube::Client::TokenOwner> owner) {
          if (!owner) {
            done(fail(owner.error().code == Code::kUnavailable ? Code::kUnavailable
                                                               : Code::kUnauthenticated,
                      "token review: " + owner.error().message));
            return;
          }
          done(identity_of_username(owner->username, domain));
        });
    return;
  }
  if (const io::PeerCertificate* peer = certificate(exchange)) {
    Result<pki::SpiffeId> id = pki::parse_spiffe(peer->uri());
    if (!id) {
      done(fail(Code::kUnauthenticated, "client certificate: " + id.error().message));
    } else if (id->trust_domain != trust_domain_) {
      done(fail(Code::kUnauthenticated,
                "client certificate of another trust domain: " + id->trust_domain));
    } else {
      done(std::move(*id));
    }
    return;
  }
  done(fail(Code::kUnauthenticated,
            "no credentials: send a service account token (audience istio-ca) as `authorization: "
            "Bearer ...`, or a client certificate"));
}

}  // namespace mizzen::control
