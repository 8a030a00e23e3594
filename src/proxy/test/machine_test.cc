// The downstream half as a whole on an in-memory loop: bytes in, bytes out, with an upstream that
// the test scripts.
#include "proxy/test/machine_bench.h"

namespace mizzen::proxy {
namespace {

TEST(Machine, ForwardsAndAnswers) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "hello"); });
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nhello")) << answer;
  EXPECT_NE(answer.find("server: envoy\r\n"), std::string::npos);
  EXPECT_NE(answer.find("x-envoy-upstream-service-time: 0\r\n"), std::string::npos);
  ASSERT_EQ(bench.up->seen.size(), 1u);
  const auto& headers = bench.up->seen[0].headers;
  EXPECT_EQ(headers.get_or("x-forwarded-proto", ""), "http");
  EXPECT_EQ(headers.get_or("x-envoy-attempt-count", ""), "1");
  EXPECT_EQ(headers.get_or("x-request-id", "").size(), 36u);
  // The connection serves the next request too.
  bench.up->script.push_back([](auto& call) { call.answer(204, ""); });
  EXPECT_TRUE(bench.ask(kGet).starts_with("HTTP/1.1 204 "));
  EXPECT_EQ(bench.worker->stats().report().requests.size(), 2u);
}

TEST(Machine, PipelinedRequestsAreAnsweredInOrder) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  for (const char* text : {"one", "two", "three"}) {
    bench.up->script.push_back([text](auto& call) { call.answer(200, text); });
  }
  std::string three = std::string(kGet) + std::string(kGet) + std::string(kGet);
  std::string answer = bench.ask(three);
  auto one = answer.find("one"), two = answer.find("two"), last = answer.find("three");
  EXPECT_NE(last, std::string::npos) << answer;
  EXPECT_LT(one, two);
  EXPECT_LT(two, last);
}

TEST(Machine, LocalRepliesReadAsEnvoys) {
  Bench bench;
  bench.configure({route_to("/known", "c"), route_to("/lost", "gone")});
  bench.connect();
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 404 Not Found\r\n")) << answer;
  EXPECT_NE(answer.find("content-length: 0\r\n"), std::string::npos);
  EXPECT_TRUE(bench.ask("GET /lost HTTP/1.1\r\nhost: a\r\n\r\n").starts_with("HTTP/1.1 503 "));
  bench.up->script.push_back([](auto& call) { call.fail(UpstreamFault::kNoHealthyUpstream); });
  answer = bench.ask("GET /known HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("no healthy upstream")) << answer;
  EXPECT_TRUE(bench.ask("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n").starts_with("HTTP/1.1 403 "));
}

TEST(Machine, RefusesHttp10) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  std::string answer = bench.ask("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n")) << answer;
}

TEST(Machine, RetriesUntilItWorks) {
  Bench bench;
  route::Route route = route_to("/", "c");
  route.forward.retry = route::RetryPolicy{};
  route.forward.retry->on = route::RetryPolicy::kConnectFailure | route::RetryPolicy::k5xx;
  route.forward.retry->attempts = 2;
  bench.configure({route});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.fail(UpstreamFault::kConnectFailure); });
  bench.up->script.push_back([](auto& call) { call.answer(503, "bad"); });
  bench.up->script.push_back([](auto& call) { call.answer(200, "good"); });
  bench.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
  bench.loop.advance(std::chrono::seconds(1));
  std::string answer = bench.received();
  EXPECT_TRUE(answer.ends_with("good")) << answer;
  ASSERT_EQ(bench.up->seen.size(), 3u);
  EXPECT_EQ(bench.up->seen[2].headers.get_or("x-envoy-attempt-count", ""), "3");
}

// Whoever reads it must see that something is missing.
TEST(Machine, AnAnswerThatBreaksOffIsNotEnded) {
  for (const bool chunked : {false, true}) {
    Bench bench;
    bench.configure({route_to("/", "c")});
    bench.connect();
    bench.up->script.push_back([chunked](auto& call) {
      call.later([&call, chunked] {
        http::ResponseHead head;
        head.status = 200;
        if (!chunked) head.headers.add("content-length", "10");
        call.events.on_upstream_head(std::move(head), false);
        call.events.on_upstream_data("part", false);
        call.events.on_upstream_failed({UpstreamFault::kConnectionTermination, "", true});
      });
    });
    const std::string answer = bench.ask(kGet);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(answer.ends_with(chunked ? "4\r\npart\r\n" : "part")) << answer;
    EXPECT_TRUE(bench.closed);
  }
}

TEST(Machine, WhatAStrangerSaysForTheMeshIsNotBelieved) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  bench.ask(
      "GET / HTTP/1.1\r\nhost: a\r\nx-envoy-peer-metadata: CgA=\r\n"
      "x-envoy-peer-metadata-id: me\r\nx-mizzen-protocol: 1.0\r\n\r\n");
  ASSERT_EQ(bench.up->seen.size(), 1u);
  for (const char* name :
       {"x-envoy-peer-metadata", "x-envoy-peer-metadata-id", "x-mizzen-protocol"}) {
    EXPECT_FALSE(bench.up->seen[0].headers.has(name)) << name;
  }
}

// It cannot be sent again, so it is not; but the first time it is sent whole.
TEST(Machine, ABodyTooLargeToKeepGoesOnce) {
  Bench bench;
  auto route = route_to("/", "c");
  route.forward.retry = route::RetryPolicy{};
  route.forward.retry->on = route::RetryPolicy::k5xx;
  route.forward.retry->attempts = 2;
  bench.configure({route});
  bench.connect();
  ScriptedUpstream::Call* first = nullptr;
  bench.up->script.push_back([&first](auto& call) { first = &call; });
  bench.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1310720\r\n\r\n");
  const std::string piece(64 * 1024, 'x');
  for (int i = 0; i < 20; ++i) bench.send(piece);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->body.size(), 1310720u);
  EXPECT_TRUE(first->ended);
  first->answer(503, "no");
  bench.loop.advance(std::chrono::seconds(1));
  EXPECT_TRUE(bench.received().ends_with("no"));
  EXPECT_EQ(bench.up->seen.size(), 1u);
}

// Its trailers may come after the answer has begun.
TEST(Machine, AMirrorGetsARequestThatEndsByTrailers) {
  Bench bench;
  route::Route route = route_to("/", "c");
  route.forward.mirrors.push_back({.cluster = "c"});
  bench.configure({route});
  bench.connect();
  ScriptedUpstream::Call* first = nullptr;
  bench.up->script.push_back([&first](auto& call) { first = &call; });
  ScriptedUpstream::Call* copy = nullptr;
  bench.up->script.push_back([&copy](auto& call) { copy = &call; });
  bench.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  ASSERT_NE(first, nullptr);
  http::ResponseHead head;
  head.status = 200;
  first->events.on_upstream_head(std::move(head), false);
  bench.loop.settle();
  EXPECT_EQ(bench.up->seen.size(), 1u);
  bench.send("0\r\nx-end: 1\r\n\r\n");
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->body, "abc");
  EXPECT_TRUE(first->ended);
}

TEST(Machine, TimesOut) {
  Bench bench;
  route::Route route = route_to("/", "c");
  route.forward.timeout = std::chrono::milliseconds(300);
  bench.configure({route});
  bench.connect();
  bench.up->script.push_back(nullptr);
  bench.send(kGet);
  bench.loop.advance(std::chrono::milliseconds(299));
  EXPECT_EQ(bench.received(), "");
  bench.loop.advance(std::chrono::milliseconds(10));
  EXPECT_TRUE(bench.received().ends_with("\r\n\r\nupstream request timeout"));
}

TEST(Machine, DelaysAndAbortsByFault) {
  Bench bench;
  route::Route route = route_to("/", "c");
  auto fault = std::make_shared<route::Fault>();
  fault->delay_share = route::Fraction{100, 100};
  fault->delay = std::chrono::milliseconds(700);
  fault->abort_share = route::Fraction{100, 100};
  fault->abort_status = 555;
  route.per_filter.fault = fault;
  bench.configure({route});
  bench.connect();
  bench.send(kGet);
  EXPECT_EQ(bench.received(), "");
  bench.loop.advance(std::chrono::milliseconds(710));
  std::string answer = bench.received();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 555 Unknown\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("fault filter abort")) << answer;
}

TEST(Machine, ChangedRoutesActOnOpenConnections) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  EXPECT_TRUE(bench.ask(kGet).ends_with("one"));
  route::Route direct;
  direct.match.path.value = "/";
  direct.action = route::Route::Action::kDirectResponse;
  direct.direct = {418, "short and stout"};
  bench.configure({direct});
  EXPECT_TRUE(bench.ask(kGet).ends_with("short and stout"));
}

TEST(Machine, ConnectionThatNoChainTakesEnds) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back(nullptr);
  bench.send(kGet);  // under way
  auto strict = std::make_shared<Listener>();
  strict->name = "l";
  FilterChain chain;
  chain.match.transport_protocol = "tls";
  chain.tls = std::make_shared<DownstreamTls>();
  chain.terminal = std::shared_ptr<const HttpSettings>(bench.settings);
  strict->chains.push_back(std::move(chain));
  bench.publish(strict);
  bench.loop.settle();
  bench.received();
  EXPECT_FALSE(bench.closed);
  EXPECT_EQ(bench.worker->sessions(), 1u);
  bench.client->shutdown_write();
  bench.loop.settle();
  EXPECT_EQ(bench.worker->sessions(), 0u);
  // An idle one ends at once.
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  bench.ask(kGet);
  bench.publish(strict);
  bench.loop.settle();
  bench.received();
  EXPECT_TRUE(bench.closed);
}

TEST(Machine, DrainEndsIdleConnections) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  bench.ask(kGet);
  EXPECT_EQ(bench.worker->sessions(), 1u);
  bench.worker->drain(false, std::chrono::milliseconds(500));
  bench.loop.advance(std::chrono::seconds(1));
  bench.received();
  EXPECT_TRUE(bench.closed);
  bench.loop.advance(std::chrono::seconds(1));  // delayed_close_timeout: the peer keeps its half
  EXPECT_EQ(bench.worker->sessions(), 0u);
}

TEST(Machine, ARequestOnItsWayWhileDrainingIsAnswered) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  bench.up->script.push_back([](auto& call) { call.answer(200, "two"); });
  EXPECT_TRUE(bench.ask(kGet).ends_with("one"));
  bench.worker->drain(false, std::chrono::milliseconds(500));
  bench.loop.settle();
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.ends_with("two")) << answer;
  EXPECT_NE(answer.find("connection: close"), std::string::npos) << answer;
}

TEST(Machine, AnAnswerWhoseHeadHasLeftBeforeTheDrainIsNotTheLast) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  UpstreamEvents* answering = nullptr;
  bench.up->script.push_back([&](auto& call) {
    answering = &call.events;
    call.later([&call] {
      http::ResponseHead head;
      head.status = 200;
      head.headers.add("content-length", "3");
      call.events.on_upstream_head(std::move(head), false);
    });
  });
  bench.up->script.push_back([](auto& call) { call.answer(200, "two"); });
  std::string first = bench.ask(kGet);
  EXPECT_EQ(first.find("connection: close"), std::string::npos) << first;
  bench.worker->drain(false, std::chrono::seconds(5));
  bench.loop.settle();
  answering->on_upstream_data("one", true);
  bench.loop.settle();
  EXPECT_EQ(bench.received(), "one");
  bench.loop.advance(std::chrono::seconds(4));
  bench.received();
  EXPECT_FALSE(bench.closed);
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.ends_with("two")) << answer;
  EXPECT_NE(answer.find("connection: close"), std::string::npos) << answer;
  EXPECT_TRUE(bench.closed);
}

TEST(Machine, ADrainThatIsNeededSoonerEndsIdleConnectionsSooner) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  bench.ask(kGet);
  bench.worker->drain(false, std::chrono::seconds(60));
  bench.worker->drain(false, std::chrono::milliseconds(500));
  bench.loop.advance(std::chrono::seconds(1));
  bench.received();
  EXPECT_TRUE(bench.closed);
}

TEST(Machine, AnAnswerAtOnceWhileDrainingSaysThatItIsTheLast) {
  Bench bench;
  bench.configure({route_to("/here", "c")});
  bench.worker->drain(true, std::chrono::milliseconds(500));
  bench.connect();
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 404")) << answer;
  EXPECT_NE(answer.find("connection: close"), std::string::npos) << answer;
}

TEST(Machine, DrainingStillServesOneRequestPerConnection) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.worker->drain(true, std::chrono::milliseconds(500));
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.ends_with("one"));
  EXPECT_NE(answer.find("connection: close"), std::string::npos) << answer;
}

TEST(Machine, TcpPassesBytesAndHalfCloses) {
  Bench bench;
  bench.configure_tcp();
  bench.connect();
  ASSERT_NE(bench.up->server, nullptr);
  bench.send("ping");
  EXPECT_EQ(read_all(*bench.up->server), "ping");
  bench.up->server->write("pong");
  bench.loop.settle();
  EXPECT_EQ(bench.received(), "pong");
  bench.client->shutdown_write();
  bench.loop.settle();
  bool ended = false;
  read_all(*bench.up->server, &ended);
  EXPECT_TRUE(ended);
  bench.up->server->write("late");
  bench.loop.settle();
  EXPECT_EQ(bench.received(), "late");
  bench.up->server->shutdown_write();
  bench.loop.settle();
  EXPECT_EQ(bench.worker->sessions(), 0u);
  StatsReport report = bench.worker->stats().report();
  ASSERT_EQ(report.tcp.size(), 1u);
  EXPECT_EQ(report.tcp.begin()->second.received_bytes, 4u);
  EXPECT_EQ(report.tcp.begin()->second.sent_bytes, 8u);
  EXPECT_EQ(report.tcp.begin()->second.closed, 1u);
}

TEST(Machine, TcpIsIdleOnlyWhenNothingPasses) {
  Bench bench;
  bench.configure_tcp(std::chrono::seconds(2));
  bench.connect();
  for (int i = 0; i < 10; ++i) {
    bench.loop.advance(std::chrono::milliseconds(500));
    bench.send("x");
    bench.received();
    ASSERT_FALSE(bench.closed) << i;
  }
  bench.loop.advance(std::chrono::milliseconds(2100));
  bench.received();
  EXPECT_TRUE(bench.closed);
}

// The route's limit was for its answer, which has come.
TEST(Machine, AHalfClosedTunnelGoesOn) {
  Bench bench;
  route::Route route = route_to("/", "c");
  route.forward.timeout = std::chrono::seconds(2);
  bench.configure({route});
  bench.connect();
  ScriptedUpstream::Call* call = nullptr;
  bench.up->script.push_back([&call](auto& made) { call = &made; });
  bench.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  ASSERT_NE(call, nullptr);
  http::ResponseHead head;
  head.status = 101;
  call->events.on_upstream_head(std::move(head), false);
  bench.loop.settle();
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 101 "));
  bench.client->shutdown_write();
  bench.loop.advance(std::chrono::seconds(5));
  call->events.on_upstream_data("late", false);
  bench.loop.settle();
  EXPECT_EQ(bench.received(), "late");
  EXPECT_FALSE(bench.closed);
}

TEST(Machine, TcpCarriesMoreThanBuffersHold) {
  Bench bench;
  bench.configure_tcp();
  bench.connect();
  std::string sent, got;
  for (int i = 0; i < 64; ++i) {
    std::string piece(32 * 1024, static_cast<char>('a' + i % 26));
    std::string_view rest = piece;
    while (!rest.empty()) {
      auto n = bench.client->write(rest).bytes;
      rest.remove_prefix(n);
      bench.loop.settle();
      got += read_all(*bench.up->server);
    }
    sent += piece;
  }
  bench.loop.settle();
  got += read_all(*bench.up->server);
  EXPECT_EQ(got == sent, true);
}

TEST(Machine, TcpWithoutHostsIsClosed) {
  Bench bench;
  bench.configure_tcp();
  bench.up->tcp_works = false;
  bench.connect();
  bench.received();
  EXPECT_TRUE(bench.closed);
}

}  // namespace
}  // namespace mizzen::proxy
