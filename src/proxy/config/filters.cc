#include "proxy/config/filters.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/grpc_web/v3/grpc_web.pb.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace http_filters = envoy::extensions::filters::http;
namespace network_filters = envoy::extensions::filters::network;
using Proto = hcm::HttpConnectionManager;

// Filters of Istio's own Envoy whose work this proxy does by itself: peer metadata, the standard
// metrics, the ALPN towards Istio's servers.
constexpr std::string_view kNative[] = {"istio.metadata_exchange", "istio.stats", "istio.alpn",
                                        "istio.peer_metadata", "istio.istio_authn"};

bool is_native(std::string_view name) {
  return std::ranges::find(kNative, name) != std::end(kNative);
}

// 0 means "none" wherever Envoy has a timeout.
std::optional<Duration> timeout_of(const google::protobuf::Duration& proto) {
  Duration duration = duration_of(proto);
  return duration == Duration::zero() ? std::nullopt : std::optional(duration);
}

Result<std::shared_ptr<const route::Rbac>> rules_or_none(
    bool has, const envoy::config::rbac::v3::RBAC& rules) {
  if (!has) return nullptr;
  return compile_rbac(rules);
}

Result<HttpFilter> compile_rbac_filter(const google::protobuf::Any& any, HttpFilter filter,
                                       const CompileContext& context) {
  MIZZEN_TRY(auto proto, unpack<http_filters::rbac::v3::RBAC>(any, context));
  RbacFilter made;
  MIZZEN_TRY(made.rules, rules_or_none(proto.has_rules(), proto.rules()));
  MIZZEN_TRY(made.shadow, rules_or_none(proto.has_shadow_rules(), proto.shadow_rules()));
  made.shadow_stat_prefix = proto.shadow_rules_stat_prefix();
  filter.settings = std::move(made);
  return filter;
}

// Nothing for a filter that adds nothing here.
Result<std::optional<HttpFilter>> compile_http_filter(const hcm::HttpFilter& proto,
                                                      const CompileContext& context) {
  HttpFilter filter;
  filter.name = proto.name();
  filter.disabled = proto.disabled();
  const auto& any = proto.typed_config();
  if (any.Is<http_filters::router::v3::Router>()) {
    MIZZEN_TRY(auto router, unpack<http_filters::router::v3::Router>(any, context));
    filter.settings = RouterFilter{router.suppress_envoy_headers()};
  } else if (any.Is<http_filters::fault::v3::HTTPFault>()) {
    MIZZEN_TRY(auto fault, unpack<http_filters::fault::v3::HTTPFault>(any, context));
    FaultFilter made;
    if (fault.has_abort() || fault.has_delay()) {
      MIZZEN_TRY(made.policy, compile_fault(fault));
    }
    filter.settings = std::move(made);
  } else if (any.Is<http_filters::cors::v3::Cors>()) {
    filter.settings = CorsFilter{};
  } else if (any.Is<http_filters::rbac::v3::RBAC>()) {
    MIZZEN_TRY(filter, compile_rbac_filter(any, std::move(filter), context));
  } else if (any.Is<http_filters::local_ratelimit::v3::LocalRateLimit>()) {
    RateLimitFilter made;
    MIZZEN_TRY(made.policy, compile_rate_limit(any, context));
    filter.settings = std::move(made);
  } else if (any.Is<http_filters::grpc_stats::v3::FilterConfig>()) {
    filter.settings = GrpcStatsFilter{};
  } else if (any.Is<http_filters::grpc_web::v3::GrpcWeb>()) {
    filter.settings = GrpcWebFilter{};
  } else if (is_native(proto.name())) {
    return std::nullopt;
  } else if (proto.is_optional() || proto.disabled()) {
    context.warn(fmt::format("http_filters: optional filter '{}' ({}) is left out", proto.name(),
                             any.type_url()));
    return std::nullopt;
  } else {
    return fail(Code::kUnsupported, fmt::format("HTTP filter '{}' ({}) is not supported by this "
                                                "proxy",
                                                proto.name(), any.type_url()));
  }
  return filter;
}

Status compile_http_filters(const Proto& proto, const CompileContext& context, HttpSettings& to) {
  for (int i = 0; i < proto.http_filters_size(); ++i) {
    auto filter = compile_http_filter(proto.http_filters(i), context);
    if (!filter) return std::unexpected(filter.error().in(fmt::format("http_filters[{}]", i)));
    if (!*filter) continue;
    if (std::holds_alternative<GrpcWebFilter>((*filter)->settings) && !(*filter)->disabled) {
      to.grpc_web = true;
    }
    to.filters.push_back(std::move(**filter));
  }
  if (to.filters.empty() || !std::holds_alternative<RouterFilter>(to.filters.back().settings)) {
    return fail(Code::kInvalid, "http_filters: the last one must be the router");
  }
  for (std::size_t i = 0; i + 1 < to.filters.size(); ++i) {
    if (std::holds_alternative<RouterFilter>(to.filters[i].settings)) {
      return fail(Code::kInvalid, "http_filters: the router must be the last one");
    }
  }
  return {};
}

void compile_http_protocols(const Proto& proto, HttpSettings& to) {
  const auto& common = proto.common_http_protocol_options();
  if (common.has_idle_timeout()) to.idle_timeout = timeout_of(common.idle_timeout());
  if (common.has_max_connection_duration()) {
    to.max_connection_duration = timeout_of(common.max_connection_duration());
  }
  if (common.has_max_stream_duration()) {
    to.max_stream_duration = timeout_of(common.max_stream_duration());
  }
  if (common.has_max_headers_count()) to.limits.header_count = common.max_headers_count().value();
  to.max_requests_per_connection = common.max_requests_per_connection().value();

  const auto& http1 = proto.http_protocol_options();
  to.accept_http_10 = http1.accept_http_10();
  to.default_host_for_http_10 = http1.default_host_for_http_10();
  if (http1.has_allow_absolute_url()) {
    to.http1_allow_absolute_url = http1.allow_absolute_url().value();
  }
  to.header_case = header_case_of(http1);

  const auto& http2 = proto.http2_protocol_options();
  apply_http2_options(http2, to.limits);
  if (http2.has_connection_keepalive()) {
    to.h2_keep_alive = keep_alive_of(http2.connection_keepalive());
  }
  if (http2.allow_connect()) to.upgrades.emplace_back("connect");
}

void compile_identity_headers(const Proto& proto, HttpSettings& to) {
  to.forward_client_cert =
      static_cast<HttpSettings::ClientCert>(proto.forward_client_cert_details());
  const auto& details = proto.set_current_client_cert_details();
  to.xfcc_subject = details.subject().value();
  to.xfcc_cert = details.cert();
  to.xfcc_chain = details.chain();
  to.xfcc_dns = details.dns();
  to.xfcc_uri = details.uri();
  to.use_remote_address = proto.use_remote_address().value();
  to.xff_trusted_hops = proto.xff_num_trusted_hops();
  to.skip_xff_append = proto.skip_xff_append();
  to.via = proto.via();
  if (!proto.server_name().empty()) to.server_name = proto.server_name();
  to.server_header = static_cast<HttpSettings::ServerHeader>(proto.server_header_transformation());
  if (proto.has_generate_request_id()) to.generate_request_id = proto.generate_request_id().value();
  to.preserve_external_request_id = proto.preserve_external_request_id();
  to.always_set_request_id_in_response = proto.always_set_request_id_in_response();
}

void compile_path_rules(const Proto& proto, HttpSettings& to) {
  to.normalize_path = proto.normalize_path().value();
  to.merge_slashes = proto.merge_slashes();
  switch (proto.path_with_escaped_slashes_action()) {
    case Proto::REJECT_REQUEST:
      to.escaped_slashes = HttpSettings::EscapedSlashes::kReject;
      break;
    case Proto::UNESCAPE_AND_REDIRECT:
      to.escaped_slashes = HttpSettings::EscapedSlashes::kUnescapeRedirect;
      break;
    case Proto::UNESCAPE_AND_FORWARD:
      to.escaped_slashes = HttpSettings::EscapedSlashes::kUnescapeForward;
      break;
    default:
      to.escaped_slashes = HttpSettings::EscapedSlashes::kKeep;
  }
  to.strip_any_host_port = proto.strip_any_host_port();
  to.strip_matching_host_port = proto.strip_matching_host_port();
  to.strip_trailing_host_dot = proto.strip_trailing_host_dot();
  to.proxy_100_continue = proto.proxy_100_continue();
}

void compile_times(const Proto& proto, HttpSettings& to) {
  if (proto.has_stream_idle_timeout()) {
    to.stream_idle_timeout = timeout_of(proto.stream_idle_timeout());
  }
  to.request_timeout = timeout_of(proto.request_timeout());
  to.request_headers_timeout = timeout_of(proto.request_headers_timeout());
  if (proto.has_drain_timeout()) to.drain_timeout = duration_of(proto.drain_timeout());
  if (proto.has_delayed_close_timeout()) {
    to.delayed_close_timeout = duration_of(proto.delayed_close_timeout());
  }
  if (proto.has_max_request_headers_kb()) {
    to.limits.head_bytes = std::size_t{std::min(proto.max_request_headers_kb().value(), 8192U)}
                           << 10;
  }
}

void compile_tracing(const Proto::Tracing& proto, Tracing& to) {
  if (proto.has_client_sampling()) to.client_sampling = proto.client_sampling().value();
  if (proto.has_random_sampling()) to.random_sampling = proto.random_sampling().value();
  if (proto.has_overall_sampling()) to.overall_sampling = proto.overall_sampling().value();
  for (const auto& tag : proto.custom_tags()) {
    if (tag.has_literal()) to.literal_tags.emplace_back(tag.tag(), tag.literal().value());
    if (tag.has_request_header()) {
      to.header_tags.emplace_back(tag.tag(), lower(tag.request_header().name()));
    }
  }
}

Result<std::shared_ptr<const HttpSettings>> compile_http(const Proto& proto,
                                                         const CompileContext& context) {
  auto settings = std::make_shared<HttpSettings>();
  settings->stat_prefix = proto.stat_prefix();
  settings->codec = proto.codec_type() == Proto::HTTP1   ? HttpSettings::Codec::kHttp1
                    : proto.codec_type() == Proto::HTTP2 ? HttpSettings::Codec::kHttp2
                                                         : HttpSettings::Codec::kAuto;
  if (proto.codec_type() == Proto::HTTP3) {
    return fail(Code::kUnsupported, "codec_type: HTTP3 is not supported by this proxy");
  }
  if (proto.has_rds()) {
    settings->rds_name = proto.rds().route_config_name();
    if (context.needs) context.needs->routes.insert(settings->rds_name);
    auto noted = note_source(api::kRouteType, settings->rds_name, proto.rds().config_source(),
                             context.needs);
    if (!noted) return std::unexpected(noted.error().in("rds.config_source"));
  } else if (proto.has_route_config()) {
    auto table = compile_table(proto.route_config(), context);
    if (!table) return std::unexpected(table.error().in("route_config"));
    settings->table = std::move(*table);
  } else {
    return fail(Code::kInvalid, "neither rds nor route_config is set");
  }
  MIZZEN_CHECKED(compile_http_filters(proto, context, *settings));
  compile_http_protocols(proto, *settings);
  compile_identity_headers(proto, *settings);
  compile_path_rules(proto, *settings);
  compile_times(proto, *settings);
  for (const auto& upgrade : proto.upgrade_configs()) {
    if (!upgrade.has_enabled() || upgrade.enabled().value()) {
      settings->upgrades.push_back(lower(upgrade.upgrade_type()));
    }
  }
  if (proto.has_tracing()) compile_tracing(proto.tracing(), settings->tracing.emplace());
  MIZZEN_TRY(settings->access_logs, compile_access_logs(proto.access_log(), context));
  return settings;
}

Result<std::shared_ptr<const TcpSettings>> compile_tcp(
    const network_filters::tcp_proxy::v3::TcpProxy& proto, const CompileContext& context) {
  auto settings = std::make_shared<TcpSettings>();
  settings->stat_prefix = proto.stat_prefix();
  if (proto.has_weighted_clusters()) {
    std::uint64_t total = 0;
    for (const auto& cluster : proto.weighted_clusters().clusters()) {
      settings->weighted.emplace_back(cluster.name(), cluster.weight());
      total += cluster.weight();
    }
    if (total == 0 || total > UINT32_MAX) {
      return fail(Code::kInvalid, "weighted_clusters: the sum of the weights must be 1 to 2^32-1");
    }
    settings->total_weight = static_cast<std::uint32_t>(total);
  } else {
    settings->cluster = proto.cluster();
    if (settings->cluster.empty()) return fail(Code::kInvalid, "cluster: must not be empty");
  }
  if (proto.has_idle_timeout()) settings->idle_timeout = timeout_of(proto.idle_timeout());
  if (proto.has_max_connect_attempts()) {
    settings->max_connect_attempts = std::max(1U, proto.max_connect_attempts().value());
  }
  if (proto.has_max_downstream_connection_duration()) {
    settings->max_duration = timeout_of(proto.max_downstream_connection_duration());
  }
  if (proto.has_tunneling_config()) {
    const auto& tunnel = proto.tunneling_config();
    if (tunnel.hostname().empty() || tunnel.hostname().find('%') != std::string::npos) {
      return fail(Code::kUnsupported,
                  "tunneling_config.hostname: must be written out as host:port, without commands");
    }
    settings->tunnel = {tunnel.hostname(), tunnel.use_post()};
  }
  for (const auto& policy : proto.hash_policy()) {
    if (!policy.has_source_ip()) {
      return fail(Code::kUnsupported, "hash_policy: only source_ip is supported");
    }
    settings->hash.push_back({route::HashPolicy::Kind::kSourceIp, {}, {}, {}, true});
  }
  MIZZEN_TRY(settings->access_logs, compile_access_logs(proto.access_log(), context));
  return settings;
}

}  // namespace

Status compile_network_filter(const envoy::config::listener::v3::Filter& filter,
                              const CompileContext& context, FilterChain& chain) {
  const auto& any = filter.typed_config();
  if (any.Is<Proto>()) {
    MIZZEN_TRY(auto proto, unpack<Proto>(any, context));
    MIZZEN_TRY(chain.terminal, compile_http(proto, context));
  } else if (any.Is<network_filters::tcp_proxy::v3::TcpProxy>()) {
    MIZZEN_TRY(auto proto, unpack<network_filters::tcp_proxy::v3::TcpProxy>(any, context));
    MIZZEN_TRY(chain.terminal, compile_tcp(proto, context));
  } else if (any.Is<network_filters::rbac::v3::RBAC>()) {
    MIZZEN_TRY(auto proto, unpack<network_filters::rbac::v3::RBAC>(any, context));
    if (proto.has_rules()) {
      NetworkRbac made;
      MIZZEN_TRY(made.rules, compile_rbac(proto.rules()));
      made.stat_prefix = proto.stat_prefix();
      chain.before.emplace_back(std::move(made));
    }
  } else if (any.Is<network_filters::sni_cluster::v3::SniCluster>()) {
    chain.sni_cluster = true;
  } else if (!is_native(filter.name())) {
    return fail(Code::kUnsupported, fmt::format("network filter '{}' ({}) is not supported by this "
                                                "proxy",
                                                filter.name(), any.type_url()));
  }
  return {};
}

}  // namespace mizzen::proxy
