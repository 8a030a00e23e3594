#include "api/names.h"

#include <gtest/gtest.h>

namespace mizzen::api {
namespace {

TEST(Names, ClusterNamesGoBothWays) {
  EXPECT_EQ(outbound_cluster(80, "v1", "a.b"), "outbound|80|v1|a.b");
  EXPECT_EQ(inbound_cluster(9080), "inbound|9080||");
  auto name = parse_cluster_name("outbound|9080|v2|reviews.default.svc.cluster.local");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->direction, "outbound");
  EXPECT_EQ(name->port, 9080);
  EXPECT_EQ(name->subset, "v2");
  EXPECT_EQ(name->host, "reviews.default.svc.cluster.local");
  for (const char* bad : {"", "PassthroughCluster", "outbound|x||h", "sideways|1||h", "a|b|c"}) {
    EXPECT_FALSE(parse_cluster_name(bad)) << bad;
  }
}

TEST(Names, NodeIdsGoBothWays) {
  auto id = parse_node_id("sidecar~10.1.0.4~a.b-1.default~default.svc.cluster.local");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->pod, "a.b-1");
  EXPECT_EQ(id->name_space, "default");
  EXPECT_EQ(to_string(*id), "sidecar~10.1.0.4~a.b-1.default~default.svc.cluster.local");
  EXPECT_FALSE(parse_node_id("sidecar~10.1.0.4"));
  EXPECT_FALSE(parse_node_id("~a~b.c~d"));
}

}  // namespace
}  // namespace mizzen::api
