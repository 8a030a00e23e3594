// Protocol selection, host names and precedence.
#include <gtest/gtest.h>

#include "control/mesh/hosts.h"
#include "control/mesh/protocol.h"
#include "control/mesh/snapshot.h"

namespace mizzen::control {
namespace {

TEST(Protocol, NameThenNumber) {
  EXPECT_EQ(select_protocol("", "http", 9080, "TCP"), Protocol::kHttp);
  EXPECT_EQ(select_protocol("", "http-web", 9080, "TCP"), Protocol::kHttp);
  EXPECT_EQ(select_protocol("", "http2", 80, "TCP"), Protocol::kHttp2);
  EXPECT_EQ(select_protocol("", "grpc-web", 80, "TCP"), Protocol::kGrpcWeb);
  EXPECT_EQ(select_protocol("", "grpc-web-x", 80, "TCP"), Protocol::kGrpcWeb);
  EXPECT_EQ(select_protocol("", "grpc-webx", 80, "TCP"), Protocol::kGrpc);
  EXPECT_EQ(select_protocol("", "HTTPS-x", 443, "TCP"), Protocol::kHttps);
  EXPECT_EQ(select_protocol("", "web", 80, "TCP"), Protocol::kDetect);
  EXPECT_EQ(select_protocol("", "", 3306, "TCP"), Protocol::kTcp);
  EXPECT_EQ(select_protocol("", "", 80, "UDP"), Protocol::kUdp);
}

TEST(Protocol, AppProtocolGoesFirst) {
  EXPECT_EQ(select_protocol("http", "tcp-x", 80, "TCP"), Protocol::kHttp);
  EXPECT_EQ(select_protocol("kubernetes.io/h2c", "http", 80, "TCP"), Protocol::kHttp2);
  EXPECT_EQ(select_protocol("example.com/own", "http", 80, "TCP"), Protocol::kHttp);
}

TEST(Hosts, ShortNamesAreOfTheRulesNamespace) {
  EXPECT_EQ(resolve_host("reviews", "default", "cluster.local"),
            "reviews.default.svc.cluster.local");
  EXPECT_EQ(resolve_host("a.example.com", "default", "cluster.local"), "a.example.com");
  EXPECT_EQ(resolve_host("*", "default", "cluster.local"), "*");
  EXPECT_EQ(resolve_host("*.Example.com", "default", "cluster.local"), "*.example.com");
  EXPECT_EQ(resolve_host("10.0.0.1", "default", "cluster.local"), "10.0.0.1");
}

TEST(Hosts, Wildcards) {
  EXPECT_TRUE(host_covers("*", "anything"));
  EXPECT_TRUE(host_covers("*.example.com", "a.example.com"));
  EXPECT_TRUE(host_covers("*.example.com", "*.b.example.com"));
  EXPECT_FALSE(host_covers("*.example.com", "example.com"));
  EXPECT_FALSE(host_covers("a.example.com", "*.example.com"));
  EXPECT_TRUE(more_specific_host("a.b", "*.b"));
  EXPECT_TRUE(more_specific_host("*.a.b", "*.b"));
}

TEST(Hosts, NamesOfAServiceDependOnTheCaller) {
  EXPECT_EQ(service_domains("reviews.default.svc.cluster.local", "default", "cluster.local",
                            {"10.96.0.9"}),
            (std::vector<std::string>{"reviews.default.svc.cluster.local",
                                      "reviews.default.svc.cluster.local.", "reviews",
                                      "reviews.default.svc", "reviews.default", "10.96.0.9"}));
  EXPECT_EQ(service_domains("reviews.default.svc.cluster.local", "other", "cluster.local", {}),
            (std::vector<std::string>{"reviews.default.svc.cluster.local",
                                      "reviews.default.svc.cluster.local.", "reviews.default.svc",
                                      "reviews.default"}));
}

class MtlsMode_ : public ::testing::Test {
 protected:
  void policy(std::string name, std::string name_space, Labels selector, MtlsMode mode,
              std::int64_t created = 1, std::map<std::uint16_t, MtlsMode> ports = {}) {
    snapshot_.peer_policies.push_back({std::move(name), std::move(name_space), created,
                                       std::move(selector), mode, std::move(ports)});
  }
  MtlsMode mode(std::uint16_t port = 9080) const {
    return snapshot_.mtls_mode("default", {{"app", "reviews"}}, port);
  }
  Snapshot snapshot_;
};

TEST_F(MtlsMode_, PermissiveWithoutAWord) { EXPECT_EQ(mode(), MtlsMode::kPermissive); }

TEST_F(MtlsMode_, NarrowestScopeWins) {
  policy("mesh", "istio-system", {}, MtlsMode::kStrict);
  EXPECT_EQ(mode(), MtlsMode::kStrict);
  policy("namespace", "default", {}, MtlsMode::kDisable);
  EXPECT_EQ(mode(), MtlsMode::kDisable);
  policy("workload", "default", {{"app", "reviews"}}, MtlsMode::kStrict, 1,
         {{9080, MtlsMode::kPermissive}});
  EXPECT_EQ(mode(9080), MtlsMode::kPermissive);
  EXPECT_EQ(mode(9081), MtlsMode::kStrict);
}

TEST_F(MtlsMode_, UnsetInheritsFromTheNextScope) {
  policy("mesh", "istio-system", {}, MtlsMode::kStrict);
  policy("namespace", "default", {}, MtlsMode::kUnset);
  policy("workload", "default", {{"app", "reviews"}}, MtlsMode::kUnset);
  EXPECT_EQ(mode(), MtlsMode::kStrict);
}

TEST_F(MtlsMode_, OldestOfEqualsWins) {
  policy("b", "default", {}, MtlsMode::kStrict, 20);
  policy("a", "default", {}, MtlsMode::kDisable, 10);
  EXPECT_EQ(mode(), MtlsMode::kDisable);
}

TEST_F(MtlsMode_, SelectorsStayInTheirNamespace) {
  policy("x", "other", {{"app", "reviews"}}, MtlsMode::kStrict);
  policy("y", "default", {{"app", "ratings"}}, MtlsMode::kStrict);
  EXPECT_EQ(mode(), MtlsMode::kPermissive);
}

}  // namespace
}  // namespace mizzen::control
