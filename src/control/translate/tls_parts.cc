#include "control/translate/tls_parts.h"

namespace mizzen::control {

namespace tls = envoy::extensions::transport_sockets::tls::v3;

namespace {

constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

tls::TlsParameters::TlsProtocol version(schema::ServerTLSSettings::TLSProtocol protocol) {
  switch (protocol) {
    case schema::ServerTLSSettings::TLSV1_0:
      return tls::TlsParameters::TLSv1_0;
    case schema::ServerTLSSettings::TLSV1_1:
      return tls::TlsParameters::TLSv1_1;
    case schema::ServerTLSSettings::TLSV1_2:
      return tls::TlsParameters::TLSv1_2;
    case schema::ServerTLSSettings::TLSV1_3:
      return tls::TlsParameters::TLSv1_3;
    default:
      return tls::TlsParameters::TLS_AUTO;
  }
}

void parameters(const schema::ServerTLSSettings& spec, tls::CommonTlsContext* common) {
  using Spec = schema::ServerTLSSettings;
  if (spec.min_protocol_version() == Spec::TLS_AUTO &&
      spec.max_protocol_version() == Spec::TLS_AUTO && spec.cipher_suites().empty()) {
    return;
  }
  auto* out = common->mutable_tls_params();
  out->set_tls_minimum_protocol_version(version(spec.min_protocol_version()));
  out->set_tls_maximum_protocol_version(version(spec.max_protocol_version()));
  for (const std::string& suite : spec.cipher_suites()) out->add_cipher_suites(suite);
}

void certificate_files(const std::string& chain, const std::string& key,
                       tls::CommonTlsContext* common) {
  auto* certificate = common->add_tls_certificates();
  certificate->mutable_certificate_chain()->set_filename(chain);
  certificate->mutable_private_key()->set_filename(key);
}

// The gateway's own certificates: clients choose by name and kind of key.
void own_certificates(const schema::ServerTLSSettings& spec, tls::CommonTlsContext* common) {
  const auto by_name = [&](const std::string& credential) {
    secret_by_ads(credential_resource(credential),
                  common->add_tls_certificate_sds_secret_configs());
  };
  if (!spec.credential_name().empty()) {
    by_name(spec.credential_name());
  } else if (!spec.credential_names().empty()) {
    for (const std::string& credential : spec.credential_names()) by_name(credential);
  } else if (!spec.tls_certificates().empty()) {
    for (const auto& one : spec.tls_certificates()) {
      certificate_files(one.server_certificate(), one.private_key(), common);
    }
  } else {
    certificate_files(spec.server_certificate(), spec.private_key(), common);
  }
}

// The credential under which the clients' authority is known; empty where a file has it.
std::string authority_credential(const schema::ServerTLSSettings& spec) {
  if (!spec.ca_cert_credential_name().empty()) return spec.ca_cert_credential_name();
  if (!spec.credential_name().empty()) return spec.credential_name();
  return spec.credential_names().empty() ? std::string() : spec.credential_names(0);
}

std::string authority_file(const schema::ServerTLSSettings& spec) {
  if (!spec.ca_certificates().empty() || spec.tls_certificates().empty()) {
    return spec.ca_certificates();
  }
  return spec.tls_certificates(0).ca_certificates();
}

void verify_clients(const schema::ServerTLSSettings& spec, tls::CommonTlsContext* common) {
  tls::CertificateValidationContext context;
  demand_names(spec.subject_alt_names(), &context);
  for (const std::string& hash : spec.verify_certificate_spki()) {
    context.add_verify_certificate_spki(hash);
  }
  for (const std::string& hash : spec.verify_certificate_hash()) {
    context.add_verify_certificate_hash(hash);
  }
  if (spec.insecure_skip_verify()) {
    context.set_trust_chain_verification(tls::CertificateValidationContext::ACCEPT_UNTRUSTED);
  }
  if (!spec.ca_crl().empty()) context.mutable_crl()->set_filename(spec.ca_crl());
  const std::string credential = authority_credential(spec);
  if (credential.empty()) {
    context.mutable_trusted_ca()->set_filename(authority_file(spec));
    *common->mutable_validation_context() = std::move(context);
    return;
  }
  auto* combined = common->mutable_combined_validation_context();
  secret_by_ads(authority_resource(credential),
                combined->mutable_validation_context_sds_secret_config());
  *combined->mutable_default_validation_context() = std::move(context);
}

// The server's certificate is verified by `spec`; nothing is demanded of it under
// insecureSkipVerify.
void verify_server(const schema::ClientTLSSettings& spec, tls::CommonTlsContext* common) {
  if (spec.insecure_skip_verify()) {
    common->mutable_validation_context();
    return;
  }
  tls::CertificateValidationContext context;
  demand_names(spec.subject_alt_names(), &context);
  if (!spec.ca_crl().empty()) context.mutable_crl()->set_filename(spec.ca_crl());
  if (spec.credential_name().empty()) {
    context.mutable_trusted_ca()->set_filename(
        spec.ca_certificates().empty() ? kSystemRoots : spec.ca_certificates());
    *common->mutable_validation_context() = std::move(context);
    return;
  }
  auto* combined = common->mutable_combined_validation_context();
  secret_by_ads(authority_resource(spec.credential_name()),
                combined->mutable_validation_context_sds_secret_config());
  *combined->mutable_default_validation_context() = std::move(context);
}

}  // namespace

void secret_by_ads(std::string name, tls::SdsSecretConfig* config) {
  config->set_name(std::move(name));
  config->mutable_sds_config()->mutable_ads();
  config->mutable_sds_config()->set_resource_api_version(envoy::config::core::v3::V3);
}

std::string credential_resource(const std::string& credential) {
  constexpr std::string_view kPrefix = api::kKubernetesSecretPrefix;
  return credential.starts_with(kPrefix) ? credential : std::string(kPrefix) + credential;
}

std::string authority_resource(const std::string& credential) {
  std::string name = credential_resource(credential);
  if (!name.ends_with(api::kCacertSuffix)) name += api::kCacertSuffix;
  return name;
}

void originate_tls(const schema::ClientTLSSettings& spec, const std::string& sni, bool http2,
                   envoy::config::core::v3::TransportSocket* socket) {
  tls::UpstreamTlsContext context;
  tls::CommonTlsContext* common = context.mutable_common_tls_context();
  context.set_sni(spec.sni().empty() ? sni : spec.sni());
  if (http2) common->add_alpn_protocols(std::string(api::kAlpnH2));
  if (spec.mode() == schema::ClientTLSSettings::MUTUAL) {
    if (spec.credential_name().empty()) {
      certificate_files(spec.client_certificate(), spec.private_key(), common);
    } else {
      secret_by_ads(credential_resource(spec.credential_name()),
                    common->add_tls_certificate_sds_secret_configs());
    }
  }
  verify_server(spec, common);
  socket->set_name(std::string(api::kTlsSocket));
  socket->mutable_typed_config()->PackFrom(context);
}

void terminate_tls(const View& view, const schema::ServerTLSSettings& spec, bool http,
                   envoy::config::core::v3::TransportSocket* socket) {
  using Spec = schema::ServerTLSSettings;
  if (spec.mode() == Spec::ISTIO_MUTUAL) {
    downstream_mtls(view.mesh(), socket);
    return;
  }
  tls::DownstreamTlsContext context;
  tls::CommonTlsContext* common = context.mutable_common_tls_context();
  if (http) {
    common->add_alpn_protocols(std::string(api::kAlpnH2));
    common->add_alpn_protocols(std::string(api::kAlpnHttp11));
  }
  parameters(spec, common);
  context.mutable_require_client_certificate()->set_value(spec.mode() == Spec::MUTUAL);
  own_certificates(spec, common);
  if (spec.mode() == Spec::MUTUAL || spec.mode() == Spec::OPTIONAL_MUTUAL) {
    verify_clients(spec, common);
  }
  socket->set_name(std::string(api::kTlsSocket));
  socket->mutable_typed_config()->PackFrom(context);
}

}  // namespace mizzen::control
