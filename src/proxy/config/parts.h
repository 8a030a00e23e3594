// Pieces of the compiler that several of its files use; internal to it. Protobufs are only declared
// here.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "proxy/config/compile.h"
#include "proxy/config/fields.h"
#include "proxy/config/snapshot.h"

namespace google::protobuf {
class Any;
class Duration;
}  // namespace google::protobuf
namespace envoy::config::accesslog::v3 {
class AccessLog;
}
namespace envoy::config::core::v3 {
class Address;
class CidrRange;
class ConfigSource;
class DataSource;
class Http1ProtocolOptions;
class Http2ProtocolOptions;
class KeepaliveSettings;
class Metadata;
class TransportSocket;
}  // namespace envoy::config::core::v3
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::listener::v3 {
class Filter;
}
namespace envoy::config::rbac::v3 {
class RBAC;
}
namespace envoy::config::route::v3 {
class HeaderMatcher;
class RouteAction_HashPolicy;
class RouteConfiguration;
}  // namespace envoy::config::route::v3
namespace envoy::extensions::filters::http::fault::v3 {
class HTTPFault;
}
namespace envoy::type::matcher::v3 {
class StringMatcher;
}
namespace envoy::type::v3 {
class FractionalPercent;
}

namespace mizzen::proxy {

struct CompileContext {
  Warnings* warnings = nullptr;
  Needs* needs = nullptr;
  void warn(std::string text) const {
    if (warnings) warnings->push_back(std::move(text));
  }
};

// The message inside an Any, its fields checked. The error says what it is instead.
template <class T, class Any>
Result<T> unpack(const Any& any, const CompileContext& context) {
  T message;
  // UnpackTo would build the descriptors of the whole schema, only to know the type's name.
  if (!any.template Is<T>() || !message.ParseFromString(any.value())) {
    return fail(Code::kInvalid, "typed_config: expected " + T::descriptor()->full_name() +
                                    ", not '" + any.type_url() + "'");
  }
  MIZZEN_CHECKED(check_fields(any.type_url(), any.value(), context.warnings));
  return message;
}

Duration duration_of(const google::protobuf::Duration& duration);
Result<SocketAddr> compile_address(const envoy::config::core::v3::Address& address);
Result<Cidr> compile_cidr(const envoy::config::core::v3::CidrRange& range);
// Inline text or bytes, a file (read now), or an environment variable.
// A file is noted in `needs`, unless that is null.
Result<std::string> data_of(const envoy::config::core::v3::DataSource& source,
                            Needs* needs = nullptr);
Result<std::string> file_text(const std::string& path);  // at most 16 MiB
// The string at metadata[filter][key]; empty when absent.
std::string metadata_text(const envoy::config::core::v3::Metadata& metadata,
                          std::string_view filter, const std::string& key);
bool metadata_flag(const envoy::config::core::v3::Metadata& metadata, std::string_view filter,
                   std::string_view key);  // the same for a boolean; false when absent
Result<route::StringMatcher> compile_string(const envoy::type::matcher::v3::StringMatcher& matcher);
Result<route::HeaderMatcher> compile_header(const envoy::config::route::v3::HeaderMatcher& matcher);
Result<route::Fraction> compile_fraction(const envoy::type::v3::FractionalPercent& percent);
Result<route::HashPolicy> compile_hash(
    const envoy::config::route::v3::RouteAction_HashPolicy& policy);
Result<std::shared_ptr<const route::Rbac>> compile_rbac(const envoy::config::rbac::v3::RBAC& rules);
Result<std::shared_ptr<const route::Fault>> compile_fault(
    const envoy::extensions::filters::http::fault::v3::HTTPFault& fault);

Result<route::TableRef> compile_table(const envoy::config::route::v3::RouteConfiguration& config,
                                      const CompileContext& context);
// One entry of typed_per_filter_config, put where it belongs.
Status compile_per_filter(const std::string& name, const google::protobuf::Any& any,
                          const CompileContext& context, route::PerFilter& to);
Result<std::shared_ptr<const route::LocalRateLimit>> compile_rate_limit(
    const google::protobuf::Any& any, const CompileContext& context);

// What a codec does, of listeners and clusters alike. Fields that are not set leave `to` alone.
http::HeaderCase header_case_of(const envoy::config::core::v3::Http1ProtocolOptions& options);
void apply_http2_options(const envoy::config::core::v3::Http2ProtocolOptions& options,
                         http::Limits& to);
// Nothing when there is no interval.
std::optional<KeepAliveSettings> keep_alive_of(
    const envoy::config::core::v3::KeepaliveSettings& settings);

using AccessLogProtos = google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>;
Result<std::vector<AccessLog>> compile_access_logs(const AccessLogProtos& logs,
                                                   const CompileContext& context);
// One network filter, put into the chain.
Status compile_network_filter(const envoy::config::listener::v3::Filter& filter,
                              const CompileContext& context, FilterChain& chain);

// Null for a raw buffer.
Result<std::shared_ptr<const DownstreamTls>> compile_downstream_tls(
    const envoy::config::core::v3::TransportSocket& socket, const CompileContext& context);
Result<std::shared_ptr<const UpstreamTls>> compile_upstream_tls(
    const envoy::config::core::v3::TransportSocket& socket, const CompileContext& context);

// Where the resource `name` of this type comes from, put into `needs` (may be null).
Status note_source(std::string_view type_url, const std::string& name,
                   const envoy::config::core::v3::ConfigSource& source, Needs* needs);

Result<std::shared_ptr<const Endpoints>> compile_assignment(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment);

}  // namespace mizzen::proxy
