// Envoy resources as YAML, compiled, and what came of them.
#include "proxy/config/compile.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/config/fields.h"

namespace mizzen::proxy {
namespace {

template <class T>
std::string bytes_of(const std::string& yaml) {
  auto json = read_yaml(yaml);
  EXPECT_TRUE(json) << json.error().message;
  T message;
  auto status = google::protobuf::util::JsonStringToMessage(json ? json->dump() : "{}", &message);
  EXPECT_TRUE(status.ok()) << status.message();
  return message.SerializeAsString();
}

using envoy::config::cluster::v3::Cluster_LbPolicy;
using ClusterProto = envoy::config::cluster::v3::Cluster;
using ListenerProto = envoy::config::listener::v3::Listener;
using RouteProto = envoy::config::route::v3::RouteConfiguration;

std::string cluster_error(const std::string& yaml) {
  auto made = compile_cluster(bytes_of<ClusterProto>(yaml), nullptr);
  return made ? "" : made.error().message;
}
std::string listener_error(const std::string& yaml) {
  auto made = compile_listener(bytes_of<ListenerProto>(yaml), nullptr);
  return made ? "" : made.error().message;
}
std::string route_error(const std::string& yaml) {
  auto made = compile_routes(bytes_of<RouteProto>(yaml), nullptr);
  return made ? "" : made.error().message;
}

TEST(Fields, OneOfANewerSchemaIsReported) {
  std::string bytes = bytes_of<ListenerProto>("{name: l, address: {socket_address: {}}}");
  bytes += "\xf8\xff\x03\x01\xf8\xff\x03\x01";  // number 8191, a varint, twice
  std::vector<std::string> warnings;
  ASSERT_TRUE(check_fields("envoy.config.listener.v3.Listener", bytes, &warnings));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("field 8191 of envoy.config.listener.v3.Listener"), std::string::npos);
}

TEST(Fields, TheListsNameRealFields) { EXPECT_EQ(misspelt_fields(), std::vector<std::string>{}); }

TEST(Clusters, Errors) {
  EXPECT_EQ(cluster_error("{name: a, type: STATIC}"), "");
  EXPECT_EQ(cluster_error("{type: STATIC}"), "name: must not be empty");
  EXPECT_EQ(cluster_error("{name: a, type: STATIC, connect_timeout: 0s}"),
            "connect_timeout: must be more than 0");
  EXPECT_EQ(cluster_error("{name: a, health_checks: [{timeout: 1s, interval: 1s}]}"),
            "health_checks: Cluster.health_checks is not supported by this proxy");
  EXPECT_EQ(cluster_error("{name: a, common_http_protocol_options: {max_stream_duration: 1s}}"),
            "common_http_protocol_options.max_stream_duration: is not supported for clusters; "
            "write max_stream_duration of the route");
  EXPECT_EQ(cluster_error(R"(
name: a
load_assignment:
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: example.com, port_value: 80}}}
)"),
            "load_assignment: 'example.com' is not an IP address; a name needs type STRICT_DNS");
}

TEST(Clusters, OfIstio) {
  auto made = compile_cluster(bytes_of<ClusterProto>(R"(
name: outbound|9080|v1|details.default.svc.cluster.local
alt_stat_name: outbound|9080|v1|details.default.svc.cluster.local;
type: EDS
eds_cluster_config: {eds_config: {ads: {}}, service_name: eds-name}
connect_timeout: 3s
lb_policy: RING_HASH
ring_hash_lb_config: {minimum_ring_size: 2048}
circuit_breakers: {thresholds: [{max_connections: 10, max_pending_requests: 5, max_requests: 20}]}
outlier_detection:
  {consecutive_5xx: 7, base_ejection_time: 900s, interval: 300s, max_ejection_percent: 50}
common_lb_config: {healthy_panic_threshold: {}}
metadata:
  filter_metadata:
    istio:
      config: /apis/x/details
      subset: v1
      services: [{host: details.default.svc.cluster.local, name: details, namespace: default}]
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {idle_timeout: 30s, max_requests_per_connection: 2}
    explicit_http_config: {http2_protocol_options: {}}
transport_socket_matches:
- name: tlsMode-istio
  match: {tlsMode: istio}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: outbound_.9080_.v1_.details.default.svc.cluster.local
      common_tls_context:
        alpn_protocols: [istio]
        tls_certificate_sds_secret_configs: [{name: default}]
        combined_validation_context:
          default_validation_context:
            match_subject_alt_names: [{exact: spiffe://cluster.local/ns/default/sa/details}]
          validation_context_sds_secret_config: {name: ROOTCA}
- name: tlsMode-disabled
  match: {}
  transport_socket: {name: envoy.transport_sockets.raw_buffer}
)"),
                              nullptr);
  ASSERT_TRUE(made) << made.error().message;
  const Cluster& cluster = *made->cluster;
  EXPECT_EQ(cluster.type, Cluster::Type::kEds);
  EXPECT_EQ(cluster.eds_name, "eds-name");
  EXPECT_EQ(cluster.connect_timeout, std::chrono::seconds(3));
  EXPECT_EQ(cluster.lb, LbPolicy::kRingHash);
  EXPECT_EQ(cluster.ring_min_size, 2048U);
  EXPECT_EQ(cluster.limits.max_pending_requests, 5U);
  EXPECT_EQ(cluster.limits.max_retries, 3U);
  EXPECT_EQ(cluster.outlier->base_ejection, std::chrono::seconds(900));
  EXPECT_EQ(cluster.panic_threshold_percent, 0);
  EXPECT_EQ(cluster.subset, "v1");
  EXPECT_EQ(cluster.services.at(0).name, "details");
  EXPECT_EQ(cluster.http, UpstreamHttp::kHttp2);
  EXPECT_EQ(cluster.max_requests_per_connection, 2U);
  EXPECT_EQ(cluster.http_idle_timeout, std::chrono::seconds(30));
  ASSERT_EQ(cluster.socket_matches.size(), 2U);
  const auto& tls = cluster.socket_matches[0].tls;
  ASSERT_TRUE(tls);
  EXPECT_EQ(tls->common.certificate_secret, "default");
  EXPECT_EQ(tls->common.validation_secret, "ROOTCA");
  EXPECT_TRUE(tls->common.san.at(0).matches("spiffe://cluster.local/ns/default/sa/details"));
  EXPECT_EQ(tls->common.alpn, std::vector<std::string>{"istio"});
  EXPECT_FALSE(cluster.socket_matches[1].tls);
  EXPECT_EQ(made->needs.secrets, (std::set<std::string>{"ROOTCA", "default"}));
}

TEST(Clusters, BalancingAndHealthWhole) {
  auto made = compile_cluster(bytes_of<ClusterProto>(R"(
name: c
type: STRICT_DNS
lb_policy: LEAST_REQUEST
least_request_lb_config:
  choice_count: 3
  active_request_bias: {default_value: 0.5, runtime_key: x}
  slow_start_config: {slow_start_window: 60s, min_weight_percent: {value: 20}}
dns_lookup_family: V6_ONLY
dns_failure_refresh_rate: {base_interval: 1s, max_interval: 4s}
circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 30}}}]}
outlier_detection:
  max_ejection_time_jitter: 2s
  always_eject_one_host: false
  enforcing_failure_percentage: 100
common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}
)"),
                              nullptr);
  ASSERT_TRUE(made) << made.error().message;
  const Cluster& cluster = *made->cluster;
  EXPECT_EQ(cluster.least_request_choices, 3U);
  EXPECT_EQ(cluster.active_request_bias, 0.5);
  EXPECT_EQ(cluster.slow_start_window, std::chrono::seconds(60));
  EXPECT_EQ(cluster.slow_start_min_percent, 20);
  EXPECT_EQ(cluster.dns_family, DnsFamily::kV6Only);
  EXPECT_EQ(cluster.dns_failure_refresh->second, std::chrono::seconds(4));
  EXPECT_EQ(cluster.limits.retry_budget->percent, 30);
  EXPECT_EQ(cluster.limits.retry_budget->min_concurrency, 3U);
  EXPECT_EQ(cluster.outlier->max_ejection_jitter, std::chrono::seconds(2));
  EXPECT_FALSE(cluster.outlier->always_eject_one_host);
  EXPECT_TRUE(cluster.hash_hostnames);
}

constexpr const char* kListener = R"(
name: l
address: {socket_address: {address: 0.0.0.0, port_value: 80}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      '@type': "type.googleapis.com/envoy.extensions.filters.network.\
               http_connection_manager.v3.HttpConnectionManager"
      rds: {route_config_name: "80", config_source: {ads: {}}}
      http_filters:
)";
const std::string kRouter = R"(
      - name: envoy.filters.http.router
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
)";

TEST(Listeners, Errors) {
  EXPECT_EQ(listener_error(kListener + kRouter), "");
  EXPECT_EQ(
      listener_error("{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}}"),
      "filter_chains: must not be empty");
  EXPECT_EQ(
      listener_error(kListener + std::string(R"(
      - name: envoy.filters.http.lua
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
)") + kRouter),
      "filter_chains[0] '': filters[0]: http_filters[0]: HTTP filter 'envoy.filters.http.lua' "
      "(type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config) is not "
      "supported by this proxy");
  EXPECT_EQ(listener_error(kListener + std::string(R"(
      - name: envoy.filters.http.cors
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors
)")),
            "filter_chains[0] '': filters[0]: http_filters: the last one must be the router");
}

ListenerProto with_log(const std::string& config) {
  ListenerProto listener;
  listener.ParseFromString(bytes_of<ListenerProto>(
      "{name: l, address: {socket_address: {address: 1.2.3.4, port_value: 1}}, "
      "default_filter_chain: {filters: [{name: t, typed_config: {'@type': type.googleapis.com/"
      "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c}}]}, "
      "access_log: [{"
      "name: envoy.access_loggers.file, typed_config: {'@type': type.googleapis.com/"
      "envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null, log_format: " +
      config + "}}]}"));
  return listener;
}

TEST(Listeners, AccessLogsAreCheckedWhenTheyCome) {
  const auto error_of = [](const std::string& config) {
    auto made = compile_listener(with_log(config).SerializeAsString(), nullptr);
    return made ? "" : made.error().message;
  };
  EXPECT_EQ(error_of("{text_format_source: {inline_string: '%NOPE%'}}"),
            "access_log[0]: format: unknown command %NOPE%");
  EXPECT_EQ(error_of("{json_format: {a: [{b: '%DURATION(x)%'}]}}"),
            "access_log[0]: format: %DURATION% takes no arguments");
  EXPECT_EQ(error_of("{text_format_source: {inline_string: '%PROTOCOL%'}}"), "");
}

TEST(Listeners, AnObjectOfJsonIsCutWhereValuesComeIn) {
  auto made = compile_listener(
      with_log("{json_format: {z: '%PROTOCOL%', a: {n: 5, t: true, no: null, 'q\"': 'x\"'},"
               " l: ['%DURATION%', 'y'], p: '100%%'}}")
          .SerializeAsString(),
      nullptr);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->listener->access_logs.size(), 1u);
  std::string all;
  for (const auto& part : made->listener->access_logs[0].json) all += part.before + part.value;
  EXPECT_EQ(all, R"({"a":{"n":5,"no":null,"q\"":"x\"","t":true},"l":[%DURATION%,"y"],"p":100%%,)"
                 R"("z":%PROTOCOL%})");
  EXPECT_EQ(made->listener->access_logs[0].json.back().value, "");
}

TEST(Routes, Errors) {
  EXPECT_EQ(route_error(R"(
virtual_hosts:
- {name: a, domains: [x.com]}
- {name: b, domains: [X.com]}
)"),
            "domain 'x.com' stands in virtual hosts 'a' and 'b': it may stand in one only");
  EXPECT_EQ(
      route_error(R"(
virtual_hosts:
- name: a
  domains: ['*']
  routes:
  - {match: {prefix: /}, route: {cluster: c}}
  - {match: {safe_regex: {regex: 'a('}}, route: {cluster: c}}
)"),
      "virtual_hosts[0] 'a': routes[1]: regular expression 'a(' is not valid RE2: missing ): a(");
  EXPECT_EQ(route_error(R"(
virtual_hosts:
- name: a
  domains: ['*']
  routes: [{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: c, weight: 0}]}}}]
)"),
            "virtual_hosts[0] 'a': routes[0]: weighted_clusters: the sum of the weights must be 1 "
            "to 2^32-1");
  EXPECT_EQ(
      route_error(R"(
virtual_hosts:
- name: a
  domains: ['*']
  routes:
  - match: {prefix: /}
    route: {cluster: c, hedge_policy: {hedge_on_per_try_timeout: true}}
)"),
      "virtual_hosts[0].routes[0].route.hedge_policy: RouteAction.hedge_policy is not supported by "
      "this proxy");
}

TEST(Routes, OfIstio) {
  auto table = compile_routes(bytes_of<RouteProto>(R"(
name: "9080"
ignore_port_in_host_matching: true
virtual_hosts:
- name: details
  domains: [details, details.default.svc.cluster.local]
  include_request_attempt_count: true
  routes:
  - match:
      safe_regex: {regex: '/details/[0-9]+'}
      headers:
      - {name: X-K, string_match: {prefix: a}}
      - {name: ':method', string_match: {exact: GET}}
      query_parameters: [{name: q, string_match: {exact: "1"}}]
    metadata: {filter_metadata: {istio: {config: /apis/vs/details}}}
    decorator: {operation: op}
    request_headers_to_add:
    - {header: {key: X-A, value: "1"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    response_headers_to_remove: [server]
    route:
      cluster: c
      timeout: 2s
      prefix_rewrite: /d
      host_rewrite_literal: details.other
      hash_policy: [{cookie: {name: user, ttl: 60s}}]
      request_mirror_policies:
      - cluster: m
        disable_shadow_host_suffix_append: true
        runtime_fraction: {default_value: {numerator: 250000, denominator: MILLION}}
      retry_policy:
        retry_on: gateway-error,connect-failure,retriable-status-codes
        num_retries: 3
        per_try_timeout: 0.5s
        retriable_status_codes: [503]
        host_selection_retry_max_attempts: 5
        retry_host_predicate:
        - name: envoy.retry_host_predicates.previous_hosts
          typed_config:
            '@type': "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.\
                     PreviousHostsPredicate"
    typed_per_filter_config:
      envoy.filters.http.fault:
        '@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
        delay: {fixed_delay: 7s, percentage: {numerator: 1000000, denominator: MILLION}}
)"),
                              nullptr);
  ASSERT_TRUE(table) << table.error().message;
  const route::Route& route = (*table)->hosts.at(0).routes.at(0);
  EXPECT_EQ(route.source, "/apis/vs/details");
  EXPECT_EQ(route.match.headers.at(0).name, "x-k");
  EXPECT_EQ(route.forward.timeout, std::chrono::seconds(2));
  EXPECT_EQ(route.forward.retry->attempts, 3U);
  EXPECT_TRUE(route.forward.retry->avoid_previous_hosts);
  EXPECT_EQ(route.forward.retry->per_try_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(route.forward.mirrors.at(0).fraction.denominator, 1'000'000U);
  EXPECT_FALSE(route.forward.mirrors.at(0).append_shadow_suffix);
  EXPECT_EQ(route.forward.hash.at(0).cookie_ttl, std::chrono::seconds(60));
  ASSERT_TRUE(route.per_filter.fault);
  EXPECT_EQ(route.per_filter.fault->delay, std::chrono::seconds(7));
  EXPECT_EQ(route.headers.request_add.at(0).append, route::HeaderValue::Append::kOverwriteOrAdd);
  EXPECT_TRUE((*table)->exact.contains("details"));
}

TEST(Chains, TheMostSpecificWins) {
  Listener listener;
  auto add = [&](const char* name) -> FilterChainMatch& {
    listener.chains.emplace_back().name = name;
    return listener.chains.back().match;
  };
  add("port").destination_port = 9080;
  auto& tls = add("port-tls");
  tls.destination_port = 9080;
  tls.transport_protocol = "tls";
  auto& istio = add("port-tls-istio");
  istio.destination_port = 9080;
  istio.transport_protocol = "tls";
  istio.application_protocols = {"istio", "istio-http/1.1"};
  add("sni").server_names = {"a.com"};
  add("sni-star").server_names = {"*.com"};
  add("ip").destination = {Cidr{pack_ip("10.1.0.0"), 16}};
  listener.default_chain.emplace().name = "default";
  struct Row {
    ConnectionFacts facts;
    const char* chain;
  };
  const std::string inside = pack_ip("10.1.2.3");
  for (const Row& row : std::initializer_list<Row>{
           {{.destination_port = 9080, .transport_protocol = "raw_buffer"}, "port"},
           {{.destination_port = 9080, .transport_protocol = "tls"}, "port-tls"},
           {{.destination_port = 9080,
           .transport_protocol = "tls",
           .application_protocols = {"istio"}},
            "port-tls-istio"},
           {{.destination_port = 9080, .server_name = "a.com", .transport_protocol = "tls"},
            "port-tls"},
           {{.destination_port = 1, .server_name = "a.com"}, "sni"},
           {{.destination_port = 1, .server_name = "b.com"}, "sni-star"},
           {{.destination_ip = inside, .destination_port = 1, .server_name = "a.com"}, "ip"},
           {{.destination_port = 1}, "default"}}) {
    const FilterChain* chain = find_chain(listener, row.facts);
    ASSERT_TRUE(chain);
    EXPECT_EQ(chain->name, row.chain);
  }
}

TEST(Bootstraps, StaticResources) {
  auto made = parse_bootstrap(R"(
node: {id: n, cluster: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  clusters:
  - name: xds-grpc
    type: STRICT_DNS
    load_assignment:
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: istiod.istio-system.svc, port_value: 15012}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {validation_context: {trusted_ca: {filename: /root.pem}}}
dynamic_resources:
  lds_config: {ads: {}}
  cds_config: {ads: {}}
  ads_config:
    api_type: DELTA_GRPC
    grpc_services:
    - envoy_grpc: {cluster_name: xds-grpc}
      initial_metadata: [{key: ClusterID, value: K}]
)",
                              {"other-node", ""});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->node.id, "other-node");
  EXPECT_EQ(made->clusters.size(), 1U);
  EXPECT_EQ(made->admin->port, 15000);
  ASSERT_TRUE(made->discovery);
  EXPECT_EQ(made->discovery->host, "istiod.istio-system.svc");
  EXPECT_EQ(made->discovery->root_file, "/root.pem");
  EXPECT_TRUE(made->discovery->tls);
  EXPECT_EQ(made->discovery->metadata.at(0).first, "clusterid");
  auto unknown = parse_bootstrap("{nodes: {}}");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("nodes"), std::string::npos) << unknown.error().message;
  EXPECT_FALSE(parse_bootstrap("a: [b"));
  EXPECT_FALSE(parse_bootstrap(","));  // to yaml-cpp, no end
}

TEST(Bootstraps, OfAnInjectedPod) {
  auto made = bootstrap_from_environment({{"POD_NAME", "reviews-v1-x"},
                                          {"POD_NAMESPACE", "default"},
                                          {"INSTANCE_IP", "10.1.0.7"},
                                          {"SERVICE_ACCOUNT", "bookinfo-reviews"},
                                          {"CA_ADDR", "istiod.istio-system.svc:15012"},
                                          {"ISTIO_META_WORKLOAD_NAME", "reviews-v1"},
                                          {"ISTIO_META_CLUSTER_ID", "Kubernetes"},
                                          {"PROXY_CONFIG", "{}\n"}},
                                         "sidecar", "default.svc.cluster.local");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->node.id, "sidecar~10.1.0.7~reviews-v1-x.default~default.svc.cluster.local");
  EXPECT_EQ(made->node.cluster, "reviews-v1.default");
  auto metadata = nlohmann::json::parse(made->node.metadata_json);
  EXPECT_EQ(metadata["WORKLOAD_NAME"], "reviews-v1");
  EXPECT_EQ(metadata["NAMESPACE"], "default");
  EXPECT_EQ(metadata["SERVICE_ACCOUNT"], "bookinfo-reviews");
  EXPECT_EQ(made->discovery->host, "istiod.istio-system.svc");
  EXPECT_EQ(made->discovery->port, 15012);
  EXPECT_TRUE(made->discovery->tls);
  EXPECT_EQ(made->workload->ca_port, 15012);
  EXPECT_FALSE(bootstrap_from_environment({}, "ztunnel", ""));
}

TEST(Downward, Pairs) {
  auto pairs = parse_downward("app=\"reviews\"\nversion=\"v1\"\nnote=\"a \\\"b\\\"\"\n");
  EXPECT_EQ(pairs["app"], "reviews");
  EXPECT_EQ(pairs["note"], "a \"b\"");
}

// What a real istiod generates must compile: dumps of it, as `istioctl proxy-config -o yaml` writes
// them, in the directory that the variable names.
TEST(Reference, CompilesWhole) {
  const char* root = std::getenv("MIZZEN_REFERENCE");
  if (!root) GTEST_SKIP() << "MIZZEN_REFERENCE is not set";
  int compiled = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    std::string path = entry.path();
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    auto list = read_yaml(text.view());
    if (!list || !list->is_array()) continue;  // a diff, or several documents
    for (const auto& item : *list) {
      std::string json = item.dump();
      // The metrics listener of Istio's own bootstrap compresses; ours does not.
      if (json.find("envoy.filters.http.compressor") != std::string::npos) continue;
      std::string problem;
      auto parse = [&](auto message) {
        auto status = google::protobuf::util::JsonStringToMessage(json, &message);
        if (!status.ok()) problem = std::string(status.message());
        return message.SerializeAsString();
      };
      auto check = [&](auto result) {
        if (!result && problem.empty()) problem = result.error().message;
      };
      if (path.find(".listeners.") != std::string::npos) {
        check(compile_listener(parse(ListenerProto()), nullptr));
      } else if (path.find(".clusters.") != std::string::npos) {
        check(compile_cluster(parse(ClusterProto()), nullptr));
      } else if (path.find(".routes.") != std::string::npos) {
        check(compile_routes(parse(RouteProto()), nullptr));
      } else {
        continue;
      }
      ++compiled;
      EXPECT_EQ(problem, "") << path << " " << item.value("name", "");
    }
  }
  EXPECT_GT(compiled, 100);
}

}  // namespace
}  // namespace mizzen::proxy
