#include "proxy/feed/store.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace mizzen::proxy {
namespace {

const std::string kCds(api::kClusterType);
const std::string kEds(api::kEndpointType);
const std::string kLds(api::kListenerType);
const std::string kRds(api::kRouteType);

std::string eds_cluster(const std::string& name, int connect_seconds = 1) {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name(name);
  cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
  cluster.mutable_eds_cluster_config()->mutable_eds_config()->mutable_ads();
  cluster.mutable_connect_timeout()->set_seconds(connect_seconds);
  return cluster.SerializeAsString();
}

std::string endpoints(const std::string& name, const std::string& address) {
  envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
  assignment.set_cluster_name(name);
  auto* socket = assignment.add_endpoints()
                     ->add_lb_endpoints()
                     ->mutable_endpoint()
                     ->mutable_address()
                     ->mutable_socket_address();
  socket->set_address(address);
  socket->set_port_value(80);
  return assignment.SerializeAsString();
}

std::string routes(const std::string& name, const std::string& cluster) {
  envoy::config::route::v3::RouteConfiguration config;
  config.set_name(name);
  auto* host = config.add_virtual_hosts();
  host->set_name("h");
  host->add_domains("*");
  auto* route = host->add_routes();
  route->mutable_match()->set_prefix("/");
  route->mutable_route()->set_cluster(cluster);
  return config.SerializeAsString();
}

std::string listener(const std::string& name, const std::string& routes) {
  envoy::extensions::filters::http::router::v3::Router router;
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  manager.mutable_rds()->set_route_config_name(routes);
  manager.mutable_rds()->mutable_config_source()->mutable_ads();
  auto* filter = manager.add_http_filters();
  filter->set_name("router");
  filter->mutable_typed_config()->PackFrom(router);
  envoy::config::listener::v3::Listener made;
  made.set_name(name);
  made.mutable_address()->mutable_socket_address()->set_address("0.0.0.0");
  made.mutable_address()->mutable_socket_address()->set_port_value(80);
  auto* network = made.add_filter_chains()->add_filters();
  network->set_name("hcm");
  network->mutable_typed_config()->PackFrom(manager);
  return made.SerializeAsString();
}

xds::Update update(const std::string& type, const std::string& name, const std::string& bytes,
                   const std::string& version = "1") {
  return {type, "nonce", version, {{name, version, bytes, {}}}, {}};
}
xds::Update removal(const std::string& type, const std::string& name) {
  return {type, "nonce", "2", {}, {name}};
}

std::string cluster_of(const SnapshotRef& snapshot, const std::string& table) {
  auto found = snapshot->routes.find(table);
  return found == snapshot->routes.end() ? "none"
                                         : found->second->hosts[0].routes[0].forward.cluster;
}

struct Store {
  FakeClock clock;
  ConfigStore store{clock};
};

TEST(ConfigStore, AClusterWaitsForItsEndpoints) {
  Store s;
  EXPECT_TRUE(s.store.apply(update(kCds, "a", eds_cluster("a"))).empty());
  EXPECT_EQ(s.store.needed_by_ads(kEds), std::set<std::string>{"a"});
  EXPECT_FALSE(s.store.publish()->cluster("a"));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  auto snapshot = s.store.publish();
  ASSERT_TRUE(snapshot->cluster("a"));
  EXPECT_EQ(snapshot->cluster("a")->endpoints->localities[0].endpoints[0].address.host, "10.0.0.1");
}

TEST(ConfigStore, AClusterWhoseEndpointsDoNotExistIsLiveAndEmpty) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(removal(kEds, "a"));
  auto snapshot = s.store.publish();
  ASSERT_TRUE(snapshot->cluster("a"));
  EXPECT_TRUE(snapshot->cluster("a")->endpoints->localities.empty());
}

TEST(ConfigStore, WarmingIsBounded) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  EXPECT_FALSE(s.store.publish()->cluster("a"));
  ASSERT_TRUE(s.store.next_deadline());
  s.clock.advance(kWarmingLimit);
  EXPECT_TRUE(s.store.publish()->cluster("a"));
  EXPECT_FALSE(s.store.next_deadline());
}

TEST(ConfigStore, ABadResourceIsRejectedAndTheOldOneServes) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  auto before = s.store.publish()->cluster("a")->cluster;
  xds::Update mixed{
      kCds, "n", "2", {{"a", "2", eds_cluster("a", 0), {}}, {"b", "2", eds_cluster("b"), {}}}, {}};
  auto rejections = s.store.apply(mixed);
  ASSERT_EQ(rejections.size(), 1U);
  EXPECT_EQ(rejections[0].name, "a");
  EXPECT_EQ(rejections[0].reason, "connect_timeout: must be more than 0");
  EXPECT_EQ(s.store.publish()->cluster("a")->cluster, before);
  EXPECT_TRUE(s.store.clusters().at("a").refused);
  EXPECT_TRUE(s.store.clusters().contains("b"));
}

TEST(ConfigStore, UnchangedPartsAreShared) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  auto first = s.store.publish();
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.2"), "2"));
  auto second = s.store.publish();
  EXPECT_EQ(first->cluster("a")->cluster, second->cluster("a")->cluster);
  EXPECT_NE(first->cluster("a")->endpoints, second->cluster("a")->endpoints);
  EXPECT_GT(second->generation, first->generation);
}

TEST(ConfigStore, AListenerWaitsForItsRoutes) {
  Store s;
  s.store.apply(update(kLds, "l", listener("l", "80")));
  EXPECT_EQ(s.store.needed_by_ads(kRds), std::set<std::string>{"80"});
  EXPECT_TRUE(s.store.publish()->listeners.empty());
  s.store.apply(update(kRds, "80", routes("80", "a")));
  auto snapshot = s.store.publish();
  ASSERT_EQ(snapshot->listeners.size(), 1U);
  EXPECT_EQ(cluster_of(snapshot, "80"), "a");
}

TEST(ConfigStore, RoutesWaitForTheClusterTheyName) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  s.store.apply(update(kLds, "l", listener("l", "80")));
  s.store.apply(update(kRds, "80", routes("80", "a")));
  EXPECT_EQ(cluster_of(s.store.publish(), "80"), "a");
  // A new cluster, and a route to it, in one push: the endpoints come a round trip later.
  s.store.apply(update(kCds, "b", eds_cluster("b")));
  s.store.apply(update(kRds, "80", routes("80", "b"), "2"));
  EXPECT_EQ(cluster_of(s.store.publish(), "80"), "a");
  s.store.apply(update(kEds, "b", endpoints("b", "10.0.0.2")));
  EXPECT_EQ(cluster_of(s.store.publish(), "80"), "b");
}

// A cluster `a`, and a listener whose routes lead to it.
void take_a(Store& s) {
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  s.store.apply(update(kLds, "l", listener("l", "80")));
  s.store.apply(update(kRds, "80", routes("80", "a")));
  s.store.publish();
}

TEST(ConfigStore, ARemovedClusterStaysForTheRoutesThatNameIt) {
  Store s;
  take_a(s);
  s.store.apply(removal(kCds, "a"));
  EXPECT_TRUE(s.store.publish()->cluster("a"));
  s.store.apply(update(kRds, "80", routes("80", "other"), "2"));
  EXPECT_FALSE(s.store.publish()->cluster("a"));
  EXPECT_EQ(s.store.needed_by_ads(kEds), std::set<std::string>{});
}

TEST(ConfigStore, ARemovedClusterGoesWithTheListenerWhoseRoutesNamedIt) {
  Store s;
  take_a(s);
  s.store.apply(removal(kCds, "a"));
  s.store.publish();
  s.store.apply(removal(kLds, "l"));
  EXPECT_FALSE(s.store.publish()->cluster("a"));
}

TEST(ConfigStore, AClusterThatComesBackWaitsForItsEndpointsAgain) {
  Store s;
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply(removal(kEds, "a"));
  EXPECT_TRUE(s.store.publish()->cluster("a"));
  s.store.apply(removal(kCds, "a"));
  EXPECT_FALSE(s.store.publish()->cluster("a"));
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  EXPECT_FALSE(s.store.publish()->cluster("a"));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  EXPECT_TRUE(s.store.publish()->cluster("a"));
}

TEST(ConfigStore, InitializedWhenAllOfTheFirstIsLive) {
  Store s;
  EXPECT_TRUE(s.store.initialized(false, false));
  EXPECT_FALSE(s.store.initialized(true, true));
  s.store.apply(update(kCds, "a", eds_cluster("a")));
  s.store.apply({kLds, "n", "1", {}, {}});
  EXPECT_FALSE(s.store.initialized(true, true));
  s.store.apply(update(kEds, "a", endpoints("a", "10.0.0.1")));
  s.store.publish();
  EXPECT_TRUE(s.store.initialized(true, true));
}

TEST(ConfigStore, AListenerThatIsRemovedIsGone) {
  Store s;
  s.store.apply(update(kLds, "l", listener("l", "80")));
  s.store.apply(update(kRds, "80", routes("80", "a")));
  EXPECT_EQ(s.store.publish()->listeners.size(), 1U);
  s.store.apply(removal(kLds, "l"));
  auto snapshot = s.store.publish();
  EXPECT_TRUE(snapshot->listeners.empty());
  EXPECT_TRUE(snapshot->routes.empty());
}

}  // namespace
}  // namespace mizzen::proxy
