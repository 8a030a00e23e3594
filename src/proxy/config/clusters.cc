#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/proxy_protocol.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/compile.h"
#include "proxy/config/parts.h"
#include "proxy/upstream/hbone.h"

namespace mizzen::proxy {
namespace {

using Proto = envoy::config::cluster::v3::Cluster;
using envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

Status compile_type(const Proto& proto, Cluster& cluster) {
  switch (proto.type()) {
    case Proto::STATIC:
      cluster.type = Cluster::Type::kStatic;
      return {};
    case Proto::STRICT_DNS:
      cluster.type = Cluster::Type::kStrictDns;
      return {};
    case Proto::LOGICAL_DNS:
      cluster.type = Cluster::Type::kLogicalDns;
      return {};
    case Proto::EDS:
      cluster.type = Cluster::Type::kEds;
      cluster.eds_name = proto.eds_cluster_config().service_name().empty()
                             ? proto.name()
                             : proto.eds_cluster_config().service_name();
      return {};
    case Proto::ORIGINAL_DST:
      cluster.type = Cluster::Type::kOriginalDst;
      if (proto.original_dst_lb_config().use_http_header()) {
        const auto& name = proto.original_dst_lb_config().http_header_name();
        cluster.original_dst_header = name.empty() ? "x-envoy-original-dst-host" : lower(name);
      }
      cluster.original_dst_port = static_cast<std::uint16_t>(
          proto.original_dst_lb_config().upstream_port_override().value());
      return {};
    default:
      return fail(Code::kUnsupported, "type: unknown value");
  }
}

void compile_slow_start(const Proto::SlowStartConfig& proto, Cluster& cluster) {
  cluster.slow_start_window = duration_of(proto.slow_start_window());
  if (*cluster.slow_start_window <= Duration::zero()) cluster.slow_start_window.reset();
  if (proto.has_aggression() && proto.aggression().default_value() > 0) {
    cluster.slow_start_aggression = proto.aggression().default_value();
  }
  if (proto.has_min_weight_percent()) {
    cluster.slow_start_min_percent = proto.min_weight_percent().value();
  }
}

bool is_prime(std::uint64_t number) {
  if (number < 2) return false;
  for (std::uint64_t factor = 2; factor * factor <= number; ++factor) {
    if (number % factor == 0) return false;
  }
  return true;
}

Status compile_hash_tables(const Proto& proto, Cluster& cluster) {
  switch (proto.ring_hash_lb_config().hash_function()) {
    case Proto::RingHashLbConfig::XX_HASH:
      cluster.ring_hash = RingHash::kXxHash;
      break;
    case Proto::RingHashLbConfig::MURMUR_HASH_2:
      cluster.ring_hash = RingHash::kMurmur2;
      break;
    default:
      return fail(Code::kUnsupported, "ring_hash_lb_config.hash_function: unknown value");
  }
  if (proto.ring_hash_lb_config().has_minimum_ring_size()) {
    cluster.ring_min_size = proto.ring_hash_lb_config().minimum_ring_size().value();
  }
  if (proto.ring_hash_lb_config().has_maximum_ring_size()) {
    cluster.ring_max_size = proto.ring_hash_lb_config().maximum_ring_size().value();
  }
  constexpr std::uint64_t kRingLimit = 8388608;
  if (cluster.ring_min_size > kRingLimit || cluster.ring_max_size > kRingLimit ||
      cluster.ring_min_size > cluster.ring_max_size) {
    return fail(Code::kInvalid,
                "ring_hash_lb_config: minimum_ring_size must not be above "
                "maximum_ring_size, and both not above 8388608");
  }
  if (proto.maglev_lb_config().has_table_size()) {
    cluster.maglev_table_size = proto.maglev_lb_config().table_size().value();
    if (cluster.maglev_table_size > 5000011 || !is_prime(cluster.maglev_table_size)) {
      return fail(Code::kInvalid, "maglev_lb_config.table_size: must be a prime of 1 to 5000011");
    }
  }
  cluster.hash_hostnames =
      proto.common_lb_config().consistent_hashing_lb_config().use_hostname_for_hashing();
  return {};
}

Status compile_balancing(const Proto& proto, Cluster& cluster) {
  switch (proto.lb_policy()) {
    case Proto::ROUND_ROBIN:
      cluster.lb = LbPolicy::kRoundRobin;
      break;
    case Proto::LEAST_REQUEST:
      cluster.lb = LbPolicy::kLeastRequest;
      break;
    case Proto::RANDOM:
      cluster.lb = LbPolicy::kRandom;
      break;
    case Proto::RING_HASH:
      cluster.lb = LbPolicy::kRingHash;
      break;
    case Proto::MAGLEV:
      cluster.lb = LbPolicy::kMaglev;
      break;
    case Proto::CLUSTER_PROVIDED:
      cluster.lb = LbPolicy::kClusterProvided;
      break;
    default:
      return fail(Code::kUnsupported, "lb_policy: " + Proto::LbPolicy_Name(proto.lb_policy()) +
                                          " is not supported by this proxy");
  }
  MIZZEN_CHECKED(compile_hash_tables(proto, cluster));
  if (proto.least_request_lb_config().has_choice_count()) {
    cluster.least_request_choices = proto.least_request_lb_config().choice_count().value();
    if (cluster.least_request_choices < 2) {
      return fail(Code::kInvalid, "least_request_lb_config.choice_count: must be at least 2");
    }
  }
  if (proto.least_request_lb_config().has_active_request_bias()) {
    cluster.active_request_bias =
        proto.least_request_lb_config().active_request_bias().default_value();
    if (!(cluster.active_request_bias >= 0)) {
      return fail(Code::kInvalid,
                  "least_request_lb_config.active_request_bias: must not be below 0");
    }
  }
  if (proto.least_request_lb_config().has_slow_start_config()) {
    compile_slow_start(proto.least_request_lb_config().slow_start_config(), cluster);
  }
  if (proto.round_robin_lb_config().has_slow_start_config()) {
    compile_slow_start(proto.round_robin_lb_config().slow_start_config(), cluster);
  }
  const auto& common = proto.common_lb_config();
  if (common.has_healthy_panic_threshold()) {
    cluster.panic_threshold_percent = common.healthy_panic_threshold().value();
  }
  cluster.locality_weighted = common.has_locality_weighted_lb_config();
  return {};
}

void compile_limits(const Proto& proto, Cluster& cluster) {
  for (const auto& threshold : proto.circuit_breakers().thresholds()) {
    bool high = threshold.priority() == envoy::config::core::v3::HIGH;
    Limits& limits = high ? cluster.high_priority_limits : cluster.limits;
    if (threshold.has_max_connections())
      limits.max_connections = threshold.max_connections().value();
    if (threshold.has_max_pending_requests()) {
      limits.max_pending_requests = threshold.max_pending_requests().value();
    }
    if (threshold.has_max_requests()) limits.max_requests = threshold.max_requests().value();
    if (threshold.has_max_retries()) limits.max_retries = threshold.max_retries().value();
    if (threshold.has_retry_budget()) {
      auto& budget = limits.retry_budget.emplace();
      const auto& from = threshold.retry_budget();
      if (from.has_budget_percent()) budget.percent = from.budget_percent().value();
      if (from.has_min_retry_concurrency()) {
        budget.min_concurrency = from.min_retry_concurrency().value();
      }
    }
  }
}

void compile_outlier(const envoy::config::cluster::v3::OutlierDetection& proto, Cluster& cluster) {
  OutlierDetection& out = cluster.outlier.emplace();
#define MIZZEN_NUMBER(field, to) \
  if (proto.has_##field()) out.to = proto.field().value()
  MIZZEN_NUMBER(consecutive_5xx, consecutive_5xx);
  MIZZEN_NUMBER(consecutive_gateway_failure, consecutive_gateway_failure);
  MIZZEN_NUMBER(consecutive_local_origin_failure, consecutive_local_origin_failure);
  MIZZEN_NUMBER(enforcing_consecutive_5xx, enforcing_consecutive_5xx);
  MIZZEN_NUMBER(enforcing_consecutive_gateway_failure, enforcing_consecutive_gateway_failure);
  MIZZEN_NUMBER(enforcing_consecutive_local_origin_failure,
                enforcing_consecutive_local_origin_failure);
  MIZZEN_NUMBER(success_rate_minimum_hosts, success_rate_minimum_hosts);
  MIZZEN_NUMBER(success_rate_request_volume, success_rate_request_volume);
  MIZZEN_NUMBER(success_rate_stdev_factor, success_rate_stdev_factor);
  MIZZEN_NUMBER(enforcing_success_rate, enforcing_success_rate);
  MIZZEN_NUMBER(enforcing_local_origin_success_rate, enforcing_local_origin_success_rate);
  MIZZEN_NUMBER(failure_percentage_threshold, failure_percentage_threshold);
  MIZZEN_NUMBER(failure_percentage_minimum_hosts, failure_percentage_minimum_hosts);
  MIZZEN_NUMBER(failure_percentage_request_volume, failure_percentage_request_volume);
  MIZZEN_NUMBER(enforcing_failure_percentage, enforcing_failure_percentage);
  MIZZEN_NUMBER(enforcing_failure_percentage_local_origin,
                enforcing_failure_percentage_local_origin);
  MIZZEN_NUMBER(max_ejection_percent, max_ejection_percent);
  MIZZEN_NUMBER(always_eject_one_host, always_eject_one_host);
#undef MIZZEN_NUMBER
  out.split_local_origin = proto.split_external_local_origin_errors();
  if (proto.has_interval()) out.interval = duration_of(proto.interval());
  if (proto.has_base_ejection_time()) out.base_ejection = duration_of(proto.base_ejection_time());
  out.max_ejection = proto.has_max_ejection_time() ? duration_of(proto.max_ejection_time())
                                                   : std::max(out.max_ejection, out.base_ejection);
  out.max_ejection_jitter = duration_of(proto.max_ejection_time_jitter());
}

Status compile_common_http(const envoy::config::core::v3::HttpProtocolOptions& proto,
                           Cluster& cluster) {
  if (proto.has_max_stream_duration()) {
    return fail(Code::kUnsupported,
                "common_http_protocol_options.max_stream_duration: is not supported for clusters; "
                "write max_stream_duration of the route");
  }
  if (proto.has_idle_timeout()) {
    Duration idle = duration_of(proto.idle_timeout());
    cluster.http_idle_timeout = idle == Duration::zero() ? std::nullopt : std::optional(idle);
  }
  if (proto.has_max_requests_per_connection()) {
    cluster.max_requests_per_connection = proto.max_requests_per_connection().value();
  }
  const Duration most = duration_of(proto.max_connection_duration());
  if (most > Duration::zero()) cluster.max_connection_duration = most;
  if (proto.has_max_headers_count()) {
    cluster.http_limits.header_count = proto.max_headers_count().value();
  }
  return {};
}

void compile_protocols(const envoy::config::core::v3::Http1ProtocolOptions& http1,
                       const envoy::config::core::v3::Http2ProtocolOptions& http2,
                       Cluster& cluster) {
  const http::HeaderCase spelled = header_case_of(http1);
  if (spelled != http::HeaderCase::kLower) cluster.header_case = spelled;
  apply_http2_options(http2, cluster.http_limits);
  if (http2.has_connection_keepalive()) {
    cluster.h2_keep_alive = keep_alive_of(http2.connection_keepalive());
  }
}

Status compile_http(const Proto& proto, const CompileContext& context, Cluster& cluster,
                    bool& auto_sni, bool& auto_san) {
  if (proto.has_http2_protocol_options()) cluster.http = UpstreamHttp::kHttp2;
  compile_protocols(proto.http_protocol_options(), proto.http2_protocol_options(), cluster);
  if (proto.protocol_selection() == Proto::USE_DOWNSTREAM_PROTOCOL) {
    cluster.http = UpstreamHttp::kAsDownstream;
  }
  if (proto.has_max_requests_per_connection()) {
    cluster.max_requests_per_connection = proto.max_requests_per_connection().value();
  }
  MIZZEN_CHECKED(compile_common_http(proto.common_http_protocol_options(), cluster));
  for (const auto& [name, any] : proto.typed_extension_protocol_options()) {
    if (!any.Is<HttpProtocolOptions>()) {
      return fail(Code::kUnsupported, fmt::format("typed_extension_protocol_options['{}']: {} is "
                                                  "not supported by this proxy",
                                                  name, any.type_url()));
    }
    MIZZEN_TRY(auto options, unpack<HttpProtocolOptions>(any, context));
    MIZZEN_CHECKED(compile_common_http(options.common_http_protocol_options(), cluster));
    const auto& fixed = options.explicit_http_config();
    const auto& same = options.use_downstream_protocol_config();
    compile_protocols(fixed.http_protocol_options(), fixed.http2_protocol_options(), cluster);
    compile_protocols(same.http_protocol_options(), same.http2_protocol_options(), cluster);
    if (options.has_use_downstream_protocol_config()) {
      cluster.http = UpstreamHttp::kAsDownstream;
    } else if (options.explicit_http_config().has_http2_protocol_options()) {
      cluster.http = UpstreamHttp::kHttp2;
      cluster.max_concurrent_streams =
          options.explicit_http_config().http2_protocol_options().max_concurrent_streams().value();
    } else if (options.has_auto_config()) {
      return fail(Code::kUnsupported,
                  "auto_config: is not supported by this proxy; write "
                  "explicit_http_config");
    } else if (options.explicit_http_config().has_http3_protocol_options()) {
      return fail(Code::kUnsupported, "http3_protocol_options: HTTP/3 is not supported");
    } else {
      cluster.http = UpstreamHttp::kHttp1;
    }
    auto_sni = options.upstream_http_protocol_options().auto_sni();
    auto_san = options.upstream_http_protocol_options().auto_san_validation();
  }
  return {};
}

void compile_metadata(const Proto& proto, Cluster& cluster) {
  cluster.subset = metadata_text(proto.metadata(), api::kIstioMetadata, "subset");
  cluster.config_source = metadata_text(proto.metadata(), api::kIstioMetadata, "config");
  auto istio = proto.metadata().filter_metadata().find(std::string(api::kIstioMetadata));
  if (istio == proto.metadata().filter_metadata().end()) return;
  auto flag = istio->second.fields().find("http1_limits");
  cluster.http1_limits = flag != istio->second.fields().end() && flag->second.bool_value();
  auto services = istio->second.fields().find("services");
  if (services == istio->second.fields().end()) return;
  for (const auto& value : services->second.list_value().values()) {
    const auto& fields = value.struct_value().fields();
    auto text = [&](const char* key) {
      auto field = fields.find(key);
      return field == fields.end() ? std::string() : field->second.string_value();
    };
    cluster.services.push_back({text("host"), text("name"), text("namespace")});
  }
}

std::shared_ptr<const UpstreamTls> with_auto(std::shared_ptr<const UpstreamTls> tls, bool sni,
                                             bool san) {
  if (!tls || (!sni && !san)) return tls;
  auto copy = std::make_shared<UpstreamTls>(*tls);
  copy->auto_sni = sni;
  copy->auto_san_validation = san;
  copy->common.version_hash ^= (sni ? 0x9e3779b9U : 0U) ^ (san ? 0x85ebca6bU : 0U);
  return copy;
}

// True when the socket writes a PROXY header first; `inner` is the one that it wraps then.
Result<bool> compile_proxy_header(const envoy::config::core::v3::TransportSocket& socket,
                                  const CompileContext& context,
                                  envoy::config::core::v3::TransportSocket& inner,
                                  Cluster& cluster) {
  if (!socket.typed_config().Is<ProxyProtocolUpstreamTransport>()) return false;
  MIZZEN_TRY(auto outer, unpack<ProxyProtocolUpstreamTransport>(socket.typed_config(), context));
  const envoy::config::core::v3::ProxyProtocolConfig& config = outer.config();
  inner = outer.transport_socket();
  cluster.proxy_header = config.version() == envoy::config::core::v3::ProxyProtocolConfig::V2
                             ? ProxyHeaderVersion::kV2
                             : ProxyHeaderVersion::kV1;
  return true;
}

Status compile_sockets(const Proto& proto, const CompileContext& context, bool auto_sni,
                       bool auto_san, Cluster& cluster) {
  if (proto.has_transport_socket()) {
    envoy::config::core::v3::TransportSocket inner;
    MIZZEN_TRY(const bool wrapped,
               compile_proxy_header(proto.transport_socket(), context, inner, cluster));
    MIZZEN_TRY(auto tls, compile_upstream_tls(wrapped ? inner : proto.transport_socket(), context));
    cluster.tls = with_auto(std::move(tls), auto_sni, auto_san);
  }
  for (int i = 0; i < proto.transport_socket_matches_size(); ++i) {
    const auto& match = proto.transport_socket_matches(i);
    envoy::config::core::v3::TransportSocket inner;
    MIZZEN_TRY(const bool wrapped,
               compile_proxy_header(match.transport_socket(), context, inner, cluster));
    auto tls = compile_upstream_tls(wrapped ? inner : match.transport_socket(), context);
    if (!tls) {
      return std::unexpected(tls.error().in(fmt::format("transport_socket_matches[{}]", i)));
    }
    TransportSocketMatch& made = cluster.socket_matches.emplace_back();
    made.name = match.name();
    made.tls = with_auto(std::move(*tls), auto_sni, auto_san);
    for (const auto& [key, value] : match.match().fields()) {
      made.match.emplace_back(key, value.string_value());
    }
    std::ranges::sort(made.match);
  }
  return {};
}

Status compile_dns(const Proto& proto, Cluster& cluster) {
  static constexpr DnsFamily kFamilies[] = {DnsFamily::kAuto, DnsFamily::kV4Only,
                                            DnsFamily::kV6Only, DnsFamily::kV4Preferred,
                                            DnsFamily::kAll};
  const auto family = static_cast<std::size_t>(proto.dns_lookup_family());
  if (family >= std::size(kFamilies)) {
    return fail(Code::kUnsupported, "dns_lookup_family: unknown value");
  }
  cluster.dns_family = kFamilies[family];
  if (!proto.has_dns_failure_refresh_rate()) return {};
  const Duration base = duration_of(proto.dns_failure_refresh_rate().base_interval());
  const Duration most = proto.dns_failure_refresh_rate().has_max_interval()
                            ? duration_of(proto.dns_failure_refresh_rate().max_interval())
                            : base * 10;
  if (base < std::chrono::milliseconds(1) || most < base) {
    return fail(Code::kInvalid,
                "dns_failure_refresh_rate: base_interval must be at least 1 ms and not above "
                "max_interval");
  }
  cluster.dns_failure_refresh.emplace(base, most);
  return {};
}

Status compile_connection(const Proto& proto, Cluster& cluster) {
  if (proto.has_connect_timeout()) cluster.connect_timeout = duration_of(proto.connect_timeout());
  if (cluster.connect_timeout <= Duration::zero()) {
    return fail(Code::kInvalid, "connect_timeout: must be more than 0");
  }
  if (proto.upstream_bind_config().has_source_address()) {
    const auto& source = proto.upstream_bind_config().source_address();
    if (pack_ip(source.address()).empty()) {
      return fail(Code::kInvalid, "upstream_bind_config.source_address: '" + source.address() +
                                      "' is not an IP address");
    }
    cluster.bind_source =
        SocketAddr{source.address(), static_cast<std::uint16_t>(source.port_value()), false};
  }
  if (proto.upstream_connection_options().has_tcp_keepalive()) {
    const auto& keepalive = proto.upstream_connection_options().tcp_keepalive();
    cluster.keepalive =
        TcpKeepalive{keepalive.keepalive_probes().value(), keepalive.keepalive_time().value(),
                     keepalive.keepalive_interval().value()};
  }
  if (proto.has_dns_refresh_rate()) cluster.dns_refresh = duration_of(proto.dns_refresh_rate());
  cluster.dns_respect_ttl = proto.respect_dns_ttl();
  return compile_dns(proto, cluster);
}

Result<Endpoint> compile_endpoint(const envoy::config::endpoint::v3::LbEndpoint& proto) {
  Endpoint endpoint;
  MIZZEN_TRY(endpoint.address, compile_address(proto.endpoint().address()));
  if (endpoint.address.internal && endpoint.address.host == kHboneCluster) {
    const std::string& id = proto.endpoint().address().envoy_internal_address().endpoint_id();
    auto meant = io::Address::parse(id);
    if (!meant || !meant->is_ip()) {
      return fail(Code::kInvalid, "envoy_internal_address.endpoint_id: '" + id +
                                      "' is no address and port to tunnel to");
    }
    endpoint.address = {meant->ip(), meant->port(), false};
    endpoint.tunnel_port = kHbonePort;
  }
  endpoint.hostname = proto.endpoint().hostname();
  endpoint.health = static_cast<Health>(proto.health_status());
  if (proto.has_load_balancing_weight()) endpoint.weight = proto.load_balancing_weight().value();
  if (endpoint.weight == 0) {
    return fail(Code::kInvalid, "load_balancing_weight: must be at least 1");
  }
  const auto& metadata = proto.metadata().filter_metadata();
  if (auto found = metadata.find(std::string(api::kTransportSocketMatchMetadata));
      found != metadata.end()) {
    for (const auto& [key, value] : found->second.fields()) {
      endpoint.socket_match.emplace_back(key, value.string_value());
    }
    std::ranges::sort(endpoint.socket_match);
  }
  std::string text = metadata_text(proto.metadata(), api::kIstioMetadata, "workload");
  if (!text.empty()) {
    auto parts = split(text, ';');
    auto part = [&](std::size_t i) {
      return i < parts.size() ? std::string(parts[i]) : std::string();
    };
    endpoint.workload = std::make_shared<const Workload>(
        Workload{part(0), part(1), part(2), part(3), part(4),
                 metadata_text(proto.metadata(), api::kIstioMetadata, "app"),
                 metadata_text(proto.metadata(), api::kIstioMetadata, "version"),
                 metadata_text(proto.metadata(), api::kIstioMetadata, "principal")});
  }
  return endpoint;
}

}  // namespace

Result<std::shared_ptr<const Endpoints>> compile_assignment(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& proto) {
  auto endpoints = std::make_shared<Endpoints>();
  endpoints->name = proto.cluster_name();
  if (proto.policy().drop_overloads_size() > 0) {
    return fail(Code::kUnsupported, "policy.drop_overloads: is not supported by this proxy");
  }
  if (proto.policy().has_overprovisioning_factor()) {
    endpoints->overprovisioning_percent = proto.policy().overprovisioning_factor().value();
  }
  for (int i = 0; i < proto.endpoints_size(); ++i) {
    const auto& group = proto.endpoints(i);
    LocalityEndpoints& made = endpoints->localities.emplace_back();
    made.locality = {group.locality().region(), group.locality().zone(),
                     group.locality().sub_zone()};
    made.priority = group.priority();
    made.weight = group.load_balancing_weight().value();
    if (made.priority > 128) {
      return fail(Code::kInvalid, fmt::format("endpoints[{}].priority: must not be above 128", i));
    }
    made.endpoints.reserve(static_cast<std::size_t>(group.lb_endpoints_size()));
    for (int j = 0; j < group.lb_endpoints_size(); ++j) {
      auto endpoint = compile_endpoint(group.lb_endpoints(j));
      if (!endpoint) {
        return std::unexpected(
            endpoint.error().in(fmt::format("endpoints[{}].lb_endpoints[{}]", i, j)));
      }
      made.endpoints.push_back(std::move(*endpoint));
    }
  }
  std::ranges::stable_sort(endpoints->localities, {}, &LocalityEndpoints::priority);
  return endpoints;
}

Result<std::shared_ptr<const Endpoints>> compile_endpoints(std::string_view bytes,
                                                           Warnings* warnings) {
  envoy::config::endpoint::v3::ClusterLoadAssignment proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(Code::kInvalid, "not a ClusterLoadAssignment message");
  }
  MIZZEN_CHECKED(check_fields(api::kEndpointType, bytes, warnings));
  MIZZEN_TRY(auto endpoints, compile_assignment(proto));
  for (const auto& group : endpoints->localities) {
    for (const auto& endpoint : group.endpoints) {
      if (!endpoint.address.pipe && pack_ip(endpoint.address.host).empty()) {
        return fail(Code::kInvalid,
                    "endpoint address '" + endpoint.address.host + "' is not an IP address");
      }
    }
  }
  auto made = std::make_shared<Endpoints>(*endpoints);
  made->version_hash = fnv1a(bytes);
  return made;
}

Result<CompiledCluster> compile_cluster(std::string_view bytes, Warnings* warnings) {
  Proto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(Code::kInvalid, "not a Cluster message");
  }
  MIZZEN_CHECKED(check_fields(api::kClusterType, bytes, warnings));
  CompiledCluster compiled;
  CompileContext context{warnings, &compiled.needs};
  auto cluster = std::make_shared<Cluster>();
  cluster->name = proto.name();
  if (cluster->name.empty()) return fail(Code::kInvalid, "name: must not be empty");
  cluster->stat_name = proto.alt_stat_name().empty() ? proto.name() : proto.alt_stat_name();
  cluster->version_hash = fnv1a(bytes);
  bool auto_sni = false;
  bool auto_san = false;
  MIZZEN_CHECKED(compile_type(proto, *cluster));
  MIZZEN_CHECKED(compile_balancing(proto, *cluster));
  if (cluster->type == Cluster::Type::kEds) {
    auto noted = note_source(api::kEndpointType, cluster->eds_name,
                             proto.eds_cluster_config().eds_config(), &compiled.needs);
    if (!noted) return std::unexpected(noted.error().in("eds_cluster_config.eds_config"));
  }
  compile_limits(proto, *cluster);
  if (proto.has_outlier_detection()) compile_outlier(proto.outlier_detection(), *cluster);
  MIZZEN_CHECKED(compile_http(proto, context, *cluster, auto_sni, auto_san));
  MIZZEN_CHECKED(compile_sockets(proto, context, auto_sni, auto_san, *cluster));
  MIZZEN_CHECKED(compile_connection(proto, *cluster));
  compile_metadata(proto, *cluster);
  bool own_endpoints =
      cluster->type != Cluster::Type::kEds && cluster->type != Cluster::Type::kOriginalDst;
  if (own_endpoints) {
    auto endpoints = compile_assignment(proto.load_assignment());
    if (!endpoints) return std::unexpected(endpoints.error().in("load_assignment"));
    for (const auto& group : (*endpoints)->localities) {
      for (const auto& endpoint : group.endpoints) {
        bool name_allowed = cluster->type != Cluster::Type::kStatic;
        if (!name_allowed && !endpoint.address.pipe && pack_ip(endpoint.address.host).empty()) {
          return fail(Code::kInvalid, "load_assignment: '" + endpoint.address.host +
                                          "' is not an IP address; a name needs type STRICT_DNS");
        }
      }
    }
    compiled.endpoints = std::move(*endpoints);
  }
  compiled.cluster = std::move(cluster);
  return compiled;
}

}  // namespace mizzen::proxy
