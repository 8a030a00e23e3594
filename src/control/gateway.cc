// Listeners of a gateway proxy.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "api/names.h"
#include "control/gateway_plan.h"
#include "control/hosts.h"
#include "control/http_route.h"
#include "control/listeners.h"
#include "control/tcp_routes.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;

namespace {

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

void secret_by_ads(std::string name, tls::SdsSecretConfig* config) {
  config->set_name(std::move(name));
  config->mutable_sds_config()->mutable_ads();
  config->mutable_sds_config()->set_resource_api_version(envoy::config::core::v3::V3);
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

void files(const schema::ServerTLSSettings& spec, bool mutual, tls::CommonTlsContext* common) {
  auto* certificate = common->add_tls_certificates();
  certificate->mutable_certificate_chain()->set_filename(spec.server_certificate());
  certificate->mutable_private_key()->set_filename(spec.private_key());
  if (mutual) {
    common->mutable_validation_context()->mutable_trusted_ca()->set_filename(
        spec.ca_certificates());
  }
}

// TLS towards the gateway's clients.
void terminate_tls(const View& view, const schema::ServerTLSSettings& spec, bool http,
                   envoy::config::core::v3::TransportSocket* socket) {
  using Spec = schema::ServerTLSSettings;
  if (spec.mode() == Spec::ISTIO_MUTUAL) {
    downstream_mtls(socket, view.mesh().trust_domain);
    return;
  }
  tls::DownstreamTlsContext context;
  tls::CommonTlsContext* common = context.mutable_common_tls_context();
  if (http) {
    common->add_alpn_protocols(std::string(api::kAlpnH2));
    common->add_alpn_protocols(std::string(api::kAlpnHttp11));
  }
  const bool mutual = spec.mode() == Spec::MUTUAL || spec.mode() == Spec::OPTIONAL_MUTUAL;
  parameters(spec, common);
  context.mutable_require_client_certificate()->set_value(spec.mode() == Spec::MUTUAL);
  std::string credential = spec.credential_name();
  if (credential.empty() && !spec.credential_names().empty()) credential = spec.credential_names(0);
  if (credential.empty()) {
    files(spec, mutual, common);
  } else {
    const std::string name = std::string(api::kKubernetesSecretPrefix) + credential;
    secret_by_ads(name, common->add_tls_certificate_sds_secret_configs());
    if (mutual) {
      auto* combined = common->mutable_combined_validation_context();
      auto* validation = combined->mutable_default_validation_context();
      secret_by_ads(name + std::string(api::kCacertSuffix),
                    combined->mutable_validation_context_sds_secret_config());
      for (const std::string& san : spec.subject_alt_names()) {
        auto* typed = validation->add_match_typed_subject_alt_names();
        typed->set_san_type(san.starts_with("spiffe://") ? tls::SubjectAltNameMatcher::URI
                                                         : tls::SubjectAltNameMatcher::DNS);
        typed->mutable_matcher()->set_exact(san);
      }
    }
  }
  socket->set_name(std::string(api::kTlsSocket));
  socket->mutable_typed_config()->PackFrom(context);
}

class GatewayListener {
 public:
  GatewayListener(const View& view, std::uint16_t port) : view_(view) {
    listener_.set_name(fmt::format("0.0.0.0_{}", port));
    listener_.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
    set_socket_address(listener_.mutable_address(), "0.0.0.0", port);
  }

  void add(const GatewayServer& server);
  lds::Listener finish();

 private:
  // The server's hosts that no chain before has; an empty match for "*". False: nothing is left.
  bool match_hosts(const std::vector<std::string>& hosts, lds::FilterChain* chain);
  void add_http(const GatewayServer& server);
  void add_bytes(const GatewayServer& server);

  View view_;
  lds::Listener listener_;
  std::set<std::string> seen_;
  bool by_sni_ = false;
};

bool GatewayListener::match_hosts(const std::vector<std::string>& hosts, lds::FilterChain* chain) {
  by_sni_ = true;
  bool any = false;
  for (const std::string& host : hosts) {
    if (!seen_.insert(host).second) continue;
    any = true;
    if (host == "*") {
      chain->clear_filter_chain_match();
      return true;
    }
    chain->mutable_filter_chain_match()->add_server_names(host);
  }
  return any;
}

void GatewayListener::add_http(const GatewayServer& server) {
  lds::FilterChain chain;
  if (server.terminates_tls()) {
    std::vector<std::string> hosts;
    for (const std::string& host : server.server->hosts()) hosts.emplace_back(bare_host(host));
    if (!match_hosts(hosts, &chain)) return;
    terminate_tls(view_, server.server->tls(), true, chain.mutable_transport_socket());
  } else if (listener_.filter_chains_size() > 0) {
    return;  // plain servers of a port share one chain; their routes are told apart by host
  }
  HttpChain spec;
  spec.side = HttpSide::kGateway;
  spec.stat_prefix = fmt::format("outbound_{};", listener_.name());
  spec.route_name = server.route_name;
  add_http_manager(view_, spec, &chain);
  *listener_.add_filter_chains() = std::move(chain);
}

// TCP, and TLS that is passed on or terminated for bytes.
void GatewayListener::add_bytes(const GatewayServer& server) {
  const std::string gateway = server.full_name();
  for (const VirtualServiceRule& rule : view_.snapshot.virtual_services) {
    if (!bound_to(rule, gateway)) continue;
    if (server.server->has_tls() && !server.terminates_tls()) {
      for (TlsRoute& route : tls_routes(view_, rule, server.port, gateway)) {
        std::erase_if(route.sni_hosts, [&](const std::string& host) {
          return server_admits(server, host, rule.name_space).empty();
        });
        lds::FilterChain chain;
        if (route.sni_hosts.empty() || !match_hosts(route.sni_hosts, &chain)) continue;
        add_weighted_tcp_proxy(view_.mesh(), route.destinations, &chain);
        *listener_.add_filter_chains() = std::move(chain);
      }
      continue;
    }
    const Destinations to = tcp_route(view_, rule, server.port, gateway);
    if (to.empty()) continue;
    lds::FilterChain chain;
    if (server.terminates_tls()) {
      std::vector<std::string> hosts;
      for (const std::string& host : server.server->hosts()) hosts.emplace_back(bare_host(host));
      if (!match_hosts(hosts, &chain)) continue;
      terminate_tls(view_, server.server->tls(), false, chain.mutable_transport_socket());
    } else if (listener_.filter_chains_size() > 0) {
      continue;
    }
    add_weighted_tcp_proxy(view_.mesh(), to, &chain);
    *listener_.add_filter_chains() = std::move(chain);
  }
}

void GatewayListener::add(const GatewayServer& server) {
  if (server.route_name.empty()) {
    add_bytes(server);
  } else {
    add_http(server);
  }
}

lds::Listener GatewayListener::finish() {
  if (by_sni_) {
    auto* filter = listener_.add_listener_filters();
    filter->set_name(std::string(api::kTlsInspector));
    filter->mutable_typed_config()->PackFrom(
        envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector());
  }
  return std::move(listener_);
}

}  // namespace

std::vector<lds::Listener> gateway_listeners(const View& view) {
  std::vector<lds::Listener> listeners;
  for (const auto& [port, servers] : plan_gateway(view.snapshot, view.proxy)) {
    GatewayListener listener(view, port);
    for (const GatewayServer& server : servers) listener.add(server);
    lds::Listener made = listener.finish();
    // Envoy refuses a listener without chains.
    if (made.filter_chains_size() > 0) listeners.push_back(std::move(made));
  }
  return listeners;
}

}  // namespace mizzen::control
