#include "proxy/admin/admin.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/names.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "net/http_client.h"

namespace mizzen::proxy {
namespace {

using nlohmann::json;

struct Page {
  int status = 0;
  std::string body;
};

struct Fixture {
  io::EpollLoop loop;
  ConfigFeed feed{loop, [](SnapshotRef) {}};
  Bootstrap bootstrap;
  bool is_ready = false;
  bool quit = false;
  std::unique_ptr<AdminServer> server;
  std::uint16_t port = 0;

  Fixture() {
    auto parsed = parse_bootstrap(
        "{node: {id: n, cluster: c}, static_resources: {clusters: [{name: static-one}]}}");
    EXPECT_TRUE(parsed) << parsed.error().message;
    bootstrap = std::move(*parsed);
    EXPECT_TRUE(feed.store().add_static_cluster(bootstrap.clusters.at(0)));
    apply("outbound|80||a", 1);
    feed.store().publish();
    AdminHooks hooks;
    hooks.collect = [](std::function<void(StatsReport)> done) {
      StatsReport report;
      report.counters["some_total"] = 3;
      done(report);
    };
    hooks.ready = [this] { return is_ready; };
    hooks.draining = [] { return false; };
    hooks.quit = [this] { quit = true; };
    hooks.drain = [] {};
    hooks.set_failed = [](bool) {};
    server = std::make_unique<AdminServer>(loop, feed, bootstrap, std::move(hooks));
    auto bound = server->listen(SocketAddr{"127.0.0.1", 0, false});
    EXPECT_TRUE(bound);
    port = bound->port();
  }

  // A cluster with one endpoint; `connect_seconds` 0 makes a bad one.
  void apply(const std::string& name, int connect_seconds) {
    envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name(name);
    cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
    cluster.mutable_connect_timeout()->set_seconds(connect_seconds);
    feed.store().apply({std::string(api::kClusterType),
                        "n",
                        "v1",
                        {{name, "7", cluster.SerializeAsString(), {}}},
                        {}});
    envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
    assignment.set_cluster_name(name);
    auto* socket = assignment.add_endpoints()
                       ->add_lb_endpoints()
                       ->mutable_endpoint()
                       ->mutable_address()
                       ->mutable_socket_address();
    socket->set_address("10.0.0.1");
    socket->set_port_value(80);
    feed.store().apply({std::string(api::kEndpointType),
                        "n",
                        "v1",
                        {{name, "7", assignment.SerializeAsString(), {}}},
                        {}});
  }

  Page get(const std::string& target, const std::string& method = "GET") {
    net::HttpClientOptions options;
    options.base.host = "127.0.0.1";
    options.base.port = port;
    net::HttpClient client(loop, std::move(options));
    std::optional<Page> page;
    net::Request request;
    request.method = method;
    request.target = target;
    client.fetch(std::move(request), [&](Result<net::Response> response) {
      page = response ? Page{response->status, response->body} : Page{-1, response.error().message};
    });
    loop.run_until([&] { return page.has_value(); }, std::chrono::seconds(10));
    return page.value_or(Page{});
  }
};

TEST(Admin, ConfigDump) {
  Fixture f;
  auto page = f.get("/config_dump?include_eds");
  ASSERT_EQ(page.status, 200);
  json dump = json::parse(page.body);
  std::map<std::string, json> by_type;
  for (const auto& each : dump["configs"]) by_type[each["@type"]] = each;
  const json& boot = by_type["type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"];
  EXPECT_EQ(boot["bootstrap"]["node"]["id"], "n");
  const json& clusters = by_type["type.googleapis.com/envoy.admin.v3.ClustersConfigDump"];
  EXPECT_EQ(clusters["static_clusters"][0]["cluster"]["name"], "static-one");
  EXPECT_EQ(clusters["dynamic_active_clusters"][0]["cluster"]["name"], "outbound|80||a");
  EXPECT_EQ(clusters["dynamic_active_clusters"][0]["version_info"], "7");
  EXPECT_TRUE(by_type.contains("type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"));
  EXPECT_TRUE(by_type.contains("type.googleapis.com/envoy.admin.v3.ListenersConfigDump"));
}

TEST(Admin, ConfigDumpOfOneResource) {
  Fixture f;
  json dump = json::parse(f.get("/config_dump?resource=dynamic_active_clusters&mask=cluster").body);
  ASSERT_EQ(dump["configs"].size(), 1U);
  EXPECT_EQ(dump["configs"][0]["cluster"]["name"], "outbound|80||a");
  EXPECT_FALSE(dump["configs"][0].contains("version_info"));
  EXPECT_EQ(f.get("/config_dump?resource=nonsense").status, 404);
  EXPECT_EQ(f.get("/config_dump?resource=dynamic_active_clusters&mask=nonsense").status, 400);
  EXPECT_EQ(f.get("/config_dump?name_regex=(").status, 400);
}

TEST(Admin, ARejectedResourceIsShownWithItsReason) {
  Fixture f;
  f.apply("outbound|80||a", 0);
  json dump = json::parse(f.get("/config_dump?resource=dynamic_active_clusters").body);
  EXPECT_EQ(dump["configs"][0]["error_state"]["details"], "connect_timeout: must be more than 0");
  EXPECT_EQ(dump["configs"][0]["client_status"], "NACKED");
}

TEST(Admin, KeysAreNotShown) {
  Fixture f;
  auto secret = std::make_shared<Secret>();
  secret->name = "default";
  secret->certificate_chain = "chain";
  secret->private_key = "very secret";
  f.feed.store().set_secret(secret);
  auto body = f.get("/config_dump").body;
  EXPECT_EQ(body.find("very secret"), std::string::npos);
  EXPECT_NE(body.find("W3JlZGFjdGVkXQ=="), std::string::npos);  // "[redacted]"
}

TEST(Admin, Clusters) {
  Fixture f;
  json clusters = json::parse(f.get("/clusters?format=json").body);
  const json& status = clusters["cluster_statuses"][0];
  EXPECT_EQ(status["name"], "outbound|80||a");
  EXPECT_EQ(status["added_via_api"], true);
  EXPECT_EQ(status["host_statuses"][0]["address"]["socket_address"]["address"], "10.0.0.1");
  EXPECT_EQ(status["host_statuses"][0]["health_status"]["eds_health_status"], "HEALTHY");
  EXPECT_NE(f.get("/clusters").body.find("outbound|80||a::10.0.0.1:80::health_flags::healthy"),
            std::string::npos);
}

// What is asked comes back in the answer, which is JSON: another encoding must not end the proxy.
TEST(Admin, ExplainOfBytesThatAreNotUtf8) {
  Fixture f;
  const Page page = f.get("/explain?way=direct&destination=10.0.0.1:1&authority=b%ff&path=/%fe");
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(json::accept(page.body)) << page.body;
}

TEST(Admin, SmallPages) {
  Fixture f;
  EXPECT_EQ(f.get("/ready").status, 503);
  EXPECT_EQ(json::parse(f.get("/server_info").body)["state"], "INITIALIZING");
  f.is_ready = true;
  EXPECT_EQ(f.get("/ready").body, "LIVE\n");
  EXPECT_EQ(json::parse(f.get("/server_info").body)["node"]["id"], "n");
  EXPECT_NE(f.get("/stats").body.find("some_total: 3\n"), std::string::npos);
  EXPECT_EQ(f.get("/stats?filter=^some").body, "some_total: 3\n");
  EXPECT_EQ(json::parse(f.get("/stats?format=json&filter=some").body)["stats"][0]["value"], 3);
  EXPECT_NE(f.get("/stats/prometheus").body.find("some_total 3"), std::string::npos);
  EXPECT_EQ(f.get("/nonsense").status, 404);
  EXPECT_EQ(f.get("/quitquitquit").status, 405);
  EXPECT_EQ(f.get("/certs").status, 200);
  EXPECT_EQ(f.get("/listeners?format=json").status, 200);
  EXPECT_EQ(f.get("/help").status, 200);
  EXPECT_EQ(f.get("/logging?level=nonsense", "POST").status, 400);
  EXPECT_EQ(f.get("/logging?level=debug", "POST").body, "active loggers:\n  all: debug\n");
  EXPECT_EQ(f.get("/logging?level=info", "POST").status, 200);
  EXPECT_EQ(f.get("/quitquitquit", "POST").status, 200);
  EXPECT_TRUE(f.loop.run_until([&] { return f.quit; }, std::chrono::seconds(10)));
}

}  // namespace
}  // namespace mizzen::proxy
