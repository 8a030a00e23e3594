#include "api/names.h"
#include "base/strings.h"
#include "control/translate/destination.h"
#include "control/translate/inbound.h"
#include "control/translate/sni_clusters.h"
#include "control/translate/xds_parts.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "istio/networking.pb.h"

namespace mizzen::control {

namespace cds = envoy::config::cluster::v3;
namespace upstreams = envoy::extensions::upstreams::http::v3;

namespace {

constexpr std::uint32_t kNoLimit = 4294967295;

void set_millis(std::int64_t millis, google::protobuf::Duration* out) {
  out->set_seconds(millis / 1000);
  out->set_nanos(static_cast<int>(millis % 1000) * 1'000'000);
}

void connect_timeout(const MeshConfig& mesh, cds::Cluster* cluster) {
  set_millis(mesh.connect_timeout_ms, cluster->mutable_connect_timeout());
}

void no_limits(cds::Cluster* cluster) {
  auto* threshold = cluster->mutable_circuit_breakers()->add_thresholds();
  threshold->mutable_max_connections()->set_value(kNoLimit);
  threshold->mutable_max_pending_requests()->set_value(kNoLimit);
  threshold->mutable_max_requests()->set_value(kNoLimit);
  threshold->mutable_max_retries()->set_value(kNoLimit);
}

void describe_service(const Service& service, cds::Cluster* cluster) {
  auto* services = (*istio_metadata(cluster->mutable_metadata())->mutable_fields())["services"]
                       .mutable_list_value();
  auto* entry = services->add_values()->mutable_struct_value();
  set_field(entry, "host", service.host);
  set_field(entry, "name", service.name);
  set_field(entry, "namespace", service.name_space);
}

void pack_protocol(const upstreams::HttpProtocolOptions& options, cds::Cluster* cluster) {
  (*cluster->mutable_typed_extension_protocol_options())[std::string(api::kHttpProtocolOptions)]
      .PackFrom(options);
}

void as_downstream(upstreams::HttpProtocolOptions* options) {
  options->mutable_use_downstream_protocol_config()->mutable_http_protocol_options();
  options->mutable_use_downstream_protocol_config()->mutable_http2_protocol_options();
}

cds::Cluster black_hole(const MeshConfig& mesh) {
  cds::Cluster cluster;
  cluster.set_name(std::string(api::kBlackHoleCluster));
  cluster.set_alt_stat_name(cluster.name() + ";");
  cluster.set_type(cds::Cluster::STATIC);
  connect_timeout(mesh, &cluster);
  return cluster;
}

cds::Cluster original_destination(const MeshConfig& mesh, std::string_view name) {
  cds::Cluster cluster;
  cluster.set_name(std::string(name));
  cluster.set_alt_stat_name(cluster.name() + ";");
  cluster.set_type(cds::Cluster::ORIGINAL_DST);
  cluster.set_lb_policy(cds::Cluster::CLUSTER_PROVIDED);
  connect_timeout(mesh, &cluster);
  no_limits(&cluster);
  return cluster;
}

cds::Cluster passthrough(const MeshConfig& mesh, std::string_view name) {
  cds::Cluster cluster = original_destination(mesh, name);
  upstreams::HttpProtocolOptions options;
  options.mutable_common_http_protocol_options()->mutable_idle_timeout()->set_seconds(300);
  as_downstream(&options);
  pack_protocol(options, &cluster);
  return cluster;
}

// The workload tells its own proxy's connections from a client's by this source address.
void from_loopback(cds::Cluster* cluster) {
  auto* source = cluster->mutable_upstream_bind_config()->mutable_source_address();
  source->set_address("127.0.0.6");
  source->set_port_value(0);
}

// What a Sidecar's ingress calls "127.0.0.1:8080", "0.0.0.0:8080" or "unix:///path".
void deliver_to(const Proxy& proxy, const std::string& endpoint, cds::Cluster* cluster) {
  cluster->set_type(cds::Cluster::STATIC);
  cluster->set_lb_policy(cds::Cluster::ROUND_ROBIN);
  auto* assignment = cluster->mutable_load_assignment();
  assignment->set_cluster_name(cluster->name());
  auto* address =
      assignment->add_endpoints()->add_lb_endpoints()->mutable_endpoint()->mutable_address();
  constexpr std::string_view kSocket = "unix://";
  if (endpoint.starts_with(kSocket)) {
    address->mutable_pipe()->set_path(endpoint.substr(kSocket.size()));
    return;
  }
  const std::size_t colon = endpoint.rfind(':');
  const std::string host = endpoint.substr(0, colon);
  const auto port = parse_int<std::uint32_t>(endpoint.substr(colon + 1)).value_or(0);
  const bool any = host == "0.0.0.0" || host == "[::]" || host.empty();
  set_socket_address(address, any ? proxy.address : host == "[::1]" ? "::1" : host, port);
  if (host != "[::1]") from_loopback(cluster);
}

const schema::ConnectionPoolSettings& pool_of(const Snapshot& snapshot, const InboundPort& port) {
  if (port.ingress != nullptr && port.ingress->has_connection_pool()) {
    return port.ingress->connection_pool();
  }
  return snapshot.sidecar == nullptr ? schema::ConnectionPoolSettings::default_instance()
                                     : snapshot.sidecar->spec->inbound_connection_pool();
}

cds::Cluster inbound(const View& view, std::uint16_t number, const InboundPort& port) {
  cds::Cluster cluster = original_destination(view.mesh(), api::inbound_cluster(number));
  if (port.ingress != nullptr && !port.ingress->default_endpoint().empty()) {
    deliver_to(view.proxy, port.ingress->default_endpoint(), &cluster);
  } else if (port.bound()) {
    // Its own socket took the connection: the workload stands behind loopback.
    deliver_to(view.proxy, "127.0.0.1:" + std::to_string(number), &cluster);
  } else {
    // Each address ever asked for would stay; a workload has one.
    cluster.mutable_cleanup_interval()->set_seconds(9223372035);
    from_loopback(&cluster);
  }
  if (port.service != nullptr) describe_service(*port.service, &cluster);
  apply_connection_pool(pool_of(view.snapshot, port), port.protocol, &cluster);
  return cluster;
}

void resolve_by_dns(const View& view, const DestinationRuleRule* rule, const Service& service,
                    const ServicePort& port, const SubsetView& subset, cds::Cluster* cluster) {
  const bool one = service.resolution == Resolution::kDnsRoundRobin;
  cluster->set_type(one ? cds::Cluster::LOGICAL_DNS : cds::Cluster::STRICT_DNS);
  cluster->set_dns_lookup_family(cds::Cluster::V4_ONLY);
  set_millis(view.mesh().dns_refresh_ms, cluster->mutable_dns_refresh_rate());
  cluster->set_respect_dns_ttl(true);
  auto* assignment = cluster->mutable_load_assignment();
  if (service.external_name.empty()) {
    *assignment = assign_endpoints(view, rule, service, port, subset);
    assignment->set_cluster_name(cluster->name());
    return;
  }
  assignment->set_cluster_name(cluster->name());
  auto* endpoint = assignment->add_endpoints()->add_lb_endpoints()->mutable_endpoint();
  set_socket_address(endpoint->mutable_address(), service.external_name, port.number);
}

void find_endpoints(const View& view, const DestinationRuleRule* rule, const Service& service,
                    const ServicePort& port, const SubsetView& subset, cds::Cluster* cluster) {
  if (service.is_dns()) {
    resolve_by_dns(view, rule, service, port, subset, cluster);
    return;
  }
  // A gateway has no original destination to go to.
  if (service.resolution == Resolution::kPassthrough && view.proxy.kind == ProxyKind::kSidecar) {
    cluster->set_type(cds::Cluster::ORIGINAL_DST);
    cluster->set_lb_policy(cds::Cluster::CLUSTER_PROVIDED);
    return;
  }
  cluster->set_type(cds::Cluster::EDS);
  cluster->mutable_eds_cluster_config()->set_service_name(cluster->name());
  ads_source(cluster->mutable_eds_cluster_config()->mutable_eds_config());
  cluster->mutable_common_lb_config()->mutable_healthy_panic_threshold();
}

cds::Cluster outbound(const View& view, const DestinationRuleRule* rule, const SubsetView& subset,
                      const Service& service, const ServicePort& port) {
  cds::Cluster cluster;
  cluster.set_name(api::outbound_cluster(port.number, subset.name, service.host));
  cluster.set_alt_stat_name(cluster.name() + ";");
  connect_timeout(view.mesh(), &cluster);
  no_limits(&cluster);
  cluster.set_lb_policy(cds::Cluster::LEAST_REQUEST);
  describe_service(service, &cluster);
  if (service.external) {
    (*istio_metadata(cluster.mutable_metadata())->mutable_fields())["external"].set_bool_value(
        true);
  }
  if (!subset.name.empty()) {
    set_field(istio_metadata(cluster.mutable_metadata()), "subset", subset.name);
  }
  if (rule != nullptr) {
    set_config_metadata(cluster.mutable_metadata(), "destination-rule", rule->name_space,
                        rule->name);
  }
  find_endpoints(view, rule, service, port, subset, &cluster);
  apply_destination_rule(view, rule, subset, service, port, &cluster);
  return cluster;
}

}  // namespace

Resources service_clusters(const Snapshot& snapshot, const Proxy& proxy, const Service& service) {
  auto resources = std::make_shared<xds::ResourceMap>();
  const DestinationRuleRule* rule = snapshot.destination_rule(service.host, proxy);
  const std::vector<SubsetView> subsets = subsets_of(rule);
  for (const ServicePort& port : service.ports) {
    if (port.protocol == Protocol::kUdp) continue;
    for (const SubsetView& subset : subsets) {
      const cds::Cluster cluster = outbound(View{snapshot, proxy}, rule, subset, service, port);
      add_resource(cluster.name(), cluster, resources.get(),
                   cluster.has_eds_cluster_config() ? cluster.name() : std::string());
    }
  }
  return resources;
}

Resources fixed_clusters(const Snapshot& snapshot, const Proxy& proxy) {
  auto resources = std::make_shared<xds::ResourceMap>();
  const auto add = [&](const cds::Cluster& cluster) {
    add_resource(cluster.name(), cluster, resources.get());
  };
  add(black_hole(snapshot.mesh));
  if (proxy.kind == ProxyKind::kSidecar) {
    add(passthrough(snapshot.mesh, api::kPassthroughCluster));
    cds::Cluster inbound_rest = passthrough(snapshot.mesh, api::kInboundPassthroughCluster);
    from_loopback(&inbound_rest);
    add(inbound_rest);
  }
  return resources;
}

void add_own_clusters(const Snapshot& snapshot, const Proxy& proxy, xds::ResourceMap* resources) {
  add_sni_clusters(View{snapshot, proxy}, resources);
  if (proxy.kind != ProxyKind::kSidecar) return;
  for (const auto& [number, port] : inbound_ports(snapshot, proxy)) {
    const cds::Cluster cluster = inbound(View{snapshot, proxy}, number, port);
    add_resource(cluster.name(), cluster, resources);
  }
}

Resources translate_clusters(const Snapshot& snapshot, const Proxy& proxy) {
  auto resources = std::make_shared<xds::ResourceMap>(*fixed_clusters(snapshot, proxy));
  for (const auto& [host, service] : snapshot.services) {
    if (!service->visible_to(proxy.name_space)) continue;
    resources->merge(xds::ResourceMap(*service_clusters(snapshot, proxy, *service)));
  }
  add_own_clusters(snapshot, proxy, resources.get());
  return resources;
}

}  // namespace mizzen::control
