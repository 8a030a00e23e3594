#include <fmt/core.h>

#include "api/names.h"
#include "base/strings.h"
#include "control/translate/destination.h"
#include "control/translate/locality.h"
#include "control/translate/xds_parts.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/endpoint/v3/endpoint_components.pb.h"

namespace mizzen::control {

namespace eds = envoy::config::endpoint::v3;
namespace core = envoy::config::core::v3;

namespace {

const Labels kNoLabels;

// What the client's proxy says about the destination in its metrics. `workload` is Istio's own
// field ("workload;namespace;canonical name;canonical revision;cluster"); the other three complete
// the standard labels (app, version, principal).
void describe_workload(const MeshConfig& mesh, const Workload& workload,
                       eds::LbEndpoint* endpoint) {
  auto* istio = istio_metadata(endpoint->mutable_metadata());
  set_field(istio, "workload",
            fmt::format("{};{};{};{};{}", workload.owner_name, workload.name_space,
                        workload.canonical_name(), workload.canonical_revision(), mesh.cluster_id));
  const auto copy_label = [&](const char* key) {
    const auto found = workload.labels.find(key);
    if (found != workload.labels.end()) set_field(istio, key, found->second);
  };
  copy_label("app");
  copy_label("version");
  if (!workload.service_account.empty()) {
    set_field(istio, "principal", workload.spiffe_id(mesh.trust_domain));
  }
}

void add_endpoint(const Snapshot& snapshot, const Endpoint& endpoint,
                  eds::LocalityLbEndpoints* locality) {
  eds::LbEndpoint* out = locality->add_lb_endpoints();
  core::Address* address = out->mutable_endpoint()->mutable_address();
  constexpr std::string_view kSocket = "unix://";
  if (endpoint.address.starts_with(kSocket)) {
    address->mutable_pipe()->set_path(endpoint.address.substr(kSocket.size()));
  } else {
    set_socket_address(address, endpoint.address, endpoint.port);
  }
  out->set_health_status(core::HEALTHY);
  out->mutable_load_balancing_weight()->set_value(endpoint.weight);
  if (endpoint.workload != nullptr) describe_workload(snapshot.mesh, *endpoint.workload, out);
  if (speaks_mutual_tls(snapshot, endpoint)) {
    set_field(&(*out->mutable_metadata()
                     ->mutable_filter_metadata())[std::string(api::kTransportSocketMatchMetadata)],
              "tlsMode", api::kTlsModeIstio);
  }
}

// "region/zone/subzone"
void set_locality(std::string_view text, core::Locality* locality) {
  const std::vector<std::string_view> parts = split(text, '/');
  if (!parts.empty()) locality->set_region(std::string(parts[0]));
  if (parts.size() > 1) locality->set_zone(std::string(parts[1]));
  if (parts.size() > 2) locality->set_sub_zone(std::string(parts[2]));
}

}  // namespace

eds::ClusterLoadAssignment assign_endpoints(const View& view, const DestinationRuleRule* rule,
                                            const Service& service, const ServicePort& port,
                                            const SubsetView& subset) {
  eds::ClusterLoadAssignment out;
  out.set_cluster_name(api::outbound_cluster(port.number, subset.name, service.host));
  const Policy policy = policy_for(rule, subset.name, port.number);
  const LocalityOrder order(view.proxy, policy);
  std::map<std::pair<std::uint32_t, std::string>, eds::LocalityLbEndpoints> localities;
  for (const Endpoint& endpoint : service.endpoints) {
    if (endpoint.port_name != port.name || !endpoint.ready) continue;
    const Workload* workload = endpoint.workload.get();
    const Labels& labels = workload == nullptr ? kNoLabels : workload->labels;
    if (!labels_match(subset.labels, labels)) continue;
    const std::string locality = workload == nullptr ? std::string() : workload->locality;
    add_endpoint(view.snapshot, endpoint,
                 &localities[{order.priority(labels, locality), locality}]);
  }
  for (auto& [key, locality] : localities) {
    locality.set_priority(key.first);
    set_locality(key.second, locality.mutable_locality());
    std::uint32_t weight = 0;
    for (const auto& endpoint : locality.lb_endpoints()) {
      weight += endpoint.load_balancing_weight().value();
    }
    locality.mutable_load_balancing_weight()->set_value(weight);
    *out.add_endpoints() = std::move(locality);
  }
  order.finish(&out);
  return out;
}

bool speaks_mutual_tls(const Snapshot& snapshot, const Endpoint& endpoint) {
  const Workload* workload = endpoint.workload.get();
  if (workload == nullptr || !workload->tls || workload->host_network) return false;
  return snapshot.mtls_mode(workload->name_space, workload->labels, endpoint.port) !=
         MtlsMode::kDisable;
}

Resources service_endpoints(const Snapshot& snapshot, const Proxy& proxy, const Service& service) {
  auto resources = std::make_shared<xds::ResourceMap>();
  const bool eds =
      service.resolution == Resolution::kEndpoints ||
      (service.resolution == Resolution::kPassthrough && proxy.kind == ProxyKind::kGateway);
  if (!eds) return resources;
  const DestinationRuleRule* rule = snapshot.destination_rule(service.host, proxy);
  const std::vector<SubsetView> subsets = subsets_of(rule);
  for (const ServicePort& port : service.ports) {
    if (port.protocol == Protocol::kUdp) continue;
    for (const SubsetView& subset : subsets) {
      const eds::ClusterLoadAssignment out =
          assign_endpoints(View{snapshot, proxy}, rule, service, port, subset);
      add_resource(out.cluster_name(), out, resources.get());
    }
  }
  return resources;
}

Resources translate_endpoints(const Snapshot& snapshot, const Proxy& proxy) {
  auto resources = std::make_shared<xds::ResourceMap>();
  for (const auto& [host, service] : snapshot.services) {
    if (!service->visible_to(proxy.name_space)) continue;
    resources->merge(xds::ResourceMap(*service_endpoints(snapshot, proxy, *service)));
  }
  return resources;
}

}  // namespace mizzen::control
