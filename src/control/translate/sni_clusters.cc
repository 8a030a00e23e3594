#include "control/translate/sni_clusters.h"

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/destination.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

namespace mizzen::control {

namespace cds = envoy::config::cluster::v3;

namespace {

struct Passed {
  const Service* service;
  std::uint16_t port;
  std::string subset;
  std::string sni() const { return api::outbound_sni(port, subset, service->host); }
};

std::vector<Passed> passed_services(const View& view, const GatewayServer& server) {
  std::vector<Passed> out;
  for (const auto& [host, service] : view.snapshot.services) {
    if (service->resolution != Resolution::kEndpoints) continue;
    if (!service->visible_to(view.proxy.name_space)) continue;
    if (admitted_hosts(server, host, service->name_space).empty()) continue;
    const auto* rule = view.snapshot.destination_rule(host, view.proxy);
    for (const ServicePort& port : service->ports) {
      if (port.protocol == Protocol::kUdp) continue;
      for (const SubsetView& subset : subsets_of(rule)) {
        out.push_back({service.get(), port.number, subset.name});
      }
    }
  }
  return out;
}

bool auto_passthrough(const GatewayServer& server) {
  return server.server->tls().mode() == schema::ServerTLSSettings::AUTO_PASSTHROUGH;
}

}  // namespace

std::vector<std::string> sni_cluster_names(const View& view, const GatewayServer& server) {
  std::vector<std::string> names;
  for (const Passed& passed : passed_services(view, server)) names.push_back(passed.sni());
  return names;
}

void add_sni_clusters(const View& view, xds::ResourceMap* resources) {
  if (view.proxy.kind != ProxyKind::kGateway) return;
  for (const auto& [port, servers] : plan_gateway(view.snapshot, view.proxy)) {
    for (const GatewayServer& server : servers) {
      if (!auto_passthrough(server)) continue;
      for (const Passed& passed : passed_services(view, server)) {
        // The bytes are TLS already; endpoints are those of the service's own cluster.
        cds::Cluster cluster;
        cluster.set_name(passed.sni());
        cluster.set_alt_stat_name(cluster.name() + ";");
        cluster.set_type(cds::Cluster::EDS);
        cluster.mutable_eds_cluster_config()->set_service_name(
            api::outbound_cluster(passed.port, passed.subset, passed.service->host));
        ads_source(cluster.mutable_eds_cluster_config()->mutable_eds_config());
        cluster.mutable_connect_timeout()->set_seconds(view.mesh().connect_timeout_ms / 1000);
        cluster.set_lb_policy(cds::Cluster::LEAST_REQUEST);
        add_resource(cluster.name(), cluster, resources,
                     cluster.eds_cluster_config().service_name());
      }
    }
  }
}

}  // namespace mizzen::control
