// What a sidecar of on-demand scope is told for the names that it asks for.
#include "control/serve/learned_scope.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "api/names.h"
#include "control/mesh/test_objects.h"
#include "control/serve/generator.h"

namespace mizzen::control {
namespace {

constexpr std::string_view kHttp = "name: http, port: 9080";
constexpr std::string_view kSql = "name: tcp, port: 3306";
constexpr std::string_view kRedis = "name: tcp, port: 6379";

constexpr std::string_view kMeshYaml = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec: {hosts: ["*.example.com"], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: exact, namespace: default}
spec: {hosts: [a.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: tls, namespace: default}
spec:
  hosts: [www.wikipedia.org]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: range, namespace: default}
spec:
  hosts: [range.internal]
  addresses: [192.0.2.0/24]
  ports: [{number: 7000, name: tcp, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: ratings}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside, namespace: default}
spec: {hosts: [nowhere.test], http: [{route: [{destination: {host: reviews}}]}]}
)";

class LearnedScope : public ::testing::Test {
 protected:
  LearnedScope() {
    put(store_, service_yaml("reviews", "default", "10.96.0.12", kHttp) +
                    service_yaml("ratings", "default", "10.96.0.13", kHttp) +
                    service_yaml("mysql", "data", "10.96.0.14", kSql) +
                    service_yaml("redis", "data", "None", kRedis) +
                    slice_yaml("redis", "data", kRedis, "{addresses: [10.1.0.31]}"));
    put(store_, kMeshYaml);
    EXPECT_EQ(store_.take_errors(), std::vector<std::string>());
    proxy_.name_space = "default";
    proxy_.address = "10.1.0.9";
    proxy_.on_demand = true;
  }
  Wanted ask(const std::string& name, bool expected = true) {
    scope_ = store_.snapshot();
    const Directory directory(*scope_, proxy_);
    Wanted wanted;
    const auto need = parse_need(name);
    EXPECT_EQ(need && directory.find(*need, *scope_, &wanted), expected) << name;
    narrowed_ = directory.narrow(scope_, wanted);
    return wanted;
  }
  std::set<std::string> hosts(const std::string& name) { return ask(name).hosts; }

  Store store_;
  Proxy proxy_;
  std::shared_ptr<const Snapshot> scope_;
  std::shared_ptr<const Snapshot> narrowed_;
};

using Hosts = std::set<std::string>;

TEST(Need, IsAHostAndAPort) {
  EXPECT_EQ(parse_need("Reviews.default.:9080")->host, "reviews.default");
  EXPECT_EQ(parse_need("[fd00::1]:80")->host, "fd00::1");
  EXPECT_EQ(parse_need("*:80")->port, 80);
  for (const char* wrong :
       {"", "reviews", "reviews:0", "reviews:70000", ":80", "a b:80", "a/b:1"}) {
    EXPECT_FALSE(parse_need(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_need(std::string(300, 'a') + ":80"));
}

TEST_F(LearnedScope, FindsServicesByTheNamesThatClientsWrite) {
  const Hosts reviews{"reviews.default.svc.cluster.local"};
  for (const char* name : {"reviews:9080", "reviews.default:9080", "reviews.default.svc:9080",
                           "reviews.default.svc.cluster.local:9080", "10.96.0.12:9080"}) {
    EXPECT_EQ(hosts(name), reviews) << name;
  }
  ask("reviews:9081", false);
  ask("reviews.other:9080", false);
  ask("10.96.0.12:9081", false);
  ask("10.96.0.99:9080", false);
}

TEST_F(LearnedScope, BringsWhatRulesLeadTo) {
  ask("reviews:9080");
  ASSERT_EQ(narrowed_->virtual_services.size(), 1U);
  const Service* led = narrowed_->service("ratings.default.svc.cluster.local");
  ASSERT_NE(led, nullptr);
  EXPECT_FALSE(led->ports.front().listened);
  EXPECT_TRUE(narrowed_->service("reviews.default.svc.cluster.local")->ports.front().listened);
}

TEST_F(LearnedScope, FindsRulesForHostsWithoutAService) {
  EXPECT_EQ(ask("nowhere.test:80").rules, Hosts{"default/outside"});
  EXPECT_NE(narrowed_->service("reviews.default.svc.cluster.local"), nullptr);
}

TEST_F(LearnedScope, AWildcardBringsAllThatItCovers) {
  const Hosts both{"*.example.com", "a.example.com"};
  EXPECT_EQ(hosts("b.example.com:80"), both);
  EXPECT_EQ(hosts("a.example.com:80"), both);
}

TEST_F(LearnedScope, FindsByAddress) {
  EXPECT_EQ(hosts("10.96.0.14:3306"), Hosts{"mysql.data.svc.cluster.local"});
  EXPECT_EQ(hosts("10.1.0.31:6379"), Hosts{"redis.data.svc.cluster.local"});
  EXPECT_EQ(hosts("192.0.2.77:7000"), Hosts{"range.internal"});
  ask("192.0.3.77:7000", false);
}

TEST_F(LearnedScope, APortIsWhatTheWholeMeshMakesOfIt) {
  ask("*:9080");
  EXPECT_TRUE(narrowed_->shared_ports.at(9080).http);
  ask("*:443");
  EXPECT_EQ(narrowed_->shared_ports.at(443), (SharedPort{.http = false, .tls = true}));
  ask("*:3306", false);
  EXPECT_EQ(hosts("www.wikipedia.org:443"), Hosts{"www.wikipedia.org"});
}

TEST_F(LearnedScope, IsNotForGatewaysNorUnderASidecarWithAnEgress) {
  EXPECT_TRUE(learns_scope(*store_.snapshot(), proxy_));
  Proxy gateway = proxy_;
  gateway.kind = ProxyKind::kGateway;
  EXPECT_FALSE(learns_scope(*store_.snapshot(), gateway));
  Snapshot limited = *store_.snapshot();
  limited.egress[0] = {};
  EXPECT_FALSE(learns_scope(limited, proxy_));
}

// --- As the generator serves it ------------------------------------------------------------------

std::size_t bytes_of(const xds::World& world) {
  std::size_t sum = 0;
  for (const auto& [url, resources] : world.types) {
    for (const auto& [name, resource] : *resources) sum += resource->bytes.size();
  }
  return sum;
}

void add_services(Store& store, int from, int to) {
  for (int i = from; i < to; ++i) {
    put(store, service_yaml(fmt::format("s{}", i), "many",
                            fmt::format("10.97.{}.{}", i / 250, 1 + i % 250), kHttp));
  }
}

TEST_F(LearnedScope, ConfigurationDoesNotGrowWithTheMesh) {
  const std::vector<std::string> names{"*:9080", "10.96.0.12:9080", "s7.many:9080", "reviews:9080"};
  Generator generator;
  Served served;
  add_services(store_, 0, 200);
  generator.serve(store_.snapshot(), proxy_, false, names, &served);
  const auto small = served.world;
  EXPECT_EQ(small->types.at(std::string(api::kDestinationType))->size(), names.size());
  add_services(store_, 200, 2000);
  generator.serve(store_.snapshot(), proxy_, false, names, &served);
  // Nothing of it is another: nothing is sent.
  EXPECT_EQ(served.world, small);
  Served fresh;
  Generator other;
  other.serve(store_.snapshot(), proxy_, false, names, &fresh);
  EXPECT_EQ(bytes_of(*fresh.world), bytes_of(*small));
  Proxy whole = proxy_;
  whole.on_demand = false;
  Served everything;
  other.serve(store_.snapshot(), whole, false, {}, &everything);
  EXPECT_GT(bytes_of(*everything.world), 50 * bytes_of(*small));
}

TEST_F(LearnedScope, AMissBecomesAHitWhenTheServiceComes) {
  Generator generator;
  Served served;
  generator.serve(store_.snapshot(), proxy_, false, {"s3.many:9080"}, &served);
  const std::string type(api::kDestinationType);
  EXPECT_TRUE(served.world->types.at(type)->empty());
  add_services(store_, 3, 4);
  generator.serve(store_.snapshot(), proxy_, false, {"s3.many:9080"}, &served);
  EXPECT_EQ(served.world->types.at(type)->size(), 1U);
  EXPECT_TRUE(served.world->types.at(std::string(api::kClusterType))
                  ->contains("outbound|9080||s3.many.svc.cluster.local"));
}

TEST_F(LearnedScope, AnEndpointThatNobodyAskedForChangesNothing) {
  Generator generator;
  Served served;
  generator.serve(store_.snapshot(), proxy_, false, {"reviews:9080"}, &served);
  const auto before = served.world;
  put(store_, slice_yaml("mysql", "data", kSql, "{addresses: [10.1.0.41]}"));
  generator.serve(store_.endpoint_snapshot(), proxy_, false, {"reviews:9080"}, &served);
  EXPECT_EQ(served.world, before);
  put(store_, slice_yaml("reviews", "default", kHttp, "{addresses: [10.1.0.42]}"));
  generator.serve(store_.endpoint_snapshot(), proxy_, false, {"reviews:9080"}, &served);
  ASSERT_NE(served.world, before);
  for (const auto& [url, resources] : served.world->types) {
    EXPECT_EQ(resources == before->types.at(url), url != api::kEndpointType) << url;
  }
}

TEST_F(LearnedScope, ProxiesThatShareAPartMayMissAChange) {
  Generator generator;
  Served first;
  Served second;
  const std::vector<std::string> names{"reviews:9080"};
  const auto change = [&](const std::string& address) {
    put(store_, slice_yaml("reviews", "default", kHttp, "{addresses: [" + address + "]}"));
    generator.serve(store_.endpoint_snapshot(), proxy_, false, names, &first);
  };
  const auto endpoints = [](const Served& served) {
    return served.world->types.at(api::kEndpointType);
  };
  change("10.1.0.41");
  generator.serve(store_.endpoint_snapshot(), proxy_, false, names, &second);
  EXPECT_EQ(first.part, second.part);
  change("10.1.0.42");
  change("10.1.0.43");
  EXPECT_NE(endpoints(first), endpoints(second));
  generator.serve(store_.endpoint_snapshot(), proxy_, false, names, &second);
  EXPECT_EQ(endpoints(first), endpoints(second));
  // Everybody's part is forgotten where nobody asked for a while.
  proxy_.name_space = "elsewhere";
  Served other;
  for (const char* address : {"10.1.0.44", "10.1.0.45", "10.1.0.46"}) {
    put(store_,
        slice_yaml("reviews", "default", kHttp, std::string("{addresses: [") + address + "]}"));
    generator.serve(store_.endpoint_snapshot(), proxy_, false, {"reviews.default:9080"}, &other);
  }
  proxy_.name_space = "default";
  generator.serve(store_.endpoint_snapshot(), proxy_, false, names, &second);
  EXPECT_EQ(endpoints(other)->begin()->second->version,
            endpoints(second)->begin()->second->version);
}

}  // namespace
}  // namespace mizzen::control
