#include "control/translate/destination.h"

#include <algorithm>
#include <set>

#include "api/names.h"
#include "control/mesh/hosts.h"
#include "control/mesh/schema_types.h"
#include "control/translate/locality.h"
#include "control/translate/policy.h"
#include "control/translate/tls_parts.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace mizzen::control {

namespace cds = envoy::config::cluster::v3;
namespace upstreams = envoy::extensions::upstreams::http::v3;

namespace {

using HttpSettings = schema::ConnectionPoolSettings::HTTPSettings;

bool upgraded(const Policy& policy) {
  return policy.pool.http().h2_upgrade_policy() == HttpSettings::UPGRADE &&
         !policy.pool.http().use_client_protocol();
}

// What connections of any protocol have in common. False when nothing is said.
bool common_options(const Policy& policy, upstreams::HttpProtocolOptions* options) {
  const auto& tcp = policy.pool.tcp();
  const auto& http = policy.pool.http();
  envoy::config::core::v3::HttpProtocolOptions common;
  if (http.has_idle_timeout()) {
    *common.mutable_idle_timeout() = http.idle_timeout();
  } else if (tcp.has_idle_timeout()) {
    *common.mutable_idle_timeout() = tcp.idle_timeout();
  }
  if (http.max_requests_per_connection() > 0) {
    common.mutable_max_requests_per_connection()->set_value(
        static_cast<std::uint32_t>(http.max_requests_per_connection()));
  }
  if (tcp.has_max_connection_duration()) {
    *common.mutable_max_connection_duration() = tcp.max_connection_duration();
  }
  if (common.ByteSizeLong() == 0) return false;
  *options->mutable_common_http_protocol_options() = std::move(common);
  return true;
}

template <class Http2>
void http2_options(const HttpSettings& http, Http2* out) {
  if (http.max_concurrent_streams() > 0) {
    out->mutable_max_concurrent_streams()->set_value(
        static_cast<std::uint32_t>(http.max_concurrent_streams()));
  }
  // Envoy refuses one without a timeout, admission before it.
  const auto& keep_alive = http.http2_keep_alive();
  if (!keep_alive.has_timeout()) return;
  *out->mutable_connection_keepalive()->mutable_timeout() = keep_alive.timeout();
  if (keep_alive.has_interval()) {
    *out->mutable_connection_keepalive()->mutable_interval() = keep_alive.interval();
  }
}

// TLS that takes its server name and the name it verifies from the request.
bool auto_names(const Policy& policy, upstreams::HttpProtocolOptions* options) {
  using Tls = schema::ClientTLSSettings;
  if (!policy.has_tls || !policy.tls.sni().empty()) return false;
  if (policy.tls.mode() != Tls::SIMPLE && policy.tls.mode() != Tls::MUTUAL) return false;
  auto* names = options->mutable_upstream_http_protocol_options();
  names->set_auto_sni(true);
  if (policy.tls.subject_alt_names().empty() && !policy.tls.insecure_skip_verify()) {
    names->set_auto_san_validation(true);
  }
  return true;
}

void protocol_options(const Policy& policy, Protocol protocol, cds::Cluster* cluster) {
  upstreams::HttpProtocolOptions options;
  const auto& http = policy.pool.http();
  const bool common = common_options(policy, &options);
  const bool names = auto_names(policy, &options);
  if (http.use_client_protocol() || (protocol == Protocol::kDetect && !upgraded(policy))) {
    options.mutable_use_downstream_protocol_config()->mutable_http_protocol_options();
    http2_options(
        http, options.mutable_use_downstream_protocol_config()->mutable_http2_protocol_options());
  } else if (is_http2(protocol) || upgraded(policy)) {
    http2_options(http, options.mutable_explicit_http_config()->mutable_http2_protocol_options());
  } else if (common || names) {
    options.mutable_explicit_http_config()->mutable_http_protocol_options();
  } else {
    return;
  }
  (*cluster->mutable_typed_extension_protocol_options())[std::string(api::kHttpProtocolOptions)]
      .PackFrom(options);
}

void apply_retry_budget(const schema::TrafficPolicy::RetryBudget& spec,
                        cds::CircuitBreakers::Thresholds* limits) {
  auto* budget = limits->mutable_retry_budget();
  budget->mutable_budget_percent()->set_value(spec.has_percent() ? spec.percent() : 20.0);
  budget->mutable_min_retry_concurrency()->set_value(
      spec.min_retry_concurrency() > 0 ? spec.min_retry_concurrency() : 3);
}

void apply_pool(const Policy& policy, cds::Cluster* cluster) {
  auto* limits = cluster->mutable_circuit_breakers()->mutable_thresholds(0);
  const auto& tcp = policy.pool.tcp();
  const auto& http = policy.pool.http();
  const auto set = [](int value, google::protobuf::UInt32Value* out) {
    if (value > 0) out->set_value(static_cast<std::uint32_t>(value));
  };
  set(tcp.max_connections(), limits->mutable_max_connections());
  set(http.http1_max_pending_requests(), limits->mutable_max_pending_requests());
  set(http.http2_max_requests(), limits->mutable_max_requests());
  set(http.max_retries(), limits->mutable_max_retries());
  if (policy.has_retry_budget) apply_retry_budget(policy.retry_budget, limits);
  if (tcp.has_connect_timeout()) *cluster->mutable_connect_timeout() = tcp.connect_timeout();
  if (tcp.has_tcp_keepalive()) {
    auto* keepalive = cluster->mutable_upstream_connection_options()->mutable_tcp_keepalive();
    const auto& spec = tcp.tcp_keepalive();
    if (spec.probes() > 0) keepalive->mutable_keepalive_probes()->set_value(spec.probes());
    if (spec.has_time()) {
      keepalive->mutable_keepalive_time()->set_value(
          static_cast<std::uint32_t>(spec.time().seconds()));
    }
    if (spec.has_interval()) {
      keepalive->mutable_keepalive_interval()->set_value(
          static_cast<std::uint32_t>(spec.interval().seconds()));
    }
  }
  // xDS shows limits, not that they were meant for HTTP/1 connections: said here, so that a Mizzen
  // keeps their meaning when it multiplexes.
  if (tcp.max_connections() > 0 || http.http1_max_pending_requests() > 0 ||
      http.max_requests_per_connection() > 0 ||
      http.h2_upgrade_policy() == HttpSettings::DO_NOT_UPGRADE) {
    (*istio_metadata(cluster->mutable_metadata())->mutable_fields())["http1_limits"].set_bool_value(
        true);
  }
}

void apply_outlier(const Policy& policy, cds::Cluster* cluster) {
  if (!policy.has_outlier) return;
  const auto& spec = policy.outlier;
  auto* out = cluster->mutable_outlier_detection();
  out->mutable_enforcing_success_rate()->set_value(0);
  if (spec.has_interval()) *out->mutable_interval() = spec.interval();
  if (spec.has_base_ejection_time()) *out->mutable_base_ejection_time() = spec.base_ejection_time();
  if (spec.max_ejection_percent() > 0) {
    out->mutable_max_ejection_percent()->set_value(
        static_cast<std::uint32_t>(spec.max_ejection_percent()));
  }
  const auto enforce = [](std::uint32_t count, auto* threshold, auto* enforcing) {
    threshold->set_value(count);
    enforcing->set_value(count > 0 ? 100 : 0);
  };
  if (spec.has_consecutive_5xx_errors()) {
    enforce(spec.consecutive_5xx_errors(), out->mutable_consecutive_5xx(),
            out->mutable_enforcing_consecutive_5xx());
  }
  if (spec.has_consecutive_gateway_errors()) {
    enforce(spec.consecutive_gateway_errors(), out->mutable_consecutive_gateway_failure(),
            out->mutable_enforcing_consecutive_gateway_failure());
  }
  cluster->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(
      spec.min_health_percent());
  if (!spec.split_external_local_origin_errors()) return;
  out->set_split_external_local_origin_errors(true);
  out->mutable_enforcing_local_origin_success_rate()->set_value(0);
  if (spec.consecutive_local_origin_failures() > 0) {
    enforce(spec.consecutive_local_origin_failures(),
            out->mutable_consecutive_local_origin_failure(),
            out->mutable_enforcing_consecutive_local_origin_failure());
  }
}

void apply_consistent_hash(const schema::LoadBalancerSettings::ConsistentHashLB& hash,
                           cds::Cluster* cluster) {
  if (hash.has_maglev()) {
    cluster->set_lb_policy(cds::Cluster::MAGLEV);
    if (hash.maglev().table_size() > 0) {
      cluster->mutable_maglev_lb_config()->mutable_table_size()->set_value(
          hash.maglev().table_size());
    }
    return;
  }
  cluster->set_lb_policy(cds::Cluster::RING_HASH);
  std::uint64_t size = hash.ring_hash().minimum_ring_size();
  if (size == 0) size = hash.minimum_ring_size();
  if (size == 0) size = 1024;
  cluster->mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(size);
}

bool warms_up(const schema::LoadBalancerSettings& spec) {
  return spec.has_warmup() || spec.has_warmup_duration_secs();
}

void warm_up(const schema::LoadBalancerSettings& spec, cds::Cluster::SlowStartConfig* slow) {
  if (!spec.has_warmup()) {
    *slow->mutable_slow_start_window() = spec.warmup_duration_secs();
    return;
  }
  const auto& warmup = spec.warmup();
  *slow->mutable_slow_start_window() = warmup.duration();
  slow->mutable_aggression()->set_default_value(warmup.has_aggression() ? warmup.aggression()
                                                                        : 1.0);
  // Envoy wants a key; nobody sets it.
  slow->mutable_aggression()->set_runtime_key("upstream.slow_start.aggression");
  slow->mutable_min_weight_percent()->set_value(
      warmup.has_minimum_percent() ? warmup.minimum_percent() : 10.0);
}

void apply_balancer(const Policy& policy, cds::Cluster* cluster) {
  if (cluster->lb_policy() == cds::Cluster::CLUSTER_PROVIDED) return;
  const auto& spec = policy.balancer;
  if (weighs_localities(policy)) {
    cluster->mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  }
  if (spec.has_consistent_hash()) {
    apply_consistent_hash(spec.consistent_hash(), cluster);
    return;
  }
  using Settings = schema::LoadBalancerSettings;
  switch (spec.simple()) {
    case Settings::ROUND_ROBIN:
      cluster->set_lb_policy(cds::Cluster::ROUND_ROBIN);
      break;
    case Settings::RANDOM:
      cluster->set_lb_policy(cds::Cluster::RANDOM);
      break;
    case Settings::PASSTHROUGH:
      cluster->set_type(cds::Cluster::ORIGINAL_DST);
      cluster->set_lb_policy(cds::Cluster::CLUSTER_PROVIDED);
      cluster->clear_eds_cluster_config();
      cluster->clear_common_lb_config();
      break;
    default:
      break;  // least request already
  }
  if (cluster->lb_policy() == cds::Cluster::ROUND_ROBIN && warms_up(spec)) {
    warm_up(spec, cluster->mutable_round_robin_lb_config()->mutable_slow_start_config());
  } else if (cluster->lb_policy() == cds::Cluster::LEAST_REQUEST && warms_up(spec)) {
    warm_up(spec, cluster->mutable_least_request_lb_config()->mutable_slow_start_config());
  }
}

// What a client offers: the destination's proxy picks its chain by these names.
std::vector<std::string> mesh_alpn(Protocol protocol, const Policy& policy) {
  if (is_http2(protocol) || upgraded(policy)) {
    return {std::string(api::kAlpnIstioH2), std::string(api::kAlpnIstio),
            std::string(api::kAlpnH2)};
  }
  if (is_http(protocol)) return {std::string(api::kAlpnIstioHttp11), std::string(api::kAlpnIstio)};
  return {std::string(api::kAlpnIstio)};
}

// What the mesh says of every service, where no rule does.
void fill_from_mesh(const MeshConfig& mesh, Protocol protocol, Policy* policy) {
  if (mesh.keepalive && !policy->pool.tcp().has_tcp_keepalive()) {
    auto* keepalive = policy->pool.mutable_tcp()->mutable_tcp_keepalive();
    keepalive->set_probes(mesh.keepalive->probes);
    if (mesh.keepalive->time_s > 0) keepalive->mutable_time()->set_seconds(mesh.keepalive->time_s);
    if (mesh.keepalive->interval_s > 0) {
      keepalive->mutable_interval()->set_seconds(mesh.keepalive->interval_s);
    }
  }
  using Http = schema::ConnectionPoolSettings::HTTPSettings;
  if (mesh.h2_upgrade && protocol == Protocol::kHttp &&
      policy->pool.http().h2_upgrade_policy() == Http::DEFAULT) {
    policy->pool.mutable_http()->set_h2_upgrade_policy(Http::UPGRADE);
  }
}

bool all_speak_mutual_tls(const Snapshot& snapshot, const Service& service,
                          const ServicePort& port) {
  bool any = false;
  for (const Endpoint& endpoint : service.endpoints) {
    if (endpoint.port_name != port.name) continue;
    if (!speaks_mutual_tls(snapshot, endpoint)) return false;
    any = true;
  }
  return any;
}

// A sidecar uses a rule's credential only if the rule names it: not every workload that a rule
// reaches may see the secret.
bool may_use_credential(const View& view, const DestinationRuleRule& rule,
                        const schema::ClientTLSSettings& spec) {
  return spec.credential_name().empty() || view.proxy.kind == ProxyKind::kGateway ||
         rule.spec->has_workload_selector();
}

void apply_tls(const View& view, const DestinationRuleRule* rule, const Policy& policy,
               const SubsetView& subset, const Service& service, const ServicePort& port,
               cds::Cluster* cluster) {
  using Tls = schema::ClientTLSSettings;
  const std::string sni = policy.has_tls && !policy.tls.sni().empty()
                              ? policy.tls.sni()
                              : api::outbound_sni(port.number, subset.name, service.host);
  std::vector<std::string> sans = service.accounts;
  sans.insert(sans.end(), service.sans.begin(), service.sans.end());
  if (policy.has_tls) {
    if (policy.tls.mode() == Tls::DISABLE) return;
    if (policy.tls.mode() != Tls::ISTIO_MUTUAL) {
      if (may_use_credential(view, *rule, policy.tls)) {
        Tls spec = policy.tls;
        if (spec.subject_alt_names().empty()) {
          for (const std::string& san : service.sans) spec.add_subject_alt_names(san);
        }
        const std::string name = service.host.starts_with('*') ? std::string() : service.host;
        originate_tls(spec, name, is_http2(port.protocol) || upgraded(policy),
                      cluster->mutable_transport_socket());
      }
      return;
    }
    if (policy.tls.subject_alt_names_size() > 0) {
      sans.assign(policy.tls.subject_alt_names().begin(), policy.tls.subject_alt_names().end());
    }
    upstream_mtls(view.mesh(), cluster->mutable_transport_socket(), sans, sni,
                  mesh_alpn(port.protocol, policy));
    return;
  }
  if (!view.mesh().auto_mtls || service.external) return;
  // Without endpoints there is nothing to match: all of a headless service's pods or none.
  if (cluster->type() == cds::Cluster::ORIGINAL_DST) {
    if (all_speak_mutual_tls(view.snapshot, service, port)) {
      upstream_mtls(view.mesh(), cluster->mutable_transport_socket(), sans, sni,
                    mesh_alpn(port.protocol, policy));
    }
    return;
  }
  if (!service.external_name.empty()) return;
  // Automatic: mutual TLS with endpoints that say they speak it, plain text with the rest.
  auto* mutual = cluster->add_transport_socket_matches();
  mutual->set_name("tlsMode-istio");
  set_field(mutual->mutable_match(), "tlsMode", api::kTlsModeIstio);
  upstream_mtls(view.mesh(), mutual->mutable_transport_socket(), sans, sni,
                mesh_alpn(port.protocol, policy));
  auto* plain = cluster->add_transport_socket_matches();
  plain->set_name("tlsMode-disabled");
  plain->mutable_match();
  raw_buffer(plain->mutable_transport_socket());
}

// A PROXY header ahead of whatever else a socket does.
void write_proxy_header(const schema::TrafficPolicy::ProxyProtocol& spec,
                        envoy::config::core::v3::TransportSocket* socket) {
  namespace core = envoy::config::core::v3;
  envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport outer;
  const bool second = spec.version() == schema::TrafficPolicy::ProxyProtocol::V2;
  outer.mutable_config()->set_version(second ? core::ProxyProtocolConfig::V2
                                             : core::ProxyProtocolConfig::V1);
  if (socket->name().empty()) {
    raw_buffer(outer.mutable_transport_socket());
  } else {
    *outer.mutable_transport_socket() = *socket;
  }
  socket->set_name("envoy.transport_sockets.upstream_proxy_protocol");
  socket->mutable_typed_config()->PackFrom(outer);
}

void apply_proxy_protocol(const Policy& policy, cds::Cluster* cluster) {
  if (!policy.has_proxy_protocol) return;
  for (auto& match : *cluster->mutable_transport_socket_matches()) {
    write_proxy_header(policy.proxy_protocol, match.mutable_transport_socket());
  }
  if (cluster->has_transport_socket() || cluster->transport_socket_matches().empty()) {
    write_proxy_header(policy.proxy_protocol, cluster->mutable_transport_socket());
  }
}

}  // namespace

std::vector<std::string> client_credentials(const View& view) {
  std::set<std::string> names;
  const auto note = [&](const DestinationRuleRule& rule, const auto& policy) {
    if (policy.tls().credential_name().empty()) return;
    if (may_use_credential(view, rule, policy.tls())) names.insert(policy.tls().credential_name());
  };
  const auto note_all = [&](const DestinationRuleRule& rule, const schema::TrafficPolicy& policy) {
    note(rule, policy);
    for (const auto& level : policy.port_level_settings()) note(rule, level);
  };
  for (const auto& [host, service] : view.snapshot.services) {
    const DestinationRuleRule* rule = view.snapshot.destination_rule(host, view.proxy);
    if (rule == nullptr) continue;
    note_all(*rule, rule->spec->traffic_policy());
    for (const schema::Subset& subset : rule->spec->subsets()) {
      note_all(*rule, subset.traffic_policy());
    }
  }
  return {names.begin(), names.end()};
}

std::vector<SubsetView> subsets_of(const DestinationRuleRule* rule) {
  std::vector<SubsetView> out{{}};
  if (rule == nullptr) return out;
  for (const schema::Subset& subset : rule->spec->subsets()) {
    SubsetView view{subset.name(), {}};
    for (const auto& [key, value] : subset.labels()) view.labels[key] = value;
    out.push_back(std::move(view));
  }
  return out;
}

void apply_destination_rule(const View& view, const DestinationRuleRule* rule,
                            const SubsetView& subset, const Service& service,
                            const ServicePort& port, cds::Cluster* cluster) {
  Policy policy = policy_for(rule, subset.name, port.number);
  fill_from_mesh(view.mesh(), port.protocol, &policy);
  apply_pool(policy, cluster);
  apply_outlier(policy, cluster);
  apply_balancer(policy, cluster);
  protocol_options(policy, port.protocol, cluster);
  apply_tls(view, rule, policy, subset, service, port, cluster);
  apply_proxy_protocol(policy, cluster);
}

void apply_connection_pool(const schema::ConnectionPoolSettings& pool, Protocol protocol,
                           cds::Cluster* cluster) {
  Policy policy;
  policy.pool = pool;
  apply_pool(policy, cluster);
  protocol_options(policy, protocol, cluster);
}

bool add_hash_policy(const View& view, std::string_view host, std::string_view subset,
                     std::uint16_t port, envoy::config::route::v3::RouteAction* action) {
  const DestinationRuleRule* rule = view.snapshot.destination_rule(host, view.proxy);
  if (rule == nullptr) return false;
  const Policy policy = policy_for(rule, subset, port);
  if (!policy.balancer.has_consistent_hash()) return false;
  const auto& hash = policy.balancer.consistent_hash();
  auto* out = action->add_hash_policy();
  if (!hash.http_header_name().empty()) {
    out->mutable_header()->set_header_name(hash.http_header_name());
  } else if (hash.has_http_cookie()) {
    out->mutable_cookie()->set_name(hash.http_cookie().name());
    out->mutable_cookie()->set_path(hash.http_cookie().path());
    if (hash.http_cookie().has_ttl())
      *out->mutable_cookie()->mutable_ttl() = hash.http_cookie().ttl();
    for (const auto& attribute : hash.http_cookie().attributes()) {
      auto* added = out->mutable_cookie()->add_attributes();
      added->set_name(attribute.name());
      added->set_value(attribute.value());
    }
  } else if (!hash.http_query_parameter_name().empty()) {
    out->mutable_query_parameter()->set_name(hash.http_query_parameter_name());
  } else {
    out->mutable_connection_properties()->set_source_ip(true);
  }
  return true;
}

}  // namespace mizzen::control
