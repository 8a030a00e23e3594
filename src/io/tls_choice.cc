// Which of its certificates a server shows.
#include <openssl/ssl.h>

#include <algorithm>

#include "base/strings.h"
#include "io/tls_context.h"

namespace mizzen::io {
namespace {

std::vector<std::string> names_of(const pki::Certificate& certificate) {
  std::vector<std::string> names;
  for (const std::string& written : certificate.names().dns) {
    const std::string name = lower(written);
    names.push_back(name.starts_with("*.") ? name.substr(1) : name);
  }
  if (!names.empty()) return names;
  // A certificate of old: the common name counts where there is no other.
  char name[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()),
                                             NID_commonName, name, sizeof name);
  if (size > 0) names.push_back(lower({name, static_cast<std::size_t>(size)}));
  return names;
}

bool takes_ecdsa(SSL* ssl) {
  const int count = SSL_get_sigalgs(ssl, -1, nullptr, nullptr, nullptr, nullptr, nullptr);
  for (int i = 0; i < count; ++i) {
    int signature = NID_undef;
    SSL_get_sigalgs(ssl, i, &signature, nullptr, nullptr, nullptr, nullptr);
    if (signature == EVP_PKEY_EC) return true;
  }
  return false;
}

// The best of those that `fits`: one of the client's kind, else RSA, which every client takes.
template <class Fits>
const ServerCertificate* best(const std::vector<ServerCertificate>& choices, bool ecdsa_client,
                              Fits fits) {
  const ServerCertificate* rsa = nullptr;
  for (const ServerCertificate& choice : choices) {
    if (!fits(choice)) continue;
    if (choice.ecdsa == ecdsa_client) return &choice;
    if (!choice.ecdsa && rsa == nullptr) rsa = &choice;
  }
  return rsa;
}

int certificate_callback(SSL* ssl, void*) {
  auto* handshake = static_cast<TlsHandshake*>(SSL_get_app_data(ssl));
  if (handshake == nullptr || handshake->context->choices.empty()) return 1;
  const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const ServerCertificate& chosen = choose_certificate(
      handshake->context->choices, sni == nullptr ? std::string() : lower(sni), takes_ecdsa(ssl));
  SSL_certs_clear(ssl);
  if (SSL_use_certificate(ssl, chosen.leaf.get()) != 1 ||
      SSL_use_PrivateKey(ssl, chosen.key.get()) != 1) {
    return 0;
  }
  for (const pki::Certificate& link : chosen.chain) {
    if (SSL_add1_chain_cert(ssl, link.get()) != 1) return 0;
  }
  handshake->local = chosen.parsed;
  return 1;
}

Status add_choice(const TlsIdentity& identity, TlsContext& context) {
  auto chain = pki::parse_bundle(identity.chain_pem);
  if (!chain) return std::unexpected(chain.error().in("certificate chain"));
  auto key = pki::PrivateKey::from_pem(identity.key_pem);
  if (!key) return std::unexpected(key.error().in("private key"));
  if (X509_check_private_key(chain->front().get(), key->get()) != 1) {
    return pki::openssl_fail(Code::kInvalid, "private key does not belong to the certificate");
  }
  // What OpenSSL keeps of extensions is read before threads share the certificate.
  for (const pki::Certificate& one : *chain) X509_check_purpose(one.get(), -1, 0);
  const pki::Certificate leaf = chain->front();
  chain->erase(chain->begin());
  const bool ecdsa = key->is_ec();
  context.choices.push_back({leaf, std::move(*chain), std::move(*key), names_of(leaf), ecdsa,
                             parse_peer_certificate(leaf.get())});
  return {};
}

}  // namespace

Status use_choices(const TlsServerOptions& options, TlsContext& context) {
  if (options.more_identities.empty()) return {};
  MIZZEN_CHECKED(add_choice(options.identity, context));
  for (const TlsIdentity& identity : options.more_identities) {
    MIZZEN_CHECKED(add_choice(identity, context));
  }
  SSL_CTX_set_cert_cb(context.ctx.get(), &certificate_callback, nullptr);
  return {};
}

const ServerCertificate& choose_certificate(const std::vector<ServerCertificate>& choices,
                                            std::string_view sni, bool ecdsa_client) {
  const auto named = [&](std::string_view name) {
    return best(choices, ecdsa_client, [name](const ServerCertificate& choice) {
      return std::ranges::find(choice.names, name) != choice.names.end();
    });
  };
  const ServerCertificate* chosen = nullptr;
  if (sni.empty()) {
    chosen = best(choices, ecdsa_client, [](const ServerCertificate&) { return true; });
  } else {
    chosen = named(sni);
    const std::size_t dot = sni.find('.', 1);
    if (chosen == nullptr && dot != std::string_view::npos) chosen = named(sni.substr(dot));
  }
  return chosen == nullptr ? choices.front() : *chosen;
}

}  // namespace mizzen::io
