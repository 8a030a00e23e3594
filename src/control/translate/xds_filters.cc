// The network filters that carry traffic: HTTP connection manager and TCP proxy.
#include "api/names.h"
#include "control/translate/xds_parts.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

namespace mizzen::control {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace http_filters = envoy::extensions::filters::http;

namespace {

template <class Config>
void add_http_filter(std::string_view name, const Config& config,
                     hcm::HttpConnectionManager* manager) {
  hcm::HttpFilter* filter = manager->add_http_filters();
  filter->set_name(std::string(name));
  filter->mutable_typed_config()->PackFrom(config);
}

void add_http_filters(hcm::HttpConnectionManager* manager) {
  http_filters::grpc_stats::v3::FilterConfig grpc_stats;
  grpc_stats.set_emit_filter_state(true);
  grpc_stats.mutable_stats_for_all_methods()->set_value(false);
  add_http_filter(api::kGrpcStatsFilter, grpc_stats, manager);
  add_http_filter(api::kFaultFilter, http_filters::fault::v3::HTTPFault(), manager);
  add_http_filter(api::kCorsFilter, http_filters::cors::v3::Cors(), manager);
  add_http_filter(api::kRouterFilter, http_filters::router::v3::Router(), manager);
}

void identify_client(HttpSide side, hcm::HttpConnectionManager* manager) {
  if (side == HttpSide::kSidecarOutbound) return;
  auto* details = manager->mutable_set_current_client_cert_details();
  details->mutable_subject()->set_value(true);
  details->set_dns(true);
  details->set_uri(true);
  if (side == HttpSide::kGateway) {
    details->set_cert(true);
    manager->set_forward_client_cert_details(hcm::HttpConnectionManager::SANITIZE_SET);
  } else {
    manager->set_forward_client_cert_details(hcm::HttpConnectionManager::APPEND_FORWARD);
  }
  manager->set_server_name("istio-envoy");
}

void normalise_paths(PathRule rule, hcm::HttpConnectionManager* manager) {
  manager->mutable_normalize_path()->set_value(rule != PathRule::kNone);
  manager->set_merge_slashes(rule == PathRule::kMergeSlashes ||
                             rule == PathRule::kDecodeAndMergeSlashes);
  manager->set_path_with_escaped_slashes_action(
      rule == PathRule::kDecodeAndMergeSlashes ? hcm::HttpConnectionManager::UNESCAPE_AND_FORWARD
                                               : hcm::HttpConnectionManager::KEEP_UNCHANGED);
}

}  // namespace

void add_http_manager(const View& view, const HttpChain& spec,
                      envoy::config::listener::v3::FilterChain* chain) {
  hcm::HttpConnectionManager manager;
  manager.set_stat_prefix(spec.stat_prefix);
  if (spec.inline_route != nullptr) {
    *manager.mutable_route_config() = *spec.inline_route;
  } else {
    manager.mutable_rds()->set_route_config_name(spec.route_name);
    ads_source(manager.mutable_rds()->mutable_config_source());
  }
  manager.mutable_use_remote_address()->set_value(spec.side == HttpSide::kGateway);
  normalise_paths(view.mesh().path_rule, &manager);
  manager.set_proxy_100_continue(true);
  manager.mutable_stream_idle_timeout();  // 0 s: off
  manager.add_upgrade_configs()->set_upgrade_type("websocket");
  identify_client(spec.side, &manager);
  add_http_filters(&manager);
  add_access_log(view.mesh(), &manager);
  auto* filter = chain->add_filters();
  filter->set_name(std::string(api::kHttpConnectionManager));
  filter->mutable_typed_config()->PackFrom(manager);
}

void inspection_time(const MeshConfig& mesh, envoy::config::listener::v3::Listener* listener) {
  auto* timeout = listener->mutable_listener_filters_timeout();  // 0 s: no limit
  timeout->set_seconds(mesh.detection_timeout_ms / 1000);
  timeout->set_nanos(static_cast<int>(mesh.detection_timeout_ms % 1000) * 1'000'000);
  listener->set_continue_on_listener_filters_timeout(true);
}

void add_tcp_proxy(const MeshConfig& mesh, std::string_view cluster,
                   envoy::config::listener::v3::FilterChain* chain) {
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_stat_prefix(std::string(cluster));
  proxy.set_cluster(std::string(cluster));
  add_access_log(mesh, &proxy);
  auto* filter = chain->add_filters();
  filter->set_name(std::string(api::kTcpProxyFilter));
  filter->mutable_typed_config()->PackFrom(proxy);
}

}  // namespace mizzen::control
