#include "control/tcp_routes.h"

#include <algorithm>

#include "api/names.h"
#include "control/hosts.h"
#include "control/http_action.h"
#include "control/listeners.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;

namespace {

constexpr std::string_view kMesh = "mesh";

template <class Match>
bool applies(const Match& match, const View& view, const VirtualServiceRule& rule,
             std::uint16_t port, std::string_view gateway) {
  if (match.port() != 0 && match.port() != port) return false;
  if (!match.source_namespace().empty() && match.source_namespace() != view.proxy.name_space) {
    return false;
  }
  for (const auto& [key, value] : match.source_labels()) {
    const auto found = view.proxy.labels.find(key);
    if (found == view.proxy.labels.end() || found->second != value) return false;
  }
  if (match.gateways().empty()) return true;
  return std::ranges::any_of(match.gateways(), [&](const std::string& name) {
    return name == gateway || gateway == rule.name_space + "/" + name;
  });
}

template <class Routes>
Destinations destinations(const View& view, const VirtualServiceRule& rule, const Routes& routes,
                          std::uint16_t port) {
  Destinations out;
  for (const schema::RouteDestination& route : routes) {
    if (routes.size() > 1 && route.weight() == 0) continue;
    out.emplace_back(destination_cluster(view, rule.name_space, route.destination(), port),
                     routes.size() > 1 ? static_cast<std::uint32_t>(route.weight()) : 0);
  }
  return out;
}

// VirtualServices of the mesh that speak of the service, the most specific host first.
std::vector<const VirtualServiceRule*> rules_for(const View& view, const Service& service) {
  std::vector<std::pair<std::string, const VirtualServiceRule*>> found;
  for (const VirtualServiceRule& rule : view.snapshot.virtual_services) {
    const std::vector<std::string> export_to(rule.spec->export_to().begin(),
                                             rule.spec->export_to().end());
    if (!bound_to(rule, kMesh)) continue;
    if (!exported_to(export_to, rule.name_space, view.proxy.name_space)) continue;
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

}  // namespace

std::vector<TlsRoute> tls_routes(const View& view, const VirtualServiceRule& rule,
                                 std::uint16_t port, std::string_view gateway) {
  std::vector<TlsRoute> out;
  for (const schema::TLSRoute& route : rule.spec->tls()) {
    for (const schema::TLSMatchAttributes& match : route.match()) {
      if (!applies(match, view, rule, port, gateway)) continue;
      out.push_back({{match.sni_hosts().begin(), match.sni_hosts().end()},
                     destinations(view, rule, route.route(), port)});
    }
  }
  return out;
}

Destinations tcp_route(const View& view, const VirtualServiceRule& rule, std::uint16_t port,
                       std::string_view gateway) {
  for (const schema::TCPRoute& route : rule.spec->tcp()) {
    const bool fits =
        route.match().empty() || std::ranges::any_of(route.match(), [&](const auto& match) {
          return applies(match, view, rule, port, gateway);
        });
    if (fits) return destinations(view, rule, route.route(), port);
  }
  return {};
}

void add_weighted_tcp_proxy(const MeshConfig& mesh, const Destinations& to,
                            lds::FilterChain* chain) {
  if (to.size() == 1) {
    add_tcp_proxy(mesh, to.front().first, chain);
    return;
  }
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_stat_prefix(to.empty() ? std::string(api::kBlackHoleCluster) : to.front().first);
  for (const auto& [cluster, weight] : to) {
    auto* entry = proxy.mutable_weighted_clusters()->add_clusters();
    entry->set_name(cluster);
    entry->set_weight(weight);
  }
  if (to.empty()) proxy.set_cluster(std::string(api::kBlackHoleCluster));
  add_access_log(mesh, &proxy);
  auto* filter = chain->add_filters();
  filter->set_name(std::string(api::kTcpProxyFilter));
  filter->mutable_typed_config()->PackFrom(proxy);
}

void add_tcp_chains(const View& view, const OutboundListener& outbound, lds::Listener* listener) {
  Destinations rest;
  std::vector<std::string> seen;  // Envoy refuses two chains of one match
  for (const VirtualServiceRule* rule : rules_for(view, *outbound.service)) {
    for (const TlsRoute& route : tls_routes(view, *rule, outbound.port, kMesh)) {
      lds::FilterChain chain;
      for (const std::string& host : route.sni_hosts) {
        if (std::ranges::find(seen, host) != seen.end()) continue;
        seen.push_back(host);
        if (host != "*") chain.mutable_filter_chain_match()->add_server_names(host);
      }
      if (chain.filter_chain_match().server_names().empty()) continue;
      add_weighted_tcp_proxy(view.mesh(), route.destinations, &chain);
      *listener->add_filter_chains() = std::move(chain);
    }
    if (rest.empty()) rest = tcp_route(view, *rule, outbound.port, kMesh);
  }
  if (rest.empty()) {
    rest.emplace_back(api::outbound_cluster(outbound.port, "", outbound.service->host), 0);
  }
  add_weighted_tcp_proxy(view.mesh(), rest, listener->add_filter_chains());
}

}  // namespace mizzen::control
