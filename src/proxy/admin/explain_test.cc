// What the admin page /explain says of a small configuration.
#include "proxy/admin/explain.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mizzen::proxy {
namespace {

using Json = nlohmann::json;

// One captured port with two routes to versions of `reviews`, and the inbound side of a pod.
class Explain : public testing::Test {
 protected:
  void SetUp() override {
    auto snapshot = std::make_shared<Snapshot>();
    auto http = std::make_shared<HttpSettings>();
    http->rds_name = "9080";
    http->filters.push_back({"envoy.filters.http.router", false, RouterFilter{}});
    snapshot->listeners = {outbound(http), inbound()};
    snapshot->routes["9080"] = table();
    snapshot->clusters["v1"] = {cluster("v1"), endpoints({"10.0.0.1"})};
    snapshot->clusters["v2"] = {cluster("v2"), endpoints({})};
    config_ = make_live_config(snapshot);
  }

  static std::shared_ptr<const Listener> outbound(std::shared_ptr<const HttpSettings> http) {
    auto listener = std::make_shared<Listener>();
    listener->name = "0.0.0.0_9080";
    listener->addresses = {{"0.0.0.0", 9080}};
    listener->direction = Direction::kOutbound;
    listener->chains.emplace_back().terminal = std::move(http);
    return listener;
  }

  // Strict: plain text has no chain.
  static std::shared_ptr<const Listener> inbound() {
    auto listener = std::make_shared<Listener>();
    listener->name = "virtualInbound";
    listener->addresses = {{"0.0.0.0", 15006}};
    listener->direction = Direction::kInbound;
    listener->tls_inspector.present = true;
    FilterChain& chain = listener->chains.emplace_back();
    chain.name = "9080";
    chain.match.transport_protocol = "tls";
    auto rules = std::make_shared<route::Rbac>();
    route::RbacRule any{.kind = route::RbacRule::Kind::kAny};
    route::RbacRule jason{.kind = route::RbacRule::Kind::kAuthenticated};
    jason.text = route::StringMatcher::exact("spiffe://cluster.local/ns/default/sa/page");
    rules->policies["ns[default]-policy[page]-rule[0]"] = {{any}, {jason}};
    chain.before.push_back(NetworkRbac{rules, ""});
    auto tcp = std::make_shared<TcpSettings>();
    tcp->cluster = "v1";
    chain.terminal = std::move(tcp);
    return listener;
  }

  static route::TableRef table() {
    auto table = std::make_shared<route::Table>();
    table->name = "9080";
    route::VirtualHost& host = table->hosts.emplace_back();
    host.name = "reviews:9080";
    host.domains = {"reviews", "reviews:9080"};
    for (const char* version : {"v2", "v1"}) {
      route::Route& route = host.routes.emplace_back();
      route.source = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";
      route.match.path.value = "/";
      route.forward.cluster = version;
    }
    route::HeaderMatcher user;
    user.name = "end-user";
    user.kind = route::HeaderMatcher::Kind::kString;
    user.text = route::StringMatcher::exact("jason");
    host.routes[0].match.headers = {user};
    EXPECT_TRUE(table->index());
    return table;
  }

  static std::shared_ptr<const Cluster> cluster(const char* name) {
    auto made = std::make_shared<Cluster>();
    made->name = name;
    made->type = Cluster::Type::kEds;
    made->subset = name;
    return made;
  }
  static std::shared_ptr<const Endpoints> endpoints(std::vector<std::string> addresses) {
    auto made = std::make_shared<Endpoints>();
    for (std::string& address : addresses) {
      Endpoint endpoint;
      endpoint.address = {std::move(address), 9080};
      made->localities.emplace_back().endpoints = {endpoint};
    }
    return made;
  }

  Json ask(std::string_view query) {
    auto request = parse_explain(query);
    EXPECT_TRUE(request) << request.error().message;
    return request ? explain(*config_, *request) : Json();
  }

  LiveConfigRef config_;
};

TEST_F(Explain, FollowsARequestToItsEndpoints) {
  const Json said = ask("destination=10.96.0.7:9080&authority=reviews:9080&path=/reviews/0");
  EXPECT_EQ(said["listener"]["name"], "0.0.0.0_9080");
  EXPECT_EQ(said["virtualHost"]["name"], "reviews:9080");
  EXPECT_EQ(said["route"]["position"], 1);
  EXPECT_EQ(said["route"]["config"],
            "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews");
  EXPECT_NE(said["reasons"].dump().find("route 0: not header end-user"), std::string::npos);
  EXPECT_EQ(said["clusters"][0]["subset"], "v1");
  EXPECT_EQ(said["clusters"][0]["endpoints"][0]["address"], "10.0.0.1:9080");
  EXPECT_EQ(said["outcome"], "goes to v1");
}

TEST_F(Explain, AHeaderChangesTheRoute) {
  const Json said = ask(
      "destination=10.96.0.7:9080&authority=reviews&headers=%7B%22end-user%22%3A%22jason%22%7D");
  EXPECT_EQ(said["route"]["position"], 0);
  EXPECT_EQ(said["outcome"], "cluster v2 has no healthy endpoint: 503 UH");
}

TEST_F(Explain, SaysWhereNothingMatches) {
  EXPECT_EQ(ask("destination=10.96.0.7:9080&authority=other")["outcome"],
            "no virtual host: 404 NR route_not_found");
  EXPECT_EQ(ask("destination=10.96.0.7:7&way=direct")["outcome"],
            "no listener takes connections to 10.96.0.7:7: refused");
}

TEST_F(Explain, PoliciesOfTheConnectionDecide) {
  const std::string in = "way=inbound&destination=10.0.0.1:9080&source=10.0.0.9:1";
  EXPECT_NE(ask(in)["outcome"].get<std::string>().find("plain text"), std::string::npos);
  const std::string page = "&tls=true&principal=spiffe://cluster.local/ns/default/sa/page";
  EXPECT_EQ(ask(in + page)["outcome"], "goes to v1");
  EXPECT_EQ(ask(in + page)["networkPolicies"][0]["allowed"], true);
  const std::string other = "&tls=true&principal=spiffe://cluster.local/ns/default/sa/other";
  EXPECT_EQ(ask(in + other)["outcome"],
            "refused by an authorization policy: the connection is reset");
}

TEST_F(Explain, RefusesWhatItDoesNotKnow) {
  for (const char* query :
       {"", "destination=nowhere", "destination=10.0.0.1:1&way=up",
        "destination=10.0.0.1:1&headers=x", "destination=10.0.0.1:1&colour=red"})
    EXPECT_FALSE(parse_explain(query)) << query;
}

}  // namespace
}  // namespace mizzen::proxy
