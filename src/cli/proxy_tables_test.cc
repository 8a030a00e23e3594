#include "cli/proxy_tables.h"

#include <gtest/gtest.h>

#include "cli/dump.h"
#include "cli/table.h"

namespace mizzen::cli {
namespace {

constexpr std::string_view kDump = R"({"configs": [
  {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
   "static_clusters": [{"cluster": {"name": "agent", "type": "STATIC"}}],
   "dynamic_active_clusters": [
     {"cluster": {"name": "outbound|9080|v1|reviews.default.svc.cluster.local", "type": "EDS",
      "metadata": {"filter_metadata": {"istio": {"config":
        "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews"}}}}},
     {"cluster": {"name": "inbound|9080||", "type": "ORIGINAL_DST"}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
   "dynamic_listeners": [{"name": "0.0.0.0_9080", "active_state": {"listener": {
     "name": "0.0.0.0_9080",
      "address": {"socket_address": {"address": "0.0.0.0", "port_value": 9080}},
     "filter_chains": [{"filter_chain_match": {"transport_protocol": "raw_buffer",
        "application_protocols": ["http/1.1", "h2c"]},
       "filters": [{"typed_config": {"@type": "type.googleapis.com/x.HttpConnectionManager",
         "rds": {"route_config_name": "9080"}}}]}],
     "default_filter_chain": {"filters": [{"typed_config": {
        "@type": "type.googleapis.com/x.TcpProxy",
         "cluster": "PassthroughCluster"}}]}}}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
   "dynamic_route_configs": [{"route_config": {"name": "9080", "virtual_hosts": [
     {"name": "allow_any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]},
     {"name": "reviews.default.svc.cluster.local:9080",
      "domains": ["reviews.default.svc.cluster.local", "reviews.default.svc.cluster.local.",
                  "reviews", "reviews.default.svc", "reviews.default", "10.96.0.7"],
      "routes": [{"match": {"prefix": "/"}, "metadata": {"filter_metadata": {"istio": {"config":
        "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"}}}}]}]}}]}]})";

TEST(ProxyTables, Listeners) {
  Dump dump = *Dump::parse(kDump);
  EXPECT_EQ(listener_table(dump.listeners()),
            "ADDRESSES PORT MATCH                                DESTINATION\n"
            "0.0.0.0   9080 Trans: raw_buffer; App: http/1.1,h2c Route: 9080\n"
            "0.0.0.0   9080 ALL                                  PassthroughCluster\n");
  EXPECT_TRUE(filter_listeners(dump.listeners(), {.port = 80}).empty());
  EXPECT_TRUE(filter_listeners(dump.listeners(), {.type = "TCP"}).empty());
}

TEST(ProxyTables, Clusters) {
  Dump dump = *Dump::parse(kDump);
  EXPECT_EQ(cluster_table(
                filter_clusters(dump.clusters(), {.fqdn = "reviews.default.svc.cluster.local"})),
            "SERVICE FQDN                          PORT     SUBSET     DIRECTION     TYPE     "
            "DESTINATION RULE\n"
            "reviews.default.svc.cluster.local     9080     v1         outbound      EDS      "
            "reviews.default\n");
  EXPECT_EQ(filter_clusters(dump.clusters(), {.direction = "inbound"}).size(), 1U);
  EXPECT_EQ(dump.clusters().size(), 3U);
}

TEST(ProxyTables, Routes) {
  Dump dump = *Dump::parse(kDump);
  EXPECT_EQ(route_table(filter_routes(dump.routes(), {.name = "9080"})),
            "NAME     VHOST NAME                                 DOMAINS                           "
            "                          "
            "MATCH     VIRTUAL SERVICE\n"
            "9080     reviews.default.svc.cluster.local:9080     "
            "reviews.default.svc.cluster.local., reviews + 2 more...     "
            "/*        reviews.default\n");
}

TEST(ProxyTables, EndpointsByCluster) {
  Json clusters = Json::parse(R"({"cluster_statuses": [
    {"name": "a", "host_statuses": [
      {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}},
       "health_status": {"eds_health_status": "HEALTHY", "failed_outlier_check": true}},
      {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
       "health_status": {"eds_health_status": "HEALTHY"}}]},
    {"name": "b", "host_statuses": [{"address": {"pipe": {"path": "/s"}}}]}]})");
  EXPECT_EQ(endpoint_table(clusters, {.cluster = "a"}),
            "ENDPOINT        STATUS      OUTLIER CHECK     CLUSTER\n"
            "10.0.0.1:80     HEALTHY     OK                a\n"
            "10.0.0.2:80     HEALTHY     FAILED            a\n");
}

TEST(Dump, RefusesWhatIsNoDump) {
  EXPECT_FALSE(Dump::parse("nonsense"));
  EXPECT_FALSE(Dump::parse("[]"));
}

TEST(Dump, FieldsHaveTheirJsonNames) {
  const Json message = Json::parse(R"({
    "virtual_hosts": [{"per_try_timeout": "1s",
                       "typed_per_filter_config": {"envoy.a_b": {"max_age": 1}}}],
    "metadata": {"filter_metadata": {"istio": {"a_b": {"c_d": 1}}}},
    "node": {"user_agent_name": "x", "metadata": {"CLUSTER_ID": "a", "a_b": 1}},
    "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "u",
                     "value": {"a_b": 1}}})");
  EXPECT_EQ(with_json_names(message), Json::parse(R"({
    "virtualHosts": [{"perTryTimeout": "1s",
                      "typedPerFilterConfig": {"envoy.a_b": {"maxAge": 1}}}],
    "metadata": {"filterMetadata": {"istio": {"a_b": {"c_d": 1}}}},
    "node": {"userAgentName": "x", "metadata": {"CLUSTER_ID": "a", "a_b": 1}},
    "typedConfig": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "typeUrl": "u",
                     "value": {"a_b": 1}}})"));
}

TEST(ClusterName, Parses) {
  auto name = parse_cluster_name("outbound|80|v1|a.b");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->subset, "v1");
  EXPECT_FALSE(parse_cluster_name("PassthroughCluster"));
}

}  // namespace
}  // namespace mizzen::cli
