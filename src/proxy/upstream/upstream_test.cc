// The upstream half over real sockets on loopback, against servers in the same loop.
#include <gtest/gtest.h>

#include <algorithm>

#include "io/listener.h"
#include "proxy/upstream/upstream_bench.h"

namespace mizzen::proxy {
namespace {

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

// A server that ends its half of a tunnel and then is gone, as most end: who still sends must hear.
TEST_F(UpstreamTest, ATunnelWhoseServerClosesIsBrokenOff) {
  std::vector<std::unique_ptr<io::Stream>> served;
  auto server = *io::Listener::listen(loop_, io::Address::loopback(0), {},
                                      [&](auto stream) { served.push_back(std::move(stream)); });
  hosts({server->address()});
  Request request;
  request.head.method = "GET";
  request.head.authority = "c.test";
  request.head.path = "/";
  request.head.upgrade = "websocket";
  UpstreamAsk ask;
  ask.snapshot = snapshot_;
  ask.entry = snapshot_->cluster("c");
  ask.upgrade = true;
  request.call = *upstream_->open(ask, request.head, false, request);
  until([&] { return served.size() == 1; });
  turn();
  served[0]->write(
      std::string_view("HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"));
  until([&] { return request.status == 101; });
  served.clear();  // FIN; what comes for it now is answered by a reset
  until([&] {
    request.call->send_data("more", false);
    return request.failure.has_value();
  });
  EXPECT_EQ(request.call->buffered(), 0u);
  request.call.reset();
  turn();
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

}  // namespace
}  // namespace mizzen::proxy
