#include "authority_loader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "object/json.h"

namespace mizzen::mizzend {
namespace {

constexpr std::string_view kPluggedIn = "cacerts";

kube::Resource secrets() { return {"", "v1", "secrets", true}; }

std::string data(const kube::Json& secret, std::string_view key) {
  return base64_decode(object::string_at(secret, {"data", key})).value_or("");
}

Result<std::shared_ptr<const ca::Authority>> authority_of(const kube::Json& secret) {
  return ca::Authority::from_pems(
      {data(secret, api::kCaSecretCert), data(secret, api::kCaSecretKey),
       data(secret, "cert-chain.pem"), data(secret, "root-cert.pem")},
      system_clock().wall());
}

}  // namespace

AuthorityLoader::AuthorityLoader(kube::Client& client, std::string name_space,
                                 std::string trust_domain)
    : client_(client), name_space_(std::move(name_space)), trust_domain_(std::move(trust_domain)) {}

void AuthorityLoader::load(AuthorityReady ready) {
  ready_ = std::move(ready);
  read_plugged_in();
}

void AuthorityLoader::again(const std::string& why) {
  if (why != last_problem_) log::warning("ca", "{}", why);
  last_problem_ = why;
  client_.loop().after(wait_, [this, alive = alive_] {
    if (*alive) read_plugged_in();
  });
  wait_ = std::min<Duration>(wait_ * 2, std::chrono::seconds(5));
}

void AuthorityLoader::use(Result<std::shared_ptr<const ca::Authority>> authority,
                          std::string_view secret) {
  if (!authority) {
    again("Secret " + std::string(secret) + ": " + authority.error().message);
    return;
  }
  log::info("ca", "signing with the authority of Secret {}/{}, valid until {}", name_space_, secret,
            rfc3339((*authority)->not_after()));
  ready_(std::move(*authority));
}

void AuthorityLoader::read_plugged_in() {
  client_.get(secrets(), name_space_, kPluggedIn, [this, alive = alive_](Result<kube::Json> got) {
    if (!*alive) return;
    if (got) {
      use(authority_of(*got), kPluggedIn);
    } else if (got.error().code == Code::kNotFound) {
      read_own();
    } else {
      again("Secret cacerts: " + got.error().message);
    }
  });
}

void AuthorityLoader::read_own() {
  client_.get(secrets(), name_space_, api::kCaSecret,
              [this, alive = alive_](Result<kube::Json> got) {
                if (!*alive) return;
                if (got) {
                  use(authority_of(*got), api::kCaSecret);
                } else if (got.error().code == Code::kNotFound) {
                  create_own();
                } else {
                  again("Secret istio-ca-secret: " + got.error().message);
                }
              });
}

void AuthorityLoader::create_own() {
  auto authority = ca::Authority::self_signed(trust_domain_, system_clock().wall());
  if (!authority) {
    again("no key for a root: " + authority.error().message);
    return;
  }
  const ca::AuthorityPems pems = (*authority)->pems();
  const kube::Json secret = {
      {"apiVersion", "v1"},
      {"kind", "Secret"},
      {"metadata", {{"name", std::string(api::kCaSecret)}, {"namespace", name_space_}}},
      {"type", "istio.io/ca-root"},
      {"data",
       {{std::string(api::kCaSecretCert), base64_encode(pems.certificate)},
        {std::string(api::kCaSecretKey), base64_encode(pems.key)},
        {"root-cert.pem", base64_encode(pems.roots)}}}};
  client_.create(secrets(), name_space_, secret,
                 [this, alive = alive_, authority = *authority](Result<kube::Json> made) {
                   if (!*alive) return;
                   if (made) {
                     use(authority, api::kCaSecret);
                   } else {
                     // Another was first (then it is read), or the API server is not there yet.
                     again("Secret istio-ca-secret: " + made.error().message);
                   }
                 });
}

}  // namespace mizzen::mizzend
