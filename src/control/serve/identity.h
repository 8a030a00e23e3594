// Who a caller of the control plane is: by service account token (TokenReview) or by the
// certificate that the mesh's own authority gave it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "kube/client.h"
#include "net/http_server.h"
#include "pki/spiffe.h"

namespace mizzen::control {

// Loop thread only.
class Authenticator {
 public:
  Authenticator(kube::Client& client, std::string trust_domain)
      : client_(client), trust_domain_(std::move(trust_domain)) {}

  // For callers from now on.
  void set_trust_domain(std::string trust_domain) { trust_domain_ = std::move(trust_domain); }

  using Done = std::function<void(Result<pki::SpiffeId>)>;
  // The bearer token goes before the certificate (whose chain the listener has verified): an agent
  // that renews shows both. kUnauthenticated without either. `done` once, maybe before this
  // returns.
  void identify(const net::Exchange& exchange, Done done);

  // Whether the caller shows anything at all.
  static bool shows_credentials(const net::Exchange& exchange);

 private:
  kube::Client& client_;
  std::string trust_domain_;
};

// "system:serviceaccount:default:reviews"
Result<pki::SpiffeId> identity_of_username(std::string_view username,
                                           std::string_view trust_domain);

}  // namespace mizzen::control
