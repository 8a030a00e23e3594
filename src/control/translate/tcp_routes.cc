#include "control/translate/tcp_routes.h"

#include <algorithm>
#include <set>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/http_action.h"
#include "control/translate/http_match.h"
#include "control/translate/listeners.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;

namespace {

constexpr std::string_view kMesh = "mesh";

template <class Match>
bool applies(const Match& match, const View& view, const VirtualServiceRule& rule,
             std::uint16_t port, std::string_view gateway) {
  return (match.port() == 0 || match.port() == port) && source_applies(match, view.proxy) &&
         (match.gateways().empty() || names_gateway(match.gateways(), rule.name_space, gateway));
}

Policy policy_of(const View& view, std::string_view host, std::string_view subset,
                 std::uint16_t port) {
  return policy_for(view.snapshot.destination_rule(host, view.proxy), subset, port);
}

template <class Routes>
TcpTarget target_of(const View& view, const VirtualServiceRule& rule, const Routes& routes,
                    std::uint16_t port) {
  TcpTarget out;
  for (const schema::RouteDestination& route : routes) {
    if (routes.size() > 1 && route.weight() == 0) continue;
    const DestinationSpec& to = route.destination();
    const std::string cluster = destination_cluster(view, rule.name_space, to, port);
    if (out.clusters.empty()) {
      const auto name = api::parse_cluster_name(cluster);
      if (name) out.policy = policy_of(view, name->host, name->subset, name->port);
      // Of several destinations no subset's own tunnel counts, as in Istio: the connection has one.
      if (name && routes.size() > 1) {
        const Policy whole = policy_of(view, name->host, "", name->port);
        out.policy.tunnel = whole.tunnel;
        out.policy.has_tunnel = whole.has_tunnel;
      }
    }
    out.clusters.emplace_back(cluster,
                              routes.size() > 1 ? static_cast<std::uint32_t>(route.weight()) : 0);
  }
  return out;
}

template <class List>
std::vector<std::string> copy(const List& list) {
  return {list.begin(), list.end()};
}

// VirtualServices of the mesh that speak of the service, the most specific host first.
std::vector<const VirtualServiceRule*> rules_for(const View& view, const Service& service) {
  std::vector<std::pair<std::string, const VirtualServiceRule*>> found;
  for (const VirtualServiceRule& rule : view.snapshot.virtual_services) {
    if (!bound_to(rule, kMesh) || !reaches(rule, view.proxy)) continue;
    for (const std::string& written : rule.spec->hosts()) {
      std::string host = resolve_host(written, rule.name_space, view.mesh().domain);
      if (host_covers(host, service.host)) found.emplace_back(std::move(host), &rule);
    }
  }
  std::ranges::stable_sort(found, [](const auto& a, const auto& b) {
    return a.first != b.first && more_specific_host(a.first, b.first);
  });
  std::vector<const VirtualServiceRule*> rules;
  for (const auto& [host, rule] : found) rules.push_back(rule);
  return rules;
}

// Chains for the routes; Envoy refuses two of one match: the first stays.
class Chains {
 public:
  // `shared`: by several services; what matches everything is the listener's default then.
  Chains(const MeshConfig& mesh, bool shared, lds::Listener* listener)
      : mesh_(mesh), shared_(shared), listener_(listener) {}

  void add(TcpRoute route) {
    const std::string subnets = join(route.subnets, ",") + "|" + join(route.sources, ",");
    const auto seen = [&](const std::string& host) {
      return !seen_.insert(host + "|" + subnets).second;
    };
    if (route.sni_hosts.empty()) {
      if (seen("")) return;
    } else if (std::erase_if(route.sni_hosts, seen) > 0 && route.sni_hosts.empty()) {
      return;
    }
    const bool rest =
        shared_ && route.sni_hosts.empty() && route.subnets.empty() && route.sources.empty();
    lds::FilterChain* chain =
        rest ? listener_->mutable_default_filter_chain() : listener_->add_filter_chains();
    match_route(route, chain);
    add_target(mesh_, route.target, chain);
  }

 private:
  const MeshConfig& mesh_;
  bool shared_;
  lds::Listener* listener_;
  std::set<std::string> seen_;
};

// A service of TLS that no address tells from others takes its own server name alone.
void add_service_chains(const View& view, const OutboundTarget& target, bool shared,
                        Chains* chains) {
  const std::uint16_t port = target.port->number;
  const bool tls = is_tls(target.port->protocol);
  const auto add = [&](TcpRoute route) {
    if (route.subnets.empty()) route.subnets = target.ranges;
    chains->add(std::move(route));
  };
  bool default_needed = true;
  for (const VirtualServiceRule* rule : rules_for(view, *target.service)) {
    for (TcpRoute& route :
         tls ? tls_routes(view, *rule, port, kMesh) : tcp_routes(view, *rule, port, kMesh)) {
      // Where tls routes say anything, other server names are not served: as in Istio.
      if (tls || (route.subnets.empty() && route.sources.empty())) default_needed = false;
      add(std::move(route));
      if (!tls && !default_needed) return;
    }
  }
  if (!default_needed) return;
  std::vector<std::string> names;
  if (tls && shared) names.push_back(target.service->host);
  add({std::move(names), {}, {}, service_target(view, *target.service, port)});
}

}  // namespace

TcpTarget any_tcp_target(const View& view, const OutboundListener& outbound) {
  const Service& service = *outbound.targets.front().service;
  for (const VirtualServiceRule* rule : rules_for(view, service)) {
    for (TcpRoute& route : tcp_routes(view, *rule, outbound.port, kMesh)) {
      if (route.subnets.empty() && route.sources.empty()) return std::move(route.target);
    }
  }
  return service_target(view, service, outbound.port);
}

std::vector<TcpRoute> tls_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway) {
  std::vector<TcpRoute> out;
  for (const schema::TLSRoute& route : rule.spec->tls()) {
    if (route.route().empty()) continue;
    for (const schema::TLSMatchAttributes& match : route.match()) {
      if (!applies(match, view, rule, port, gateway)) continue;
      out.push_back({copy(match.sni_hosts()),
                     copy(match.destination_subnets()),
                     {},
                     target_of(view, rule, route.route(), port)});
    }
  }
  return out;
}

std::vector<TcpRoute> tcp_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway) {
  std::vector<TcpRoute> out;
  for (const schema::TCPRoute& route : rule.spec->tcp()) {
    if (route.route().empty()) continue;
    const TcpTarget target = target_of(view, rule, route.route(), port);
    bool all = route.match().empty();
    std::vector<std::string> subnets;
    for (const schema::L4MatchAttributes& match : route.match()) {
      if (!applies(match, view, rule, port, gateway)) continue;
      if (!match.source_subnet().empty()) {
        out.push_back({{}, copy(match.destination_subnets()), {match.source_subnet()}, target});
        continue;
      }
      all = all || match.destination_subnets().empty();
      subnets.insert(subnets.end(), match.destination_subnets().begin(),
                     match.destination_subnets().end());
    }
    if (!all && subnets.empty()) continue;
    if (all) subnets.clear();
    out.push_back({{}, std::move(subnets), {}, target});
    if (all) break;
  }
  return out;
}

TcpTarget service_target(const View& view, const Service& service, std::uint16_t port) {
  return {{{api::outbound_cluster(port, "", service.host), 0}},
          policy_of(view, service.host, "", port)};
}

namespace {

void set_range(const std::string& subnet, envoy::config::core::v3::CidrRange* range) {
  const std::size_t slash = subnet.find('/');
  const std::string address = subnet.substr(0, slash);
  const std::uint32_t whole = address.find(':') == std::string::npos ? 32 : 128;
  range->set_address_prefix(address);
  range->mutable_prefix_len()->set_value(
      slash == std::string::npos
          ? whole
          : parse_int<std::uint32_t>(std::string_view(subnet).substr(slash + 1)).value_or(whole));
}

void add_tunnel(const schema::TrafficPolicy::TunnelSettings& spec,
                envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy* proxy) {
  const bool v6 = spec.target_host().find(':') != std::string::npos;
  auto* tunnel = proxy->mutable_tunneling_config();
  tunnel->set_hostname((v6 ? "[" + spec.target_host() + "]" : spec.target_host()) + ":" +
                       std::to_string(spec.target_port()));
  tunnel->set_use_post(spec.protocol() == "POST");
}

}  // namespace

void match_route(const TcpRoute& route, lds::FilterChain* chain) {
  for (const std::string& host : route.sni_hosts) {
    if (host == "*") {
      chain->mutable_filter_chain_match()->clear_server_names();
      break;
    }
    chain->mutable_filter_chain_match()->add_server_names(lower(host));
  }
  for (const std::string& subnet : route.subnets) {
    set_range(subnet, chain->mutable_filter_chain_match()->add_prefix_ranges());
  }
  for (const std::string& subnet : route.sources) {
    set_range(subnet, chain->mutable_filter_chain_match()->add_source_prefix_ranges());
  }
}

void add_target(const MeshConfig& mesh, const TcpTarget& target, lds::FilterChain* chain) {
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  if (target.clusters.empty()) {
    proxy.set_stat_prefix(std::string(api::kBlackHoleCluster));
    proxy.set_cluster(std::string(api::kBlackHoleCluster));
  } else if (target.clusters.size() == 1) {
    proxy.set_stat_prefix(target.clusters.front().first);
    proxy.set_cluster(target.clusters.front().first);
  } else {
    proxy.set_stat_prefix(target.clusters.front().first);
    for (const auto& [cluster, weight] : target.clusters) {
      auto* entry = proxy.mutable_weighted_clusters()->add_clusters();
      entry->set_name(cluster);
      entry->set_weight(weight);
    }
  }
  const auto& tcp = target.policy.pool.tcp();
  if (tcp.has_idle_timeout()) *proxy.mutable_idle_timeout() = tcp.idle_timeout();
  if (tcp.has_max_connection_duration()) {
    *proxy.mutable_max_downstream_connection_duration() = tcp.max_connection_duration();
  }
  if (target.policy.has_tunnel && !target.clusters.empty()) {
    add_tunnel(target.policy.tunnel, &proxy);
  }
  if (target.policy.balancer.consistent_hash().use_source_ip()) {
    proxy.add_hash_policy()->mutable_source_ip();
  }
  add_access_log(mesh, &proxy);
  auto* filter = chain->add_filters();
  filter->set_name(std::string(api::kTcpProxyFilter));
  filter->mutable_typed_config()->PackFrom(proxy);
}

void add_tcp_chains(const View& view, const OutboundListener& outbound, lds::Listener* listener) {
  const bool shared = outbound.kind == OutboundKind::kPort || outbound.targets.size() > 1;
  Chains chains(view.mesh(), shared, listener);
  for (const OutboundTarget& target : outbound.targets) {
    add_service_chains(view, target, shared, &chains);
  }
}

}  // namespace mizzen::control
