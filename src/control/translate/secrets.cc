#include <set>
#include <string>

#include "api/names.h"
#include "control/translate/destination.h"
#include "control/translate/gateway_plan.h"
#include "control/translate/tls_parts.h"
#include "control/translate/xds_parts.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace mizzen::control {

namespace tls = envoy::extensions::transport_sockets::tls::v3;

namespace {

// A proxy reads secrets of its own namespace only.
void add_secret(const View& view, const std::string& credential, xds::ResourceMap* resources) {
  const std::string name = credential_resource(credential);
  const std::string key =
      view.proxy.name_space + "/" + name.substr(api::kKubernetesSecretPrefix.size());
  const auto& secrets = view.snapshot.everything().tls_secrets;
  const auto found = secrets.find(key);
  if (found != secrets.end() && !found->second.certificate.empty()) {
    tls::Secret secret;
    secret.set_name(name);
    secret.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_bytes(
        found->second.certificate);
    secret.mutable_tls_certificate()->mutable_private_key()->set_inline_bytes(found->second.key);
    add_resource(name, secret, resources);
  }
  // The clients' authority stands beside the certificate, or in a secret of its own.
  const TlsSecret* ca = found == secrets.end() ? nullptr : &found->second;
  if (ca == nullptr || ca->ca.empty()) {
    const auto own = secrets.find(key + std::string(api::kCacertSuffix));
    if (own != secrets.end()) ca = &own->second;
  }
  if (ca == nullptr || ca->ca.empty()) return;
  tls::Secret secret;
  secret.set_name(authority_resource(credential));
  secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(ca->ca);
  if (!ca->crl.empty())
    secret.mutable_validation_context()->mutable_crl()->set_inline_bytes(ca->crl);
  add_resource(secret.name(), secret, resources);
}

}  // namespace

Resources translate_secrets(const Snapshot& snapshot, const Proxy& proxy) {
  const View view{snapshot, proxy};
  auto resources = std::make_shared<xds::ResourceMap>();
  std::set<std::string> credentials;
  for (std::string& name : client_credentials(view)) credentials.insert(std::move(name));
  if (proxy.kind == ProxyKind::kGateway) {
    for (const auto& [port, servers] : plan_gateway(snapshot, proxy)) {
      for (const GatewayServer& server : servers) {
        const auto& spec = server.server->tls();
        credentials.insert(spec.credential_name());
        credentials.insert(spec.ca_cert_credential_name());
        credentials.insert(spec.credential_names().begin(), spec.credential_names().end());
      }
    }
  }
  credentials.erase("");
  for (const std::string& name : credentials) add_secret(view, name, resources.get());
  return resources;
}

}  // namespace mizzen::control
