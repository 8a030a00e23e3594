// Pieces of TLS contexts that clusters and gateways share. Internal to control.
#pragma once

#include <string>

#include "api/names.h"
#include "control/mesh/schema_types.h"
#include "control/translate/xds_parts.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace mizzen::control {

// By ADS, from the control plane.
void secret_by_ads(std::string name,
                   envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig* config);

// The names of a credential's resources: key and certificate, and the authority beside them.
std::string credential_resource(const std::string& credential);
std::string authority_resource(const std::string& credential);

// What the other side's certificate must be for, one of `names`.
template <class Names>
void demand_names(
    const Names& names,
    envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext* context) {
  using Matcher = envoy::extensions::transport_sockets::tls::v3::SubjectAltNameMatcher;
  for (const std::string& name : names) {
    auto* typed = context->add_match_typed_subject_alt_names();
    typed->set_san_type(name.find("://") != std::string::npos ? Matcher::URI : Matcher::DNS);
    typed->mutable_matcher()->set_exact(name);
  }
}

// TLS that a DestinationRule originates (SIMPLE, MUTUAL) towards a server outside the mesh's own
// mutual TLS. `sni` where the rule names none and no request does.
void originate_tls(const schema::ClientTLSSettings& spec, const std::string& sni, bool http2,
                   envoy::config::core::v3::TransportSocket* socket);

// TLS towards the clients of a gateway's server that terminates it.
void terminate_tls(const View& view, const schema::ServerTLSSettings& spec, bool http,
                   envoy::config::core::v3::TransportSocket* socket);

}  // namespace mizzen::control
