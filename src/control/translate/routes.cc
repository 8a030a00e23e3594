#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "api/names.h"
#include "control/mesh/hosts.h"
#include "control/mesh/schema_types.h"
#include "control/translate/gateway_plan.h"
#include "control/translate/http_route.h"
#include "control/translate/outbound_plan.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace mizzen::control {

namespace rds = envoy::config::route::v3;

namespace {

constexpr std::string_view kMesh = "mesh";
constexpr std::uint32_t kMaxDirectBody = 1048576;

rds::RouteConfiguration start_config(const std::string& name) {
  rds::RouteConfiguration config;
  config.set_name(name);
  // A destination that does not exist (yet) answers 503; it does not hold back the rest.
  config.mutable_validate_clusters()->set_value(false);
  config.mutable_max_direct_response_body_size_bytes()->set_value(kMaxDirectBody);
  config.set_ignore_port_in_host_matching(true);
  return config;
}

rds::VirtualHost* add_host(std::string name, rds::RouteConfiguration* config) {
  rds::VirtualHost* host = config->add_virtual_hosts();
  host->set_name(std::move(name));
  host->set_include_request_attempt_count(true);
  return host;
}

// Requests for hosts that the mesh does not know.
void add_rest(const MeshConfig& mesh, rds::RouteConfiguration* config) {
  const std::string name(mesh.registry_only ? api::kBlackHoleRoute : api::kPassthroughRoute);
  rds::VirtualHost* host = add_host(name, config);
  host->add_domains("*");
  rds::Route* route = host->add_routes();
  route->set_name(name);
  route->mutable_match()->set_prefix("/");
  if (mesh.registry_only) {
    route->mutable_direct_response()->set_status(502);
    return;
  }
  route->mutable_route()->set_cluster(
      mesh.egress_proxy.empty() ? std::string(api::kPassthroughCluster) : mesh.egress_proxy);
  route->mutable_route()->mutable_timeout();
  route->mutable_route()->mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
}

// A host of a VirtualService as this proxy meets it.
struct BoundHost {
  std::string host;
  const VirtualServiceRule* rule = nullptr;
};

// The mesh's VirtualServices, most specific host first, the oldest of equals first.
std::vector<BoundHost> mesh_hosts(const View& view) {
  std::vector<BoundHost> hosts;
  for (const VirtualServiceRule& rule : view.snapshot.virtual_services) {
    if (!bound_to(rule, kMesh) || !reaches(rule, view.proxy)) continue;
    for (const std::string& host : rule.spec->hosts()) {
      hosts.push_back({resolve_host(host, rule.name_space, view.mesh().domain), &rule});
    }
  }
  std::ranges::stable_sort(hosts, [](const BoundHost& a, const BoundHost& b) {
    return a.host != b.host && more_specific_host(a.host, b.host);
  });
  return hosts;
}

class SidecarRoutes {
 public:
  explicit SidecarRoutes(const View& view) : view_(view), hosts_(mesh_hosts(view)) {}

  rds::RouteConfiguration for_port(std::uint16_t port) const;
  rds::RouteConfiguration for_service(const Service& service, std::uint16_t port) const;

 private:
  void fill(const Service& service, std::uint16_t port, rds::VirtualHost* host) const;
  bool known(std::string_view host) const;
  bool serves_outside(const VirtualServiceRule& rule, std::uint16_t port) const;
  void add_outside_hosts(std::uint16_t port, std::set<std::string>* seen,
                         rds::RouteConfiguration* config) const;

  View view_;
  std::vector<BoundHost> hosts_;
};

// By the first VirtualService that says anything for this port and proxy, else as without one.
void SidecarRoutes::fill(const Service& service, std::uint16_t port, rds::VirtualHost* host) const {
  for (const BoundHost& bound : hosts_) {
    if (!host_covers(bound.host, service.host)) continue;
    if (add_routes(RouteContext{view_, *bound.rule, port, kMesh}, host)) return;
  }
  add_default_route(view_, service, port, host);
}

// Envoy refuses a configuration in which a domain stands twice.
std::vector<std::string> unseen(std::vector<std::string> domains, std::set<std::string>* seen) {
  std::erase_if(domains, [&](const std::string& domain) { return !seen->insert(domain).second; });
  return domains;
}

bool serves_http(const Service& service, std::uint16_t port) {
  const ServicePort* found = service.port(port);
  return found != nullptr && found->listened &&
         (is_http(found->protocol) || found->protocol == Protocol::kDetect);
}

bool SidecarRoutes::known(std::string_view host) const {
  const Snapshot& all = view_.snapshot.everything();
  if (!host.starts_with('*')) return all.service(host) != nullptr;
  return std::ranges::any_of(all.services, [&](const auto& entry) {
    return host_covers(host, entry.first) && entry.second->visible_to(view_.proxy.name_space);
  });
}

// The ports on which hosts that no service has are served: those of the services that the same
// VirtualService names, or port 80.
bool SidecarRoutes::serves_outside(const VirtualServiceRule& rule, std::uint16_t port) const {
  bool any = false;
  for (const auto& [host, service] : view_.snapshot.everything().services) {
    if (!service->visible_to(view_.proxy.name_space)) continue;
    const bool named = std::ranges::any_of(rule.spec->hosts(), [&](const std::string& written) {
      return host_covers(resolve_host(written, rule.name_space, view_.mesh().domain), host);
    });
    if (!named) continue;
    if (serves_http(*service, port)) return true;
    any = any || std::ranges::any_of(service->ports, [&](const ServicePort& one) {
            return serves_http(*service, one.number);
          });
  }
  return !any && port == 80;
}

// VirtualServices for hosts that no service has.
void SidecarRoutes::add_outside_hosts(std::uint16_t port, std::set<std::string>* seen,
                                      rds::RouteConfiguration* config) const {
  for (const BoundHost& bound : hosts_) {
    if (bound.host == "*" || seen->contains(bound.host) || known(bound.host)) continue;
    if (!serves_outside(*bound.rule, port)) continue;
    rds::VirtualHost host;
    if (!add_routes(RouteContext{view_, *bound.rule, port, kMesh}, &host)) continue;
    seen->insert(bound.host);
    rds::VirtualHost* added = add_host(host_and_port(bound.host, port), config);
    added->add_domains(bound.host);
    added->mutable_routes()->Swap(host.mutable_routes());
  }
}

rds::RouteConfiguration SidecarRoutes::for_port(std::uint16_t port) const {
  rds::RouteConfiguration config = start_config(fmt::format("{}", port));
  std::set<std::string> seen{"*"};
  for (const auto& [name, service] : view_.snapshot.services) {
    if (!service->visible_to(view_.proxy.name_space)) continue;
    if (!serves_http(*service, port)) continue;
    const auto domains =
        unseen(service_domains(service->host, view_.proxy.name_space, view_.mesh().domain,
                               call_addresses(*service, view_.proxy)),
               &seen);
    if (domains.empty()) continue;
    rds::VirtualHost* host = add_host(host_and_port(service->host, port), &config);
    for (const std::string& domain : domains) host->add_domains(domain);
    // A headless service's pods are called by their own names too.
    if (service->headless && seen.insert("*." + service->host).second) {
      host->add_domains("*." + service->host);
    }
    fill(*service, port, host);
  }
  add_outside_hosts(port, &seen, &config);
  add_rest(view_.mesh(), &config);
  return config;
}

rds::RouteConfiguration SidecarRoutes::for_service(const Service& service,
                                                   std::uint16_t port) const {
  rds::RouteConfiguration config = start_config(host_and_port(service.host, port));
  rds::VirtualHost* host = add_host(host_and_port(service.host, port), &config);
  host->add_domains("*");
  fill(service, port, host);
  return config;
}

class GatewayRoutes {
 public:
  explicit GatewayRoutes(const View& view) : view_(view) {}
  void add_server(const GatewayServer& server);
  void finish(std::uint16_t port, xds::ResourceMap* resources);

 private:
  struct Config {
    rds::RouteConfiguration config;
    std::map<std::string, int> hosts;  // by domain, the index of its virtual host
  };
  rds::VirtualHost* host_for(const GatewayServer& server, const std::string& domain,
                             Config* config);

  View view_;
  std::map<std::string, Config> configs_;
};

rds::VirtualHost* GatewayRoutes::host_for(const GatewayServer& server, const std::string& domain,
                                          Config* config) {
  const auto found = config->hosts.find(domain);
  rds::VirtualHost* host = nullptr;
  if (found != config->hosts.end()) {
    host = config->config.mutable_virtual_hosts(found->second);
  } else {
    config->hosts[domain] = config->config.virtual_hosts_size();
    host = add_host(host_and_port(domain, server.port), &config->config);
    host->add_domains(domain);
  }
  if (server.server->tls().https_redirect()) host->set_require_tls(rds::VirtualHost::ALL);
  return host;
}

void GatewayRoutes::add_server(const GatewayServer& server) {
  if (server.route_name.empty()) return;
  Config& config =
      configs_.try_emplace(server.route_name, Config{start_config(server.route_name), {}})
          .first->second;
  const std::string gateway = server.full_name();
  for (const VirtualServiceRule& rule : view_.snapshot.virtual_services) {
    if (!bound_to(rule, gateway) || !reaches(rule, view_.proxy)) continue;
    std::set<std::string> domains;
    for (const std::string& written : rule.spec->hosts()) {
      const std::string host = resolve_host(written, rule.name_space, view_.mesh().domain);
      for (std::string& domain : admitted_hosts(server, host, rule.name_space)) {
        domains.insert(std::move(domain));
      }
    }
    rds::VirtualHost routes;
    const RouteContext context{view_, rule, server.port, gateway, server.server->has_tls()};
    if (domains.empty() || !add_routes(context, &routes)) continue;
    for (const std::string& domain : domains) {
      host_for(server, domain, &config)->mutable_routes()->MergeFrom(routes.routes());
    }
  }
  if (!server.server->tls().https_redirect()) return;
  // Whatever the server admits is sent to https, with or without a route.
  for (const std::string& host : server.server->hosts()) {
    host_for(server, std::string(bare_host(host)), &config);
  }
}

void GatewayRoutes::finish(std::uint16_t port, xds::ResourceMap* resources) {
  for (auto& [name, config] : configs_) {
    if (config.config.virtual_hosts_size() == 0) {
      rds::VirtualHost* host = add_host(fmt::format("blackhole:{}", port), &config.config);
      host->add_domains("*");
    }
    for (rds::VirtualHost& host : *config.config.mutable_virtual_hosts()) put_catch_all_last(&host);
    add_resource(name, config.config, resources);
  }
}

}  // namespace

bool proxy_labels_matter(const Snapshot& snapshot) {
  const auto any = [](const auto& routes) {
    return std::ranges::any_of(routes, [](const auto& route) {
      return std::ranges::any_of(route.match(),
                                 [](const auto& match) { return !match.source_labels().empty(); });
    });
  };
  return std::ranges::any_of(snapshot.virtual_services,
                             [&](const VirtualServiceRule& rule) {
                               return any(rule.spec->http()) || any(rule.spec->tcp()) ||
                                      any(rule.spec->tls());
                             }) ||
         std::ranges::any_of(snapshot.destination_rules, [](const DestinationRuleRule& rule) {
           return rule.spec->has_workload_selector();
         });
}

Resources translate_routes(const Snapshot& snapshot, const Proxy& proxy) {
  const View view{snapshot, proxy};
  auto resources = std::make_shared<xds::ResourceMap>();
  if (proxy.kind == ProxyKind::kGateway) {
    for (const auto& [port, servers] : plan_gateway(snapshot, proxy)) {
      GatewayRoutes routes(view);
      for (const GatewayServer& server : servers) routes.add_server(server);
      routes.finish(port.number, resources.get());
    }
    return resources;
  }
  const SidecarRoutes routes(view);
  for (const auto& [name, outbound] : plan_outbound(snapshot, proxy)) {
    if (!outbound.has_route()) continue;
    const rds::RouteConfiguration config =
        outbound.kind == OutboundKind::kPort
            ? routes.for_port(outbound.port)
            : routes.for_service(*outbound.targets.front().service, outbound.port);
    add_resource(config.name(), config, resources.get());
  }
  return resources;
}

}  // namespace mizzen::control
