// Two proxies, a server and a client over real sockets: the caller's sidecar, mutual TLS, the
// callee's sidecar.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "proxy/data_plane.h"
#include "proxy/observe/peer_metadata.h"
#include "proxy/test/patience.h"

namespace mizzen::proxy {
namespace {

std::shared_ptr<const Secret> make_secret(const pki::Authority& root, std::string_view account) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/default/sa/" + std::string(account)};
  options.not_before = system_clock().wall() - std::chrono::hours(1);
  options.not_after = system_clock().wall() + std::chrono::hours(1);
  auto leaf = *pki::issue(key.public_key(), options, root.key, &root.certificate);
  auto secret = std::make_shared<Secret>();
  secret->certificate_chain = leaf.to_pem();
  secret->private_key = key.to_pem();
  secret->trusted_ca = root.certificate.to_pem();
  secret->version_hash = fnv1a(secret->certificate_chain);
  return secret;
}

TlsCommon tls_of(std::shared_ptr<const Secret> secret, std::string san_prefix) {
  TlsCommon common;
  common.version_hash = secret->version_hash;
  common.certificate = secret;
  common.validation = std::move(secret);
  common.san.push_back(route::StringMatcher::prefix(san_prefix));
  return common;
}

std::shared_ptr<const HttpSettings> settings_to(std::string cluster, std::string server) {
  auto table = std::make_shared<route::Table>();
  route::VirtualHost host;
  host.name = "any";
  host.domains = {"*"};
  route::Route route;
  route.name = "default";
  route.match.path.value = "/";
  route.forward.cluster = std::move(cluster);
  route.forward.timeout = Duration{0};
  host.routes.push_back(route);
  table->hosts.push_back(std::move(host));
  EXPECT_TRUE(table->index());
  auto settings = std::make_shared<HttpSettings>();
  settings->table = table;
  settings->server_name = std::move(server);
  settings->filters.push_back({"router", false, RouterFilter{}});
  settings->forward_client_cert = HttpSettings::ClientCert::kAppendForward;
  settings->xfcc_uri = settings->xfcc_subject = true;
  return settings;
}

std::shared_ptr<Listener> listener_on(std::string name, Direction direction) {
  auto listener = std::make_shared<Listener>();
  listener->name = std::move(name);
  listener->addresses = {{"127.0.0.1", 0, false}};
  listener->direction = direction;
  return listener;
}

ClusterEntry cluster_at(std::string name, const io::Address& address) {
  auto cluster = std::make_shared<Cluster>();
  cluster->name = std::move(name);
  cluster->services = {{"web.default.svc.cluster.local", "web", "default"}};
  auto endpoints = std::make_shared<Endpoints>();
  LocalityEndpoints locality;
  Endpoint endpoint;
  endpoint.address = {address.ip(), address.port(), false};
  endpoint.workload =
      std::make_shared<Workload>(Workload{"web-v1", "default", "web", "v1", "Kubernetes"});
  locality.endpoints.push_back(endpoint);
  endpoints->localities.push_back(locality);
  return {cluster, endpoints};
}

SelfFacts self(std::string name) {
  SelfFacts facts;
  facts.workload = {name + "-v1", "default", name, "v1", "Kubernetes", name, "v1"};
  facts.principal = "spiffe://cluster.local/ns/default/sa/" + name;
  facts.node_id = "sidecar~127.0.0.1~" + name;
  facts.peer_metadata = make_peer_metadata(facts.workload, name);
  return facts;
}

class Scenario : public ::testing::Test {
 protected:
  void SetUp() override {
    backend_.emplace(loop_, net::HttpServerOptions{}, [](std::shared_ptr<net::Exchange> exchange) {
      exchange->read_body(1 << 24, [exchange](Result<std::string> body) {
        net::HeaderList headers = {
            {"x-saw-xfcc", std::string(exchange->header("x-forwarded-client-cert"))},
            {"x-saw-metadata", std::string(exchange->header("x-envoy-peer-metadata"))},
            {"x-saw-protocol", std::string(http::to_string(exchange->request().protocol))}};
        exchange->respond(200, headers,
                          std::string(exchange->target()) + " " + body.value_or("broken"));
      });
    });
    backend_address_ = *backend_->listen(io::Address::loopback(0));
    web_secret_ = make_secret(root_, "web");
    caller_secret_ = make_secret(root_, "caller");
    inbound_.emplace(loop_, DataPlaneOptions{1, self("web"), std::chrono::seconds(1)});
    outbound_.emplace(loop_, DataPlaneOptions{1, self("caller"), std::chrono::seconds(1)});
  }

  void configure(bool strict, bool mutual_tls) {
    auto in = in_ ? std::make_shared<Listener>(*in_) : listener_on("in", Direction::kInbound);
    in->chains.clear();
    in->tls_inspector.present = true;
    FilterChain secure;
    secure.name = "tls";
    secure.match.transport_protocol = "tls";
    auto down = std::make_shared<DownstreamTls>();
    down->common = tls_of(web_secret_, "spiffe://cluster.local/");
    down->common.alpn = {"h2", "http/1.1"};
    down->require_client_certificate = true;
    secure.tls = down;
    secure.terminal = settings_to("local", "istio-envoy");
    in->chains.push_back(secure);
    if (!strict) {
      FilterChain plain = secure;
      plain.name = "plain";
      plain.match.transport_protocol = "raw_buffer";
      plain.tls = nullptr;
      in->chains.push_back(plain);
    }
    in_ = in;
    auto inbound = std::make_shared<Snapshot>();
    inbound->listeners.push_back(in);
    inbound->clusters["local"] = cluster_at("local", backend_address_);
    ASSERT_TRUE(inbound_->set_snapshot(inbound));
    ASSERT_TRUE(loop_.run_until([&] { return inbound_->listening(); }, kPatience));

    auto out = listener_on("out", Direction::kOutbound);
    FilterChain chain;
    chain.terminal = settings_to("svc", "envoy");
    out->chains.push_back(chain);
    auto outbound = std::make_shared<Snapshot>();
    outbound->listeners.push_back(out);
    ClusterEntry svc = cluster_at("svc", inbound_->address_of("in"));
    if (mutual_tls) {
      auto cluster = std::make_shared<Cluster>(*svc.cluster);
      auto up = std::make_shared<UpstreamTls>();
      up->common = tls_of(caller_secret_, "spiffe://cluster.local/ns/default/sa/web");
      up->common.alpn = {"istio"};
      up->sni = "outbound_.80_._.web.default.svc.cluster.local";
      cluster->tls = up;
      svc.cluster = cluster;
    }
    outbound->clusters["svc"] = svc;
    ASSERT_TRUE(outbound_->set_snapshot(outbound));
    ASSERT_TRUE(loop_.run_until([&] { return outbound_->listening(); }, kPatience));
    net::HttpClientOptions options;
    options.base = *net::parse_base_url("http://" + outbound_->address_of("out").to_string());
    if (!client_) client_.emplace(loop_, options);
  }

  Result<net::Response> fetch(net::Request request) {
    std::optional<Result<net::Response>> out;
    client_->fetch(std::move(request),
                   [&](Result<net::Response> response) { out = std::move(response); });
    if (!loop_.run_until([&] { return out.has_value(); }, kPatience)) {
      return fail(Code::kTimeout, "no answer");
    }
    return std::move(*out);
  }

  StatsReport stats(DataPlane& plane) {
    std::optional<StatsReport> out;
    plane.collect([&](StatsReport report) { out = std::move(report); });
    EXPECT_TRUE(loop_.run_until([&] { return out.has_value(); }, kPatience));
    return out.value_or(StatsReport{});
  }

  io::EpollLoop loop_;
  std::optional<net::HttpServer> backend_;
  io::Address backend_address_;
  pki::Authority root_ =
      *pki::make_root("cluster.local", system_clock().wall(), std::chrono::hours(24));
  std::shared_ptr<const Secret> web_secret_, caller_secret_;
  std::shared_ptr<const Listener> in_;
  std::optional<DataPlane> inbound_, outbound_;
  std::optional<net::HttpClient> client_;
};

TEST_F(Scenario, PlaintextThroughTwoProxies) {
  configure(false, false);
  auto response = fetch({.target = "/hello?x=1"});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "/hello?x=1 ");
  EXPECT_EQ(response->header("server"), "envoy");
  EXPECT_EQ(response->header("x-saw-xfcc"), "");
}

TEST_F(Scenario, MutualTlsTellsWhoCalls) {
  configure(true, true);
  for (int i = 0; i < 3; ++i) {
    auto response = fetch({.method = "POST", .target = "/m", .body = "abc"});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200) << response->body;
    EXPECT_EQ(response->body, "/m abc");
    EXPECT_EQ(response->header("x-saw-metadata"), "");
    EXPECT_EQ(response->header("x-saw-protocol"), "HTTP/1.1");
    EXPECT_NE(
        response->header("x-saw-xfcc").find("URI=spiffe://cluster.local/ns/default/sa/caller"),
        std::string_view::npos);
  }
  StatsReport server = stats(*inbound_);
  ASSERT_EQ(server.requests.size(), 1u);
  const std::string& labels = server.requests.begin()->first;
  EXPECT_EQ(server.requests.begin()->second.requests, 3u);
  for (std::string_view label :
       {"reporter=\"destination\"", "source_workload=\"caller-v1\"", "source_app=\"caller\"",
        "source_principal=\"spiffe://cluster.local/ns/default/sa/caller\"",
        "destination_principal=\"spiffe://cluster.local/ns/default/sa/web\"",
        "connection_security_policy=\"mutual_tls\"", "destination_service_name=\"web\""}) {
    EXPECT_NE(labels.find(label), std::string::npos) << label << " in " << labels;
  }
  StatsReport caller = stats(*outbound_);
  ASSERT_EQ(caller.requests.size(), 1u);
  const std::string& out = caller.requests.begin()->first;
  for (std::string_view label :
       {"reporter=\"source\"", "destination_workload=\"web-v1\"", "source_workload=\"caller-v1\"",
        "destination_principal=\"spiffe://cluster.local/ns/default/sa/web\""}) {
    EXPECT_NE(out.find(label), std::string::npos) << label << " in " << out;
  }
}

TEST_F(Scenario, StrictRefusesPlaintext) {
  configure(true, false);
  auto response = fetch({.target = "/"});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->body,
            "upstream connect error or disconnect/reset before headers. reset reason: connection "
            "termination");
}

TEST_F(Scenario, StrictEndsOpenPlaintextConnections) {
  configure(false, false);
  ASSERT_EQ(fetch({.target = "/"})->status, 200);
  configure(true, false);  // the worker takes it in its next turn
  int status = 200;
  for (int i = 0; i < 1000 && status == 200; ++i) status = fetch({.target = "/"})->status;
  EXPECT_EQ(status, 503);
}

TEST_F(Scenario, LargeBodiesBothWays) {
  configure(true, true);
  std::string body(8 << 20, 'x');
  auto response = fetch({.method = "POST", .target = "/b", .body = body});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.size(), body.size() + 3);
}

TEST_F(Scenario, RotationCutsNothing) {
  configure(true, true);
  ASSERT_EQ(fetch({.target = "/"})->status, 200);
  web_secret_ = make_secret(root_, "web");
  caller_secret_ = make_secret(root_, "caller");
  for (int i = 0; i < 5; ++i) {
    configure(true, true);
    EXPECT_EQ(fetch({.target = "/"})->status, 200);
  }
}

TEST_F(Scenario, FlipsOfConfigurationFailNothing) {
  configure(true, true);
  constexpr int kFlips = 100;
  int started = 0, done = 0, failed = 0;
  bool more = true;
  std::function<void()> next = [&] {
    if (!more) return;
    ++started;
    client_->fetch({.target = "/f"}, [&](Result<net::Response> response) {
      ++done;
      if (!response || response->status != 200) ++failed;
      next();
    });
  };
  for (int i = 0; i < 16; ++i) next();
  for (int flip = 0; flip < kFlips; ++flip) {
    if (flip % 10 == 0) web_secret_ = make_secret(root_, "web");
    configure(flip % 2 == 0, true);
    int before = done;
    ASSERT_TRUE(loop_.run_until([&] { return done >= before + 5; }, kPatience));
  }
  more = false;
  ASSERT_TRUE(loop_.run_until([&] { return done == started; }, kPatience));
  EXPECT_EQ(failed, 0);
}

TEST_F(Scenario, DrainFinishesRequests) {
  configure(true, true);
  ASSERT_EQ(fetch({.target = "/"})->status, 200);
  bool drained = false;
  outbound_->drain([&] { drained = true; });
  EXPECT_TRUE(loop_.run_until([&] { return drained; }, kPatience));
  EXPECT_EQ(outbound_->connections(), 0u);
}

// The sockets of one data plane go to another one, of more workers, while requests come.
TEST_F(Scenario, AnotherProcessTakesOver) {
  configure(false, false);
  const auto all_well = [&](int count) {
    for (int i = 0; i < count; ++i) {
      auto response = fetch({.target = "/"});
      ASSERT_TRUE(response) << response.error().message;
      ASSERT_EQ(response->status, 200);
    }
  };
  all_well(3);
  std::optional<SocketsByKey> sockets;
  inbound_->collect_sockets([&](SocketsByKey copies) { sockets = std::move(copies); });
  ASSERT_TRUE(loop_.run_until([&] { return sockets.has_value(); }, kPatience));
  ASSERT_EQ(sockets->size(), 1u);
  DataPlane next(loop_, DataPlaneOptions{3, self("web"), std::chrono::seconds(1)});
  next.adopt(std::move(*sockets));
  ASSERT_TRUE(next.set_snapshot(inbound_->snapshot()));
  ASSERT_TRUE(loop_.run_until([&] { return next.listening(); }, kPatience));
  EXPECT_EQ(next.address_of("in"), inbound_->address_of("in"));
  all_well(20);
  bool over = false;
  inbound_->hand_over(std::chrono::seconds(20), [&] { over = true; });
  all_well(20);
  ASSERT_TRUE(loop_.run_until([&] { return over; }, kPatience));
  inbound_.reset();
  all_well(20);
  EXPECT_GT(next.connections(), 0u);
}

}  // namespace
}  // namespace mizzen::proxy
