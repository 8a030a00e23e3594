// The source against our own server machine over real sockets on loopback.
#include "proxy/feed/xds_source.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "xds/server.h"

namespace mizzen::proxy {
namespace {

constexpr Duration kLimit = std::chrono::seconds(10);

std::shared_ptr<const xds::World> world(const std::string& version,
                                        const std::vector<std::string>& clusters) {
  auto made = std::make_shared<xds::World>();
  made->version = version;
  auto map = std::make_shared<xds::ResourceMap>();
  for (const auto& name : clusters) {
    envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name(name);
    auto bytes = cluster.SerializeAsString();
    (*map)[name] = std::make_shared<xds::Resource>(
        xds::Resource{name, xds::content_version(bytes), bytes, {}});
  }
  made->types[std::string(api::kClusterType)] = map;
  return made;
}

struct ControlPlane {
  io::Loop& loop;
  net::GrpcServer grpc;
  std::unique_ptr<net::HttpServer> http;
  std::shared_ptr<net::GrpcStream> stream;
  std::unique_ptr<xds::DeltaServer> machine;
  std::shared_ptr<const xds::World> now;
  std::string authorization;
  std::uint16_t port = 0;

  explicit ControlPlane(io::Loop& on) : loop(on) {
    grpc.streaming(std::string(api::kDeltaAdsMethod),
                   [this](std::shared_ptr<net::GrpcStream> call) {
                     stream = call;
                     authorization = call->exchange().header("authorization");
                     machine = std::make_unique<xds::DeltaServer>("t");
                     machine->offer(now);
                     call->on_message([this](std::string_view message) {
                       EXPECT_TRUE(machine->receive(message));
                       push();
                     });
                   });
  }
  void push() {
    while (auto response = machine->next()) stream->send(*response);
  }
  void listen(std::uint16_t at) {
    http = std::make_unique<net::HttpServer>(loop, net::HttpServerOptions{},
                                             [this](std::shared_ptr<net::Exchange> exchange) {
                                               if (!grpc.handle(exchange))
                                                 exchange->respond(404, {}, "");
                                             });
    auto bound = http->listen(io::Address::loopback(at));
    ASSERT_TRUE(bound) << bound.error().message;
    port = bound->port();
  }
};

TEST(XdsSource, ReceivesFollowsAndSurvivesTheLossOfTheControlPlane) {
  io::EpollLoop loop;
  ControlPlane control(loop);
  control.now = world("1", {"a"});
  control.listen(0);
  SnapshotRef latest;
  ConfigFeed feed(loop, [&](SnapshotRef snapshot) { latest = std::move(snapshot); });
  XdsSource source(loop, feed, DiscoverySettings{.host = "127.0.0.1", .port = control.port},
                   {"sidecar~1.1.1.1~a.b~b.svc", "c", "{}"});
  source.start();
  ASSERT_TRUE(loop.run_until([&] { return latest && latest->cluster("a"); }, kLimit));
  EXPECT_EQ(control.machine->node().id, "sidecar~1.1.1.1~a.b~b.svc");

  control.machine->offer(world("2", {"a", "b"}));
  control.push();
  ASSERT_TRUE(loop.run_until([&] { return latest->cluster("b") != nullptr; }, kLimit));
  ASSERT_TRUE(loop.run_until([&] { return control.machine->status()[0].synced(); }, kLimit));

  control.stream.reset();
  control.http.reset();
  ASSERT_TRUE(loop.run_until([&] { return !source.connected(); }, kLimit));
  EXPECT_TRUE(latest->cluster("a"));
  control.now = world("3", {"b", "c"});
  control.listen(control.port);
  ASSERT_TRUE(loop.run_until([&] { return latest->cluster("c") != nullptr; }, kLimit));
  EXPECT_FALSE(latest->cluster("a"));
  EXPECT_TRUE(latest->cluster("b"));
}

}  // namespace
}  // namespace mizzen::proxy
