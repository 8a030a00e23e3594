// The state-of-the-world client against hand-made responses.
#include "xds/sotw_client.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace mizzen::xds {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

const std::string kClusters(api::kClusterType);
const std::string kEndpoints(api::kEndpointType);

Cluster cluster(const std::string& name, const std::string& other = {}) {
  Cluster made;
  made.set_name(name);
  made.set_alt_stat_name(other);
  return made;
}

template <class... Messages>
std::string response(const std::string& type, const std::string& version, const Messages&... all) {
  DiscoveryResponse made;
  made.set_type_url(type);
  made.set_version_info(version);
  made.set_nonce("n" + version);
  (made.add_resources()->PackFrom(all), ...);
  return made.SerializeAsString();
}

class Sotw : public ::testing::Test {
 protected:
  DiscoveryRequest request() {
    DiscoveryRequest made;
    auto bytes = client_.next();
    EXPECT_TRUE(bytes);
    EXPECT_TRUE(made.ParseFromString(bytes.value_or(std::string())));
    return made;
  }
  // "+a -b" of a response that is taken.
  std::string take(const std::string& bytes, const std::vector<Rejection>& rejections = {}) {
    auto update = client_.receive(bytes);
    if (!update) return "error: " + update.error().message;
    client_.answer(*update, rejections);
    std::string text;
    for (const auto& resource : update->resources) text += "+" + resource.name + " ";
    for (const auto& name : update->removed) text += "-" + name + " ";
    return text;
  }
  SotwClient client_{node_bytes({"id", "c", "{}"})};
};

TEST_F(Sotw, WhatCameWholeBecomesDifferences) {
  client_.subscribe_all(kClusters);
  client_.on_open();
  const DiscoveryRequest first = request();
  EXPECT_EQ(first.node().id(), "id");
  EXPECT_TRUE(first.resource_names().empty());
  EXPECT_FALSE(client_.next());
  EXPECT_EQ(take(response(kClusters, "1", cluster("a"), cluster("b"))), "+a +b ");
  const DiscoveryRequest ack = request();
  EXPECT_EQ(ack.version_info(), "1");
  EXPECT_EQ(ack.response_nonce(), "n1");
  EXPECT_FALSE(ack.has_node());
  EXPECT_EQ(take(response(kClusters, "2", cluster("a"), cluster("c", "x"))), "+c -b ");
  EXPECT_EQ(take(response(kClusters, "3", cluster("a"), cluster("c", "y"))), "+c ");
  EXPECT_EQ(take(response(kClusters, "4")), "-a -c ");
}

TEST_F(Sotw, ANackNamesTheVersionThatServes) {
  client_.subscribe_all(kClusters);
  client_.on_open();
  (void)request();
  take(response(kClusters, "1", cluster("a")));
  (void)request();
  take(response(kClusters, "2", cluster("a", "bad")), {{"a", "alt_stat_name: no"}});
  const DiscoveryRequest nack = request();
  EXPECT_EQ(nack.version_info(), "1");
  EXPECT_EQ(nack.response_nonce(), "n2");
  EXPECT_EQ(nack.error_detail().message(), "a: alt_stat_name: no");
  // The same again is news still: it was not taken.
  EXPECT_EQ(take(response(kClusters, "3", cluster("a", "bad"))), "+a ");
}

TEST_F(Sotw, NamesAreSaidWhole) {
  client_.set_names(kEndpoints, {"a", "b"});
  client_.on_open();
  EXPECT_EQ(request().resource_names_size(), 2);
  ClusterLoadAssignment a;
  a.set_cluster_name("a");
  // A response may hold some only: the others stay.
  EXPECT_EQ(take(response(kEndpoints, "1", a)), "+a ");
  (void)request();
  client_.set_names(kEndpoints, {"b"});
  const DiscoveryRequest changed = request();
  ASSERT_EQ(changed.resource_names_size(), 1);
  EXPECT_EQ(changed.resource_names(0), "b");
  EXPECT_EQ(changed.version_info(), "1");
  EXPECT_EQ(changed.response_nonce(), "n1");
  client_.set_names(kEndpoints, {"a", "b"});
  (void)request();
  EXPECT_EQ(take(response(kEndpoints, "1", a)), "+a ");  // it was given up: needed again
}

TEST_F(Sotw, ANewStreamSaysTheVersionThatServes) {
  client_.subscribe_all(kClusters);
  client_.on_open();
  (void)request();
  take(response(kClusters, "1", cluster("a")));
  client_.on_closed();
  EXPECT_FALSE(client_.next());
  client_.on_open();
  const DiscoveryRequest again = request();
  EXPECT_EQ(again.version_info(), "1");
  EXPECT_EQ(again.response_nonce(), "");
  EXPECT_TRUE(again.has_node());
  EXPECT_EQ(take(response(kClusters, "1", cluster("a"))), "");
}

TEST_F(Sotw, WhatBreaksTheProtocol) {
  client_.subscribe_all(kClusters);
  EXPECT_EQ(take(response(kEndpoints, "1")),
            "error: a response of type '" + kEndpoints + "', which was not asked for");
  EXPECT_EQ(take("\xff\xff"), "error: not a DiscoveryResponse");
  EXPECT_TRUE(
      take(response(kClusters, "1", ClusterLoadAssignment())).starts_with("error: a resource"));
}

TEST(ResourceName, IsFieldOne) {
  EXPECT_EQ(resource_name(cluster("a", "b").SerializeAsString()), "a");
  EXPECT_EQ(resource_name(""), "");
  EXPECT_FALSE(resource_name("\x0a\x7f"));
}

}  // namespace
}  // namespace mizzen::xds
