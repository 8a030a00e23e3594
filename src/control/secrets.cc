#include <string>

#include "api/names.h"
#include "control/gateway_plan.h"
#include "control/xds_parts.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace mizzen::control {

namespace tls = envoy::extensions::transport_sockets::tls::v3;

namespace {

// A gateway reads secrets of its own namespace only.
void add_secret(const View& view, const std::string& credential, xds::ResourceMap* resources) {
  const auto found = view.snapshot.tls_secrets.find(view.proxy.name_space + "/" + credential);
  const std::string name = std::string(api::kKubernetesSecretPrefix) + credential;
  const std::string ca_name = name + std::string(api::kCacertSuffix);
  if (found != view.snapshot.tls_secrets.end() && !found->second.certificate.empty()) {
    tls::Secret secret;
    secret.set_name(name);
    secret.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_bytes(
        found->second.certificate);
    secret.mutable_tls_certificate()->mutable_private_key()->set_inline_bytes(found->second.key);
    add_resource(name, secret, resources);
  }
  // The clients' authority stands beside the certificate, or in a secret of its own.
  const TlsSecret* ca = found == view.snapshot.tls_secrets.end() ? nullptr : &found->second;
  if (ca == nullptr || ca->ca.empty()) {
    const auto own = view.snapshot.tls_secrets.find(view.proxy.name_space + "/" + credential +
                                                    std::string(api::kCacertSuffix));
    if (own != view.snapshot.tls_secrets.end()) ca = &own->second;
  }
  if (ca == nullptr || ca->ca.empty()) return;
  tls::Secret secret;
  secret.set_name(ca_name);
  secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(ca->ca);
  add_resource(ca_name, secret, resources);
}

}  // namespace

Resources translate_secrets(const Snapshot& snapshot, const Proxy& proxy) {
  const View view{snapshot, proxy};
  auto resources = std::make_shared<xds::ResourceMap>();
  if (proxy.kind != ProxyKind::kGateway) return resources;
  for (const auto& [port, servers] : plan_gateway(snapshot, proxy)) {
    for (const GatewayServer& server : servers) {
      const auto& spec = server.server->tls();
      if (!spec.credential_name().empty())
        add_secret(view, spec.credential_name(), resources.get());
      for (const std::string& name : spec.credential_names()) {
        add_secret(view, name, resources.get());
      }
    }
  }
  return resources;
}

}  // namespace mizzen::control
