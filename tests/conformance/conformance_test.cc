// Every case of the table against the real proxy, over sockets: refused, or normalised to exactly
// these bytes.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "io/loop.h"
#include "probe.h"
#include "proxy/data_plane.h"

namespace mizzen::conformance {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

std::vector<Case> table() {
  const std::ifstream file("tests/conformance/cases.txt");
  std::stringstream text;
  text << file.rdbuf();
  auto cases = read_cases(text.str());
  EXPECT_TRUE(cases) << cases.error().message;
  return cases.value_or(std::vector<Case>{});
}

std::shared_ptr<const proxy::HttpSettings> settings() {
  auto routes = std::make_shared<route::Table>();
  route::VirtualHost host;
  host.name = "any";
  host.domains = {"*"};
  route::Route route;
  route.match.path.value = "/";
  route.forward.cluster = "server";
  route.forward.timeout = Duration{0};
  host.routes.push_back(route);
  routes->hosts.push_back(std::move(host));
  EXPECT_TRUE(routes->index());
  auto made = std::make_shared<proxy::HttpSettings>();
  made->table = routes;
  made->generate_request_id = false;
  made->normalize_path = true;
  made->accept_http_10 = true;
  made->default_host_for_http_10 = "default";
  made->upgrades = {"websocket"};
  made->filters.push_back({"router", false, proxy::RouterFilter{}});
  return made;
}

proxy::SnapshotRef snapshot_to(std::uint16_t backend) {
  auto made = std::make_shared<proxy::Snapshot>();
  auto listener = std::make_shared<proxy::Listener>();
  listener->name = "in";
  listener->addresses = {{"127.0.0.1", 0, false}};
  proxy::FilterChain chain;
  chain.terminal = settings();
  listener->chains.push_back(chain);
  made->listeners.push_back(listener);
  auto cluster = std::make_shared<proxy::Cluster>();
  cluster->name = "server";
  auto endpoints = std::make_shared<proxy::Endpoints>();
  proxy::Endpoint endpoint;
  endpoint.address = {"127.0.0.1", backend, false};
  endpoints->localities.emplace_back().endpoints.push_back(endpoint);
  made->clusters["server"] = {cluster, endpoints};
  return made;
}

TEST(Conformance, EveryCaseIsRefusedOrNormalised) {
  const std::vector<Case> cases = table();
  EXPECT_GE(cases.size(), 60u);
  auto backend = Backend::listen(0);
  ASSERT_TRUE(backend);
  io::EpollLoop loop;
  proxy::DataPlane plane(loop, proxy::DataPlaneOptions{1, {}, std::chrono::seconds(1)});
  ASSERT_TRUE(plane.set_snapshot(snapshot_to(backend->port())));
  ASSERT_TRUE(loop.run_until([&] { return plane.listening(); }, kPatience));
  const std::uint16_t port = plane.address_of("in").port();
  for (const Case& c : cases) {
    const Observed seen = backend->run(c, port, std::chrono::seconds(5));
    const std::string wrong = differences(c, seen);
    EXPECT_EQ(wrong, "") << c.name << " (" << c.section << ")";
  }
}

}  // namespace
}  // namespace mizzen::conformance
