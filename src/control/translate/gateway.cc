// Listeners of a gateway proxy.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "api/names.h"
#include "control/mesh/hosts.h"
#include "control/translate/gateway_plan.h"
#include "control/translate/http_route.h"
#include "control/translate/listeners.h"
#include "control/translate/sni_clusters.h"
#include "control/translate/tcp_routes.h"
#include "control/translate/tls_parts.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;

namespace {

class GatewayListener {
 public:
  GatewayListener(const View& view, const GatewayPort& port) : view_(view) {
    const std::string address = port.bind.empty() ? "0.0.0.0" : port.bind;
    listener_.set_name(fmt::format("{}_{}", address, port.number));
    listener_.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
    set_socket_address(listener_.mutable_address(), address, port.number);
  }

  void add(const GatewayServer& server);
  lds::Listener finish();

 private:
  // The server's hosts that no chain before has; an empty match for "*". False: nothing is left.
  bool match_hosts(const std::vector<std::string>& hosts, lds::FilterChain* chain);
  void add_http(const GatewayServer& server);
  void add_bytes(const GatewayServer& server);
  bool add_bytes(const GatewayServer& server, const VirtualServiceRule& rule);
  void add_passthrough(const GatewayServer& server, const VirtualServiceRule& rule);
  void add_auto_passthrough(const GatewayServer& server);
  bool admits_any(const GatewayServer& server, const VirtualServiceRule& rule) const;

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
  const bool named = server.terminates_tls() && !server.server->name().empty();
  spec.stat_prefix = named ? server.server->name() : fmt::format("outbound_{};", listener_.name());
  spec.route_name = server.route_name;
  add_http_manager(view_, spec, &chain);
  *listener_.add_filter_chains() = std::move(chain);
}

// TLS that is passed on as it came, by its server name.
void GatewayListener::add_passthrough(const GatewayServer& server, const VirtualServiceRule& rule) {
  for (TcpRoute& route : tls_routes(view_, rule, server.port, server.full_name())) {
    std::erase_if(route.sni_hosts, [&](const std::string& host) {
      return admitted_hosts(server, host, rule.name_space).empty();
    });
    lds::FilterChain chain;
    if (route.sni_hosts.empty() || !match_hosts(route.sni_hosts, &chain)) continue;
    add_target(view_.mesh(), route.target, &chain);
    *listener_.add_filter_chains() = std::move(chain);
  }
}

// Connections between meshes: the server name names the cluster.
void GatewayListener::add_auto_passthrough(const GatewayServer& server) {
  for (const std::string& name : sni_cluster_names(view_, server)) {
    lds::FilterChain chain;
    if (!match_hosts({name}, &chain)) continue;
    add_tcp_proxy(view_.mesh(), name, &chain);
    *listener_.add_filter_chains() = std::move(chain);
  }
}

bool GatewayListener::admits_any(const GatewayServer& server,
                                 const VirtualServiceRule& rule) const {
  return std::ranges::any_of(rule.spec->hosts(), [&](const std::string& host) {
    return !admitted_hosts(server, resolve_host(host, rule.name_space, view_.mesh().domain),
                           rule.name_space)
                .empty();
  });
}

// Bytes, plain or out of TLS that ends here: the first tcp route that fits has them all, but for
// those of routes before it that name the client's addresses.
bool GatewayListener::add_bytes(const GatewayServer& server, const VirtualServiceRule& rule) {
  if (!admits_any(server, rule)) return false;
  const auto routes = tcp_routes(view_, rule, server.port, server.full_name());
  if (routes.empty()) return false;
  lds::FilterChain chain;
  if (server.terminates_tls()) {
    std::vector<std::string> hosts;
    for (const std::string& host : server.server->hosts()) hosts.emplace_back(bare_host(host));
    if (!match_hosts(hosts, &chain)) return false;
    terminate_tls(view_, server.server->tls(), false, chain.mutable_transport_socket());
  }
  for (const TcpRoute& route : routes) {
    lds::FilterChain* added = listener_.add_filter_chains();
    *added = chain;
    match_route({{}, {}, route.sources, {}}, added);
    add_target(view_.mesh(), route.target, added);
    if (route.sources.empty()) break;
  }
  return true;
}

void GatewayListener::add_bytes(const GatewayServer& server) {
  const bool passed = server.server->has_tls() && !server.terminates_tls();
  if (passed && server.server->tls().mode() == schema::ServerTLSSettings::AUTO_PASSTHROUGH) {
    add_auto_passthrough(server);
    return;
  }
  for (const VirtualServiceRule& rule : view_.snapshot.virtual_services) {
    if (!bound_to(rule, server.full_name()) || !reaches(rule, view_.proxy)) continue;
    if (passed) {
      add_passthrough(server, rule);
    } else if (add_bytes(server, rule)) {
      return;
    }
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
