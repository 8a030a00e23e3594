#include "control/translate/xds_parts.h"

#include <fmt/core.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>

#include "api/access_log.h"
#include "api/names.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace mizzen::control {

namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;

namespace {

// The fields of Istio's JSON access log: its text format, field by field.
constexpr std::pair<std::string_view, std::string_view> kJsonFields[] = {
    {"start_time", "%START_TIME%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
    {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
    {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"duration", "%DURATION%"},
    {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
    {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"authority", "%REQ(:AUTHORITY)%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
    {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
    {"route_name", "%ROUTE_NAME%"},
};

// Secrets of the workload come from its own agent, over the cluster that the bootstrap has for it.
void sds_secret(std::string_view name, tls::SdsSecretConfig* config) {
  config->set_name(std::string(name));
  core::ConfigSource* source = config->mutable_sds_config();
  source->set_resource_api_version(core::ApiVersion::V3);
  source->mutable_initial_fetch_timeout();  // 0 s: wait for it
  core::ApiConfigSource* api = source->mutable_api_config_source();
  api->set_api_type(core::ApiConfigSource::GRPC);
  api->set_transport_api_version(core::ApiVersion::V3);
  api->set_set_node_on_first_message_only(true);
  api->add_grpc_services()->mutable_envoy_grpc()->set_cluster_name(std::string(api::kSdsCluster));
}

envoy::type::matcher::v3::StringMatcher* add_uri_san(tls::CertificateValidationContext* context) {
  tls::SubjectAltNameMatcher* san = context->add_match_typed_subject_alt_names();
  san->set_san_type(tls::SubjectAltNameMatcher::URI);
  return san->mutable_matcher();
}

void workload_certificate(const MeshConfig& mesh, tls::CommonTlsContext* common) {
  sds_secret(api::kWorkloadSecret, common->add_tls_certificate_sds_secret_configs());
  sds_secret(api::kRootSecret, common->mutable_combined_validation_context()
                                   ->mutable_validation_context_sds_secret_config());
  tls::TlsParameters* params = common->mutable_tls_params();
  params->set_tls_minimum_protocol_version(mesh.tls13_only ? tls::TlsParameters::TLSv1_3
                                                           : tls::TlsParameters::TLSv1_2);
  params->set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
}

}  // namespace

std::string deterministic_bytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream out(&bytes);
    google::protobuf::io::CodedOutputStream coded(&out);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

void add_resource(std::string name, const google::protobuf::Message& message,
                  xds::ResourceMap* resources, std::string endpoints) {
  auto resource = std::make_shared<xds::Resource>();
  resource->bytes = deterministic_bytes(message);
  resource->version = xds::content_version(resource->bytes);
  resource->name = name;
  resource->endpoints = std::move(endpoints);
  resources->try_emplace(std::move(name), std::move(resource));
}

void ads_source(core::ConfigSource* source) {
  source->mutable_ads();
  source->mutable_initial_fetch_timeout();
  source->set_resource_api_version(core::ApiVersion::V3);
}

void set_socket_address(core::Address* address, std::string_view ip, std::uint32_t port) {
  address->mutable_socket_address()->set_address(std::string(ip));
  address->mutable_socket_address()->set_port_value(port);
}

google::protobuf::Struct* istio_metadata(core::Metadata* metadata) {
  return &(*metadata->mutable_filter_metadata())[std::string(api::kIstioMetadata)];
}

void set_field(google::protobuf::Struct* into, const std::string& key, std::string_view value) {
  (*into->mutable_fields())[key].set_string_value(std::string(value));
}

void set_config_metadata(core::Metadata* metadata, std::string_view kind,
                         std::string_view name_space, std::string_view name) {
  set_field(
      istio_metadata(metadata), "config",
      fmt::format("/apis/networking.istio.io/v1/namespaces/{}/{}/{}", name_space, kind, name));
}

void upstream_mtls(const MeshConfig& mesh, core::TransportSocket* socket,
                   const std::vector<std::string>& sans, std::string_view sni,
                   const std::vector<std::string>& alpn) {
  tls::UpstreamTlsContext context;
  tls::CommonTlsContext* common = context.mutable_common_tls_context();
  workload_certificate(mesh, common);
  for (const std::string& name : alpn) common->add_alpn_protocols(name);
  auto* validation =
      common->mutable_combined_validation_context()->mutable_default_validation_context();
  const std::string own = fmt::format("spiffe://{}/", mesh.trust_domain);
  for (const std::string& san : sans) {
    add_uri_san(validation)->set_exact(san);
    if (!san.starts_with(own)) continue;
    for (const std::string& alias : mesh.trust_domain_aliases) {
      add_uri_san(validation)
          ->set_exact(fmt::format("spiffe://{}/{}", alias, san.substr(own.size())));
    }
  }
  context.set_sni(std::string(sni));
  socket->set_name(std::string(api::kTlsSocket));
  socket->mutable_typed_config()->PackFrom(context);
}

void downstream_mtls(const MeshConfig& mesh, core::TransportSocket* socket) {
  tls::DownstreamTlsContext context;
  tls::CommonTlsContext* common = context.mutable_common_tls_context();
  workload_certificate(mesh, common);
  common->add_alpn_protocols(std::string(api::kAlpnH2));
  common->add_alpn_protocols(std::string(api::kAlpnHttp11));
  auto* validation =
      common->mutable_combined_validation_context()->mutable_default_validation_context();
  add_uri_san(validation)->set_prefix(fmt::format("spiffe://{}/", mesh.trust_domain));
  for (const std::string& alias : mesh.trust_domain_aliases) {
    add_uri_san(validation)->set_prefix(fmt::format("spiffe://{}/", alias));
  }
  for (const char* suite : {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
                            "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                            "AES256-GCM-SHA384", "AES128-GCM-SHA256"}) {
    common->mutable_tls_params()->add_cipher_suites(suite);
  }
  context.mutable_require_client_certificate()->set_value(true);
  socket->set_name(std::string(api::kTlsSocket));
  socket->mutable_typed_config()->PackFrom(context);
}

void raw_buffer(core::TransportSocket* socket) {
  socket->set_name(std::string(api::kRawBufferSocket));
  socket->mutable_typed_config()->PackFrom(
      envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer());
}

bool fill_access_log(const MeshConfig& mesh, envoy::config::accesslog::v3::AccessLog* log) {
  if (mesh.access_log_file.empty()) return false;
  envoy::extensions::access_loggers::file::v3::FileAccessLog file;
  file.set_path(mesh.access_log_file);
  if (mesh.access_log_json) {
    auto* fields = file.mutable_log_format()->mutable_json_format();
    if (mesh.access_log_format.empty()) {
      for (const auto& [name, value] : kJsonFields) set_field(fields, std::string(name), value);
    } else {
      (void)google::protobuf::util::JsonStringToMessage(mesh.access_log_format, fields);
    }
  } else {
    std::string format =
        mesh.access_log_format.empty() ? std::string(api::kIstioAccessLog) : mesh.access_log_format;
    if (!format.ends_with('\n')) format += '\n';
    file.mutable_log_format()->mutable_text_format_source()->set_inline_string(std::move(format));
  }
  log->set_name(std::string(api::kFileAccessLog));
  log->mutable_typed_config()->PackFrom(file);
  return true;
}

}  // namespace mizzen::control
