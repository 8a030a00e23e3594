// Pieces of xDS that several translations share. Internal to control.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <string>
#include <string_view>
#include <vector>

#include "control/mesh/snapshot.h"
#include "control/translate/translate.h"

namespace envoy::config::accesslog::v3 {
class AccessLog;
}
namespace envoy::config::core::v3 {
class ConfigSource;
class Metadata;
class TransportSocket;
class Address;
}  // namespace envoy::config::core::v3
namespace envoy::config::listener::v3 {
class Filter;
class FilterChain;
class Listener;
}  // namespace envoy::config::listener::v3
namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace mizzen::control {

// Everything a translation reads.
struct View {
  const Snapshot& snapshot;
  const Proxy& proxy;
  const MeshConfig& mesh() const { return snapshot.mesh; }
};

// The same message always gives the same bytes (maps are sorted).
std::string deterministic_bytes(const google::protobuf::Message& message);
// Adds the message under `name`; `endpoints` as in xds::Resource. The first of a name stays.
void add_resource(std::string name, const google::protobuf::Message& message,
                  xds::ResourceMap* resources, std::string endpoints = {});

void ads_source(envoy::config::core::v3::ConfigSource* source);
void set_socket_address(envoy::config::core::v3::Address* address, std::string_view ip,
                        std::uint32_t port);

// `istio.config: /apis/networking.istio.io/v1/namespaces/<ns>/<kind>/<name>`
void set_config_metadata(envoy::config::core::v3::Metadata* metadata, std::string_view kind,
                         std::string_view name_space, std::string_view name);
google::protobuf::Struct* istio_metadata(envoy::config::core::v3::Metadata* metadata);
void set_field(google::protobuf::Struct* into, const std::string& key, std::string_view value);

// Mutual TLS with the workload's own certificate, as a client. No SANs: any of the mesh's. Names of
// the trust domain's aliases count too.
void upstream_mtls(const MeshConfig& mesh, envoy::config::core::v3::TransportSocket* socket,
                   const std::vector<std::string>& sans, std::string_view sni,
                   const std::vector<std::string>& alpn);
// As a server: the client's certificate is demanded and must be of the trust domain or an alias.
void downstream_mtls(const MeshConfig& mesh, envoy::config::core::v3::TransportSocket* socket);
void raw_buffer(envoy::config::core::v3::TransportSocket* socket);

// The mesh's access log, or nothing when it is off.
template <class Owner>
void add_access_log(const MeshConfig& mesh, Owner* owner);
bool fill_access_log(const MeshConfig& mesh, envoy::config::accesslog::v3::AccessLog* log);

enum class HttpSide { kSidecarOutbound, kSidecarInbound, kGateway };

struct HttpChain {
  HttpSide side = HttpSide::kSidecarOutbound;
  std::string stat_prefix;
  std::string route_name;  // by RDS, unless `inline_route` is there
  const envoy::config::route::v3::RouteConfiguration* inline_route = nullptr;
};
void add_http_manager(const View& view, const HttpChain& spec,
                      envoy::config::listener::v3::FilterChain* chain);
// How long inspectors may look for a protocol; without a limit of the mesh for ever.
void inspection_time(const MeshConfig& mesh, envoy::config::listener::v3::Listener* listener);
void add_tcp_proxy(const MeshConfig& mesh, std::string_view cluster,
                   envoy::config::listener::v3::FilterChain* chain);

template <class Owner>
void add_access_log(const MeshConfig& mesh, Owner* owner) {
  if (!mesh.access_log_file.empty()) fill_access_log(mesh, owner->add_access_log());
}

}  // namespace mizzen::control
