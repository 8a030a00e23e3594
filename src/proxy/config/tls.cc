#include "proxy/config/tls.h"

#include <fmt/format.h>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;

TlsVersion version_of(tls::TlsParameters::TlsProtocol version) {
  switch (version) {
    case tls::TlsParameters::TLSv1_0:
      return TlsVersion::k10;
    case tls::TlsParameters::TLSv1_1:
      return TlsVersion::k11;
    case tls::TlsParameters::TLSv1_2:
      return TlsVersion::k12;
    case tls::TlsParameters::TLSv1_3:
      return TlsVersion::k13;
    default:
      return TlsVersion::kAuto;
  }
}

Status compile_certificate(const tls::TlsCertificate& proto, Needs* needs, Secret& secret) {
  MIZZEN_TRY(secret.certificate_chain, data_of(proto.certificate_chain(), needs));
  MIZZEN_TRY(secret.private_key, data_of(proto.private_key(), needs));
  if (secret.certificate_chain.empty() || secret.private_key.empty()) {
    return fail(Code::kInvalid, "tls_certificate: needs certificate_chain and private_key");
  }
  return {};
}

Status compile_validation(const tls::CertificateValidationContext& proto, Secret& secret) {
  MIZZEN_TRY(secret.trusted_ca, data_of(proto.trusted_ca()));
  MIZZEN_TRY(secret.crl, data_of(proto.crl()));
  for (const auto& matcher : proto.match_typed_subject_alt_names()) {
    MIZZEN_TRY(auto san, compile_string(matcher.matcher()));
    secret.san.push_back(std::move(san));
  }
  for (const auto& matcher : proto.match_subject_alt_names()) {
    MIZZEN_TRY(auto san, compile_string(matcher));
    secret.san.push_back(std::move(san));
  }
  return {};
}

// What a validation context says beside its trust bundle.
Status compile_checks(const tls::CertificateValidationContext& proto, TlsCommon& to) {
  for (const auto& matcher : proto.match_typed_subject_alt_names()) {
    MIZZEN_TRY(auto san, compile_string(matcher.matcher()));
    to.san.push_back(std::move(san));
  }
  for (const auto& matcher : proto.match_subject_alt_names()) {
    MIZZEN_TRY(auto san, compile_string(matcher));
    to.san.push_back(std::move(san));
  }
  for (const auto& written : proto.verify_certificate_hash()) {
    std::string digest = lower(written);
    std::erase(digest, ':');
    if (digest.size() != 64) {
      return fail(Code::kInvalid,
                  "verify_certificate_hash: '" + written + "' is not a SHA-256 digest in hex");
    }
    to.verify_certificate_hash.push_back(std::move(digest));
  }
  for (const auto& written : proto.verify_certificate_spki()) {
    if (written.size() != 44) {
      return fail(Code::kInvalid,
                  "verify_certificate_spki: '" + written + "' is not a SHA-256 digest in base64");
    }
    to.verify_certificate_spki.push_back(written);
  }
  to.accept_untrusted =
      proto.trust_chain_verification() == tls::CertificateValidationContext::ACCEPT_UNTRUSTED;
  return {};
}

Status compile_inline_trust(const tls::CertificateValidationContext& proto, Needs* needs,
                            TlsCommon& to) {
  auto secret = std::make_shared<Secret>();
  MIZZEN_TRY(secret->trusted_ca, data_of(proto.trusted_ca(), needs));
  MIZZEN_TRY(to.crl, data_of(proto.crl(), needs));
  if (proto.has_system_root_certs() && secret->trusted_ca.empty()) {
    envoy::config::core::v3::DataSource system;
    system.set_filename("/etc/ssl/certs/ca-certificates.crt");
    MIZZEN_TRY(secret->trusted_ca, data_of(system, needs));
  }
  if (!secret->trusted_ca.empty()) to.validation = std::move(secret);
  return compile_checks(proto, to);
}

Status note_secret(const tls::SdsSecretConfig& config, const CompileContext& context) {
  if (context.needs) context.needs->secrets.insert(config.name());
  auto noted = note_source(api::kSecretType, config.name(), config.sds_config(), context.needs);
  if (!noted) return std::unexpected(noted.error().in("sds_config of '" + config.name() + "'"));
  return {};
}

Status compile_trust(const tls::CommonTlsContext& proto, const CompileContext& context,
                     TlsCommon& to) {
  if (proto.has_combined_validation_context()) {
    const auto& combined = proto.combined_validation_context();
    to.validation_secret = combined.validation_context_sds_secret_config().name();
    MIZZEN_CHECKED(note_secret(combined.validation_context_sds_secret_config(), context));
    MIZZEN_CHECKED(compile_inline_trust(combined.default_validation_context(), context.needs, to));
  } else if (proto.has_validation_context_sds_secret_config()) {
    to.validation_secret = proto.validation_context_sds_secret_config().name();
    MIZZEN_CHECKED(note_secret(proto.validation_context_sds_secret_config(), context));
  } else if (proto.has_validation_context()) {
    MIZZEN_CHECKED(compile_inline_trust(proto.validation_context(), context.needs, to));
  }
  return {};
}

Result<TlsCommon> compile_common(const tls::CommonTlsContext& proto,
                                 const CompileContext& context) {
  TlsCommon common;
  const auto take = [&common](std::string name, std::shared_ptr<const Secret> inlined) {
    if (common.certificate_secret.empty() && !common.certificate) {
      common.certificate_secret = std::move(name);
      common.certificate = std::move(inlined);
    } else {
      common.more_certificates.push_back({std::move(name), std::move(inlined)});
    }
  };
  for (const auto& inlined : proto.tls_certificates()) {
    auto secret = std::make_shared<Secret>();
    MIZZEN_CHECKED(compile_certificate(inlined, context.needs, *secret));
    secret->version_hash = fnv1a(secret->certificate_chain);
    take({}, std::move(secret));
  }
  for (const auto& named : proto.tls_certificate_sds_secret_configs()) {
    MIZZEN_CHECKED(note_secret(named, context));
    take(named.name(), nullptr);
  }
  MIZZEN_CHECKED(compile_trust(proto, context, common));
  common.alpn.assign(proto.alpn_protocols().begin(), proto.alpn_protocols().end());
  common.minimum = version_of(proto.tls_params().tls_minimum_protocol_version());
  common.maximum = version_of(proto.tls_params().tls_maximum_protocol_version());
  const auto list = [](const auto& names) {
    return join(std::vector<std::string>(names.begin(), names.end()), ":");
  };
  common.curves = list(proto.tls_params().ecdh_curves());
  common.cipher_suites = list(proto.tls_params().cipher_suites());
  // With what the files say that it names.
  std::string all = proto.SerializeAsString() + common.crl;
  if (common.certificate) all += common.certificate->certificate_chain;
  for (const auto& more : common.more_certificates) {
    if (more.inlined) all += more.inlined->certificate_chain;
  }
  if (common.validation) all += common.validation->trusted_ca;
  common.version_hash = fnv1a(all);
  return common;
}

bool is_raw(const envoy::config::core::v3::TransportSocket& socket) {
  if (socket.has_typed_config()) {
    // A tunnel's own socket adds nothing to what the endpoint says (cluster.h).
    constexpr std::string_view kInternal =
        "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";
    return socket.typed_config()
               .Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>() ||
           socket.typed_config().type_url().ends_with(kInternal);
  }
  return socket.name() == api::kRawBufferSocket;
}

std::string wrong_socket(const envoy::config::core::v3::TransportSocket& socket) {
  return fmt::format("transport_socket: '{}' ({}) is not supported by this proxy", socket.name(),
                     socket.typed_config().type_url());
}

}  // namespace

Result<std::shared_ptr<const DownstreamTls>> compile_downstream_tls(
    const envoy::config::core::v3::TransportSocket& socket, const CompileContext& context) {
  if (is_raw(socket)) return nullptr;
  if (!socket.typed_config().Is<tls::DownstreamTlsContext>()) {
    return fail(Code::kUnsupported, wrong_socket(socket));
  }
  MIZZEN_TRY(auto proto, unpack<tls::DownstreamTlsContext>(socket.typed_config(), context));
  auto made = std::make_shared<DownstreamTls>();
  MIZZEN_TRY(made->common, compile_common(proto.common_tls_context(), context));
  made->require_client_certificate = proto.require_client_certificate().value();
  made->resumes =
      !proto.disable_stateless_session_resumption() && !proto.disable_stateful_session_resumption();
  if (made->common.certificate_secret.empty() && !made->common.certificate) {
    return fail(Code::kInvalid, "transport_socket: a server needs a certificate");
  }
  return made;
}

Result<std::shared_ptr<const UpstreamTls>> compile_upstream_tls(
    const envoy::config::core::v3::TransportSocket& socket, const CompileContext& context) {
  if (is_raw(socket)) return nullptr;
  if (!socket.typed_config().Is<tls::UpstreamTlsContext>()) {
    return fail(Code::kUnsupported, wrong_socket(socket));
  }
  MIZZEN_TRY(auto proto, unpack<tls::UpstreamTlsContext>(socket.typed_config(), context));
  auto made = std::make_shared<UpstreamTls>();
  MIZZEN_TRY(made->common, compile_common(proto.common_tls_context(), context));
  if (!made->common.more_certificates.empty()) {
    return fail(Code::kUnsupported, "tls_certificates: a client shows one certificate; write one");
  }
  made->sni = proto.sni();
  return made;
}

Result<std::shared_ptr<const Secret>> compile_secret(std::string_view bytes, Warnings* warnings) {
  tls::Secret proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(Code::kInvalid, "not a Secret message");
  }
  MIZZEN_CHECKED(check_fields(api::kSecretType, bytes, warnings));
  auto secret = std::make_shared<Secret>();
  secret->name = proto.name();
  secret->version_hash = fnv1a(bytes);
  if (proto.has_tls_certificate()) {
    MIZZEN_CHECKED(compile_certificate(proto.tls_certificate(), nullptr, *secret));
  } else if (proto.has_validation_context()) {
    MIZZEN_CHECKED(compile_validation(proto.validation_context(), *secret));
  } else {
    return fail(Code::kInvalid, "neither tls_certificate nor validation_context is set");
  }
  return secret;
}

}  // namespace mizzen::proxy
