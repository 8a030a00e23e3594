// The upstream half over real sockets on loopback, against servers in the same loop.
#include "proxy/upstream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "io/loop.h"
#include "net/http_server.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "proxy/tls_contexts.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A server that says its name, or keeps requests waiting.
struct Server {
  Server(io::Loop& loop, std::string its_name, net::HttpServerOptions options = {})
      : name(std::move(its_name)), server(loop, std::move(options), [this](auto exchange) {
          ++requests;
          protocol = exchange->request().protocol;
          last = exchange->request().clone();
          if (hold) {
            held.push_back(exchange);
          } else {
            exchange->respond(status, {}, name);
          }
        }) {
    address = *server.listen(io::Address::loopback(0));
  }
  void answer_all() {
    for (auto& exchange : std::exchange(held, {})) exchange->respond(status, {}, name);
  }

  std::string name;
  net::HttpServer server;
  io::Address address;
  std::vector<std::shared_ptr<net::Exchange>> held;
  http::Protocol protocol{};
  http::RequestHead last;
  int requests = 0;
  int status = 200;
  bool hold = false;
};

struct Request final : UpstreamEvents {
  void on_upstream_host(const UpstreamInfo& its) override { info = its; }
  void on_upstream_informational(http::ResponseHead&&) override {}
  void on_upstream_head(http::ResponseHead&& head, bool end) override {
    status = head.status;
    over = end;
  }
  void on_upstream_data(std::string_view data, bool end) override {
    body += data;
    call->consumed(data.size());
    over = over || end;
  }
  void on_upstream_trailers(http::Headers&&) override { over = true; }
  void on_upstream_failed(const UpstreamFailure& why) override {
    failure = why;
    over = true;
  }
  void on_upstream_writable() override {}

  http::RequestHead head;
  UpstreamInfo info;
  std::unique_ptr<UpstreamCall> call;
  std::optional<UpstreamFailure> failure;
  std::string body;
  int status = 0;
  bool over = false;
};

class UpstreamTest : public ::testing::Test {
 protected:
  UpstreamTest() : upstream_(make_upstream(loop_, limits_, contexts_)) {
    cluster_->name = "c";
    cluster_->version_hash = 1;
    cluster_->connect_timeout = seconds(2);
  }

  void hosts(const std::vector<io::Address>& addresses) {
    auto made = std::make_shared<Endpoints>();
    LocalityEndpoints& locality = made->localities.emplace_back();
    for (const io::Address& address : addresses) {
      Endpoint& endpoint = locality.endpoints.emplace_back();
      endpoint.address = {address.ip(), address.port(), false};
      if (mesh_) endpoint.socket_match = {{"tlsMode", "istio"}};
    }
    endpoints_ = std::move(made);
    publish();
  }
  void publish() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->clusters["c"] = {std::make_shared<Cluster>(*cluster_), endpoints_};
    snapshot_ = std::move(snapshot);
    upstream_->set_snapshot(snapshot_);
  }

  std::unique_ptr<Request> send(bool upgrade = false) {
    auto request = std::make_unique<Request>();
    request->head.method = "GET";
    request->head.scheme = "http";
    request->head.authority = "c.test";
    request->head.path = "/";
    UpstreamAsk ask;
    ask.snapshot = snapshot_;
    ask.entry = snapshot_->cluster("c");
    ask.upgrade = upgrade;
    ask.original_dst = original_dst_;
    auto call = upstream_->open(ask, request->head, true, *request);
    if (call) {
      request->call = std::move(*call);
    } else {
      request->failure = call.error();
      request->over = true;
    }
    return request;
  }
  void until(const std::function<bool()>& done) { ASSERT_TRUE(loop_.run_until(done, seconds(10))); }
  std::unique_ptr<Request> ask() {
    auto request = send();
    EXPECT_TRUE(loop_.run_until([&] { return request->over; }, seconds(10)));
    return request;
  }
  void turn() {
    for (int i = 0; i < 20; ++i) loop_.run_once(milliseconds(1));
  }

  io::EpollLoop loop_;
  std::shared_ptr<SharedLimits> limits_ = make_shared_limits();
  TlsContexts contexts_;
  std::unique_ptr<Upstream> upstream_;
  std::shared_ptr<Cluster> cluster_ = std::make_shared<Cluster>();
  std::shared_ptr<const Endpoints> endpoints_;
  SnapshotRef snapshot_;
  io::Address original_dst_;
  bool mesh_ = false;
};

TEST_F(UpstreamTest, RoundRobinOverKeptConnections) {
  Server a(loop_, "a");
  Server b(loop_, "b");
  hosts({a.address, b.address});
  for (int i = 0; i < 10; ++i) {
    auto request = ask();
    EXPECT_EQ(request->status, 200);
    EXPECT_EQ(request->info.remote, request->body == "a" ? a.address : b.address);
    EXPECT_EQ(request->info.endpoint->address.port, request->info.remote.port());
    EXPECT_TRUE(request->info.local);
  }
  EXPECT_EQ(a.requests, 5);
  EXPECT_EQ(b.requests, 5);
  EXPECT_EQ(a.server.connections(), 1u);
  EXPECT_EQ(b.server.connections(), 1u);
}

TEST_F(UpstreamTest, NobodyThereAndRefused) {
  hosts({});
  EXPECT_EQ(ask()->failure->fault, UpstreamFault::kNoHealthyUpstream);
  io::Address gone;
  {
    Server closed(loop_, "x");
    gone = closed.address;
  }
  hosts({gone});
  auto request = ask();
  EXPECT_EQ(request->failure->fault, UpstreamFault::kConnectFailure);
  EXPECT_EQ(request->failure->transport_reason, "delayed connect error: Connection refused");
  EXPECT_TRUE(request->failure->unsent);
}

TEST_F(UpstreamTest, MaxConnectionsOneMeansOne) {
  Server a(loop_, "a");
  a.hold = true;
  cluster_->limits.max_connections = 1;
  cluster_->limits.max_pending_requests = 1;
  hosts({a.address});
  auto first = send();
  until([&] { return a.held.size() == 1; });
  auto second = send();
  auto third = send();
  ASSERT_TRUE(third->failure);
  EXPECT_EQ(third->failure->fault, UpstreamFault::kOverflow);
  a.hold = false;
  a.answer_all();
  until([&] { return first->over && second->over; });
  EXPECT_EQ(second->body, "a");
  EXPECT_EQ(a.server.connections(), 1u);
}

TEST_F(UpstreamTest, AnotherWorkerGivesItsIdleConnectionAway) {
  Server a(loop_, "a");
  cluster_->limits.max_connections = 1;
  hosts({a.address});
  EXPECT_EQ(ask()->body, "a");
  auto other = make_upstream(loop_, limits_, contexts_);
  other->set_snapshot(snapshot_);
  std::swap(upstream_, other);
  EXPECT_EQ(ask()->body, "a");
  std::swap(upstream_, other);
  EXPECT_EQ(ask()->body, "a");
  turn();
  // A request to give away that came late may have closed the last one too.
  EXPECT_LE(a.server.connections(), 1u);
  EXPECT_LE(limits_->of("c")->by_priority[0].connections.load(), 1u);
}

TEST_F(UpstreamTest, MaxRequestsPerConnection) {
  Server a(loop_, "a");
  cluster_->max_requests_per_connection = 1;
  hosts({a.address});
  auto first = ask();
  auto second = ask();
  EXPECT_NE(first->info.local, second->info.local);
}

TEST_F(UpstreamTest, AConnectionTakesNothingMoreAtItsAge) {
  Server a(loop_, "a");
  cluster_->max_connection_duration = milliseconds(100);
  hosts({a.address});
  a.hold = true;
  auto first = send();
  until([&] { return a.held.size() == 1; });
  loop_.run_until([] { return false; }, milliseconds(150));
  auto second = send();
  until([&] { return a.held.size() == 2; });
  EXPECT_EQ(a.server.connections(), 2u);
  a.answer_all();
  until([&] { return first->over && second->over; });
  EXPECT_EQ(first->body + second->body, "aa");
  until([&] { return a.server.connections() == 0; });
}

TEST_F(UpstreamTest, Http2SharesOneConnection) {
  Server a(loop_, "a");
  a.hold = true;
  cluster_->http = UpstreamHttp::kHttp2;
  hosts({a.address});
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 50; ++i) all.push_back(send());
  until([&] { return a.held.size() == 50; });
  EXPECT_EQ(a.server.connections(), 1u);
  EXPECT_EQ(a.protocol, http::Protocol::kHttp2);
  all.erase(all.begin(), all.begin() + 10);  // ten give up
  a.answer_all();
  until([&] { return std::ranges::all_of(all, [](auto& one) { return one->over; }); });
  for (auto& one : all) EXPECT_EQ(one->body, "a");
  turn();
  EXPECT_EQ(limits_->of("c")->by_priority[0].requests.load(), 0u);
  EXPECT_EQ(limits_->of("c")->by_priority[0].connections.load(), 1u);
}

TEST_F(UpstreamTest, AChangeOfTheClusterCutsNoRequest) {
  Server a(loop_, "a");
  a.hold = true;
  hosts({a.address});
  auto request = send();
  until([&] { return a.held.size() == 1; });
  cluster_->version_hash = 2;
  publish();
  upstream_->set_snapshot(std::make_shared<Snapshot>());
  turn();
  a.answer_all();
  until([&] { return request->over; });
  EXPECT_EQ(request->body, "a");
  turn();
  EXPECT_EQ(a.server.connections(), 0u);
  EXPECT_EQ(limits_->of("c")->by_priority[0].connections.load(), 0u);
}

TEST_F(UpstreamTest, AHostThatGoesDrainsAndTheOtherServes) {
  Server a(loop_, "a");
  Server b(loop_, "b");
  hosts({a.address});
  EXPECT_EQ(ask()->body, "a");
  hosts({b.address});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask()->body, "b");
  turn();
  EXPECT_EQ(a.server.connections(), 0u);
}

TEST_F(UpstreamTest, TheServerClosesWithoutAnswer) {
  Server a(loop_, "a");
  a.hold = true;
  hosts({a.address});
  auto request = send();
  until([&] { return a.held.size() == 1; });
  a.held.front()->abort();
  until([&] { return request->over; });
  ASSERT_TRUE(request->failure);
  EXPECT_EQ(request->failure->fault, UpstreamFault::kConnectionTermination);
  EXPECT_FALSE(request->failure->unsent);
}

TEST_F(UpstreamTest, AKeptConnectionThatDiesIsReplaced) {
  Server a(loop_, "a");
  hosts({a.address});
  EXPECT_EQ(ask()->body, "a");
  a.hold = true;
  auto request = send();
  until([&] { return a.held.size() == 1; });
  a.hold = false;
  a.held.front()->abort();
  until([&] { return request->over; });
  EXPECT_EQ(request->body, "a");
  EXPECT_EQ(a.requests, 3);
}

TEST_F(UpstreamTest, ACallThatGoesClosesItsConnection) {
  Server a(loop_, "a");
  a.hold = true;
  hosts({a.address});
  auto request = send();
  until([&] { return a.held.size() == 1; });
  request.reset();
  until([&] { return a.server.connections() == 0; });
  a.hold = false;
  EXPECT_EQ(ask()->body, "a");
}

TEST_F(UpstreamTest, OriginalDestination) {
  Server a(loop_, "a");
  cluster_->type = Cluster::Type::kOriginalDst;
  cluster_->bind_source = SocketAddr{"127.0.0.6", 0, false};
  original_dst_ = a.address;
  publish();
  auto request = ask();
  EXPECT_EQ(request->body, "a");
  EXPECT_EQ(request->info.endpoint, nullptr);
  EXPECT_EQ(request->info.local.ip(), "127.0.0.6");
}

TEST_F(UpstreamTest, NamesAreLookedUp) {
  Server a(loop_, "a");
  cluster_->type = Cluster::Type::kStrictDns;
  auto made = std::make_shared<Endpoints>();
  made->localities.emplace_back().endpoints.emplace_back().address = {"localhost", a.address.port(),
                                                                      false};
  endpoints_ = made;
  publish();
  auto request = ask();
  if (request->failure) GTEST_SKIP() << "localhost cannot be resolved here";
  EXPECT_EQ(request->body, "a");
}

TEST_F(UpstreamTest, OutliersAreLeftOut) {
  Server a(loop_, "a");
  Server b(loop_, "b");
  b.status = 503;
  cluster_->outlier.emplace();
  cluster_->outlier->consecutive_5xx = 3;
  cluster_->outlier->max_ejection_percent = 50;
  cluster_->panic_threshold_percent = 0;
  hosts({a.address, b.address});
  for (int i = 0; i < 20; ++i) (void)ask();
  EXPECT_EQ(b.requests, 3);
  EXPECT_EQ(a.requests, 17);
}

TEST_F(UpstreamTest, AnEjectionIsSeenByAllWorkers) {
  Server a(loop_, "a");
  Server b(loop_, "b");
  b.status = 500;
  cluster_->outlier.emplace();
  cluster_->outlier->consecutive_5xx = 2;
  cluster_->outlier->base_ejection = milliseconds(300);
  cluster_->panic_threshold_percent = 0;
  hosts({a.address, b.address});
  auto other = make_upstream(loop_, limits_, contexts_);
  other->set_snapshot(snapshot_);
  std::swap(upstream_, other);
  (void)ask();  // the second worker knows the hosts already
  (void)ask();
  std::swap(upstream_, other);
  for (int i = 0; i < 6; ++i) (void)ask();
  const int before = b.requests;
  b.status = 200;
  std::swap(upstream_, other);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(ask()->body, "a");
  EXPECT_EQ(b.requests, before);
  EXPECT_EQ(limits_->find("c")->health.counts().active, 1u);
  until([&] { return limits_->find("c")->health.counts().active == 0; });
  (void)ask();
  (void)ask();
  EXPECT_GT(b.requests, before);
}

TEST_F(UpstreamTest, WithoutDetectionNobodyStaysOut) {
  Server a(loop_, "a");
  a.status = 500;
  cluster_->outlier.emplace();
  cluster_->outlier->consecutive_5xx = 1;
  cluster_->panic_threshold_percent = 0;
  hosts({a.address});
  (void)ask();
  EXPECT_EQ(ask()->failure->fault, UpstreamFault::kNoHealthyUpstream);
  cluster_->outlier.reset();
  publish();
  EXPECT_EQ(ask()->status, 500);
}

TEST_F(UpstreamTest, AHostThatHangsIsLeftOut) {
  Server a(loop_, "a");
  a.hold = true;
  cluster_->outlier.emplace();
  cluster_->outlier->consecutive_5xx = 2;
  cluster_->panic_threshold_percent = 0;
  hosts({a.address});
  for (int i = 0; i < 2; ++i) {
    auto request = send();
    until([&] { return a.requests == i + 1; });
    request->call->timed_out();
  }
  EXPECT_EQ(send()->failure->fault, UpstreamFault::kNoHealthyUpstream);
}

TEST_F(UpstreamTest, RetriesAreLimitedOrHaveABudget) {
  Server a(loop_, "a");
  a.hold = true;
  cluster_->limits.max_retries = 1;
  hosts({a.address});
  UpstreamAsk ask;
  ask.snapshot = snapshot_;
  ask.entry = snapshot_->cluster("c");
  auto first = upstream_->retry_place(ask);
  EXPECT_TRUE(first);
  EXPECT_FALSE(upstream_->retry_place(ask));
  first.reset();
  EXPECT_TRUE(upstream_->retry_place(ask));
  EXPECT_EQ(limits_->find("c")->by_priority[0].retries_refused.load(), 1u);
  cluster_->limits.retry_budget.emplace();
  cluster_->limits.retry_budget->percent = 50;
  cluster_->limits.retry_budget->min_concurrency = 0;
  publish();
  ask.snapshot = snapshot_;
  ask.entry = snapshot_->cluster("c");
  EXPECT_FALSE(upstream_->retry_place(ask));
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 4; ++i) all.push_back(send());
  auto one = upstream_->retry_place(ask);
  auto two = upstream_->retry_place(ask);
  EXPECT_TRUE(one && two);
  EXPECT_FALSE(upstream_->retry_place(ask));
}

TEST_F(UpstreamTest, TheHeadersPortOfAnOriginalDestination) {
  Server a(loop_, "a");
  cluster_->type = Cluster::Type::kOriginalDst;
  cluster_->original_dst_port = a.address.port();
  original_dst_ = io::Address::loopback(1);
  publish();
  EXPECT_EQ(ask()->body, "a");
}

// --- Mutual TLS ----------------------------------------------------------------------------------

const pki::Authority& root() {
  static const pki::Authority kRoot =
      *pki::make_root("cluster.local", system_clock().wall(), hours(24));
  return kRoot;
}

std::shared_ptr<Secret> identity(const std::string& account, std::uint64_t version) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/a/sa/" + account};
  options.not_before = system_clock().wall() - hours(1);
  options.not_after = system_clock().wall() + hours(1);
  auto secret = std::make_shared<Secret>();
  secret->certificate_chain =
      (*pki::issue(key.public_key(), options, root().key, &root().certificate)).to_pem();
  secret->private_key = key.to_pem();
  secret->version_hash = version;
  return secret;
}

net::HttpServerOptions tls_server(std::vector<std::string> alpn) {
  auto secret = identity("server", 1);
  io::TlsServerOptions options;
  options.identity = {secret->certificate_chain, secret->private_key};
  options.trust_bundle_pem = root().certificate.to_pem();
  options.client_cert = io::TlsServerOptions::ClientCert::kRequired;
  options.alpn = std::move(alpn);
  options.sessions = io::make_server_sessions();
  net::HttpServerOptions server;
  server.tls = *io::make_tls_server_context(options);
  return server;
}

class MeshTest : public UpstreamTest {
 protected:
  MeshTest() {
    mesh_ = true;
    auto tls = std::make_shared<UpstreamTls>();
    tls->sni = "outbound_.80_._.c.test";
    tls->common.alpn = {"istio-peer-exchange", "istio"};
    tls->common.certificate = identity("client", 1);
    auto trust = std::make_shared<Secret>();
    trust->trusted_ca = root().certificate.to_pem();
    tls->common.validation = trust;
    route::StringMatcher san;
    san.value = "spiffe://cluster.local/ns/a/sa/server";
    tls->common.san = {san};
    tls->common.version_hash = 7;
    tls_ = tls;
    cluster_->socket_matches = {{"tlsMode-istio", {{"tlsMode", "istio"}}, tls},
                                {"disabled", {}, nullptr}};
    upstream_->set_own_metadata("bWV0YQ==", "node~1");
  }
  std::shared_ptr<UpstreamTls> tls_;
};

TEST_F(MeshTest, TwoMizzensShareOneConnection) {
  Server a(loop_, "a", tls_server({"mizzen-h2", "istio-http/1.1"}));
  a.hold = true;
  hosts({a.address});
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 20; ++i) all.push_back(send());
  until([&] { return a.held.size() == 20; });
  EXPECT_EQ(a.server.connections(), 1u);
  EXPECT_EQ(a.held[0]->request().headers.get_or(kPeerMetadataHeader, ""), "bWV0YQ==");
  EXPECT_FALSE(a.held[1]->request().headers.has(kPeerMetadataHeader));
  EXPECT_EQ(a.held[1]->request().headers.get_or(kOriginalProtocolHeader, ""), "1.1");
  EXPECT_EQ(a.held[0]->tls()->alpn, "mizzen-h2");
  EXPECT_EQ(a.held[0]->tls()->sni, "outbound_.80_._.c.test");
  a.answer_all();
  until([&] { return std::ranges::all_of(all, [](auto& one) { return one->over; }); });
  EXPECT_TRUE(all[0]->info.mutual_tls);
  EXPECT_EQ(all[0]->info.peer->uri(), "spiffe://cluster.local/ns/a/sa/server");
  EXPECT_TRUE(all[0]->head.headers.empty());
}

TEST_F(MeshTest, AForeignProxyGetsHttp1) {
  Server a(loop_, "a", tls_server({"istio-http/1.1", "istio"}));
  a.hold = true;
  hosts({a.address});
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 5; ++i) all.push_back(send());
  until([&] { return a.held.size() == 5; });
  EXPECT_EQ(a.server.connections(), 5u);
  EXPECT_EQ(a.held[0]->tls()->alpn, "istio-http/1.1");
  EXPECT_FALSE(a.held[0]->request().headers.has(kOriginalProtocolHeader));
}

TEST_F(MeshTest, Http1LimitsKeepHttp1) {
  Server a(loop_, "a", tls_server({"mizzen-h2", "istio-http/1.1"}));
  cluster_->http1_limits = true;
  hosts({a.address});
  auto request = ask();
  EXPECT_EQ(request->info.protocol, http::Protocol::kHttp11);
}

TEST_F(MeshTest, AnotherIdentityIsRefused) {
  Server a(loop_, "a", tls_server({"mizzen-h2"}));
  tls_->common.san[0].value = "spiffe://cluster.local/ns/a/sa/other";
  tls_->common.version_hash = 8;
  hosts({a.address});
  auto request = ask();
  ASSERT_TRUE(request->failure);
  EXPECT_EQ(request->failure->fault, UpstreamFault::kConnectFailure);
  EXPECT_TRUE(request->failure->transport_reason.starts_with("TLS_error:|"));
  EXPECT_EQ(a.requests, 0);
}

TEST_F(MeshTest, WithoutTheLabelItIsPlaintext) {
  Server a(loop_, "a");
  mesh_ = false;
  hosts({a.address});
  EXPECT_EQ(ask()->body, "a");
}

}  // namespace
}  // namespace mizzen::proxy
