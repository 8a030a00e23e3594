// Limits on time, size and number, and what is said when they are reached.
#include "base/strings.h"
#include "proxy/observe/stats.h"
#include "proxy/test/machine_bench.h"

namespace mizzen::proxy {
namespace {

std::uint64_t counter(Bench& bench, const std::string& name) {
  const auto counters = bench.worker->stats().report().counters;
  auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

// A client of HTTP/2 on the bench's in-memory connection.
struct Http2Client final : http::ConnectionEvents, http::StreamEvents {
  explicit Http2Client(Bench& its_bench) : bench(its_bench) { turn(); }
  void on_response(http::ResponseHead&& head, bool end) override {
    status = head.status;
    response = std::move(head);
    ended = end;
  }
  void on_data(std::string_view bytes, bool end) override {
    body += bytes;
    ended = ended || end;
  }
  void on_trailers(http::Headers&& got) override {
    trailers = std::move(got);
    ended = true;
  }
  void on_reset(const Error&) override { reset = true; }
  void on_complete() override {}
  void on_goaway() override { goaway = true; }
  void turn() {
    for (int i = 0; i < 6; ++i) {
      std::array<iovec, 8> pieces;
      while (const std::size_t count = codec->output(pieces)) {
        const io::IoResult put = bench.client->write(std::span(pieces).first(count));
        if (put.bytes == 0) break;
        codec->drained(put.bytes);
      }
      bench.loop.settle();
      const std::string bytes = bench.received();
      if (!bytes.empty()) (void)codec->feed(bytes);
    }
  }
  http::StreamId ask(std::string_view type, std::string_view grpc_timeout, bool end) {
    http::RequestHead head;
    head.method = "POST";
    head.scheme = "http";
    head.authority = "a";
    head.path = "/get";
    if (!type.empty()) head.headers.add("content-type", type);
    if (!grpc_timeout.empty()) head.headers.add("grpc-timeout", grpc_timeout);
    const http::StreamId id = codec->submit(head, end, this);
    turn();
    return id;
  }

  Bench& bench;
  std::unique_ptr<http::ClientCodec> codec = http::make_h2_client({}, this);
  int status = 0;
  http::ResponseHead response;
  std::string body;
  http::Headers trailers;
  bool ended = false;
  bool reset = false;
  bool goaway = false;
};

TEST(Limits, AHeadThatDoesNotEndIsAnsweredWith408) {
  Bench bench;
  bench.settings->request_headers_timeout = std::chrono::seconds(2);
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.send("GET / HTTP/1.1\r\nho");
  bench.loop.advance(std::chrono::milliseconds(1900));
  bench.send("st: a\r\nx");  // a byte now and then gains no time
  EXPECT_EQ(bench.received(), "");
  bench.loop.advance(std::chrono::milliseconds(200));
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_TRUE(bench.closed);
  EXPECT_EQ(counter(bench, "mizzen_downstream_request_header_timeouts_total"), 1u);
}

TEST(Limits, AnIdleConnectionIsNotAHeadThatDoesNotEnd) {
  Bench bench;
  bench.settings->request_headers_timeout = std::chrono::seconds(2);
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  EXPECT_TRUE(bench.ask(kGet).ends_with("one"));
  bench.loop.advance(std::chrono::seconds(10));
  bench.received();
  EXPECT_FALSE(bench.closed);
}

TEST(Limits, RequestsPerConnection) {
  Bench bench;
  bench.settings->max_requests_per_connection = 2;
  bench.configure({route_to("/", "c")});
  bench.connect();
  for (int i = 0; i < 2; ++i) {
    bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  }
  EXPECT_EQ(bench.ask(kGet).find("connection: close"), std::string::npos);
  EXPECT_NE(bench.ask(kGet).find("connection: close"), std::string::npos);
  EXPECT_TRUE(bench.closed);
}

TEST(Limits, ConnectionDuration) {
  Bench bench;
  bench.settings->max_connection_duration = std::chrono::seconds(5);
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.loop.advance(std::chrono::seconds(4));
  bench.received();
  EXPECT_FALSE(bench.closed);
  bench.loop.advance(std::chrono::seconds(2));
  bench.received();
  EXPECT_TRUE(bench.closed);
}

TEST(Limits, AnIdleStreamIsAnsweredByWhoIsAtFault) {
  Bench bench;
  bench.settings->stream_idle_timeout = std::chrono::seconds(3);
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back(nullptr);
  bench.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab");
  bench.loop.advance(std::chrono::seconds(4));
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 408 "));
  bench.connect();
  bench.up->script.push_back(nullptr);
  bench.send(kGet);
  bench.loop.advance(std::chrono::seconds(4));
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 504 "));
}

TEST(Limits, ConnectionsOfAListener) {
  WorkerShared shared(ConnectionLimits{0, {{"l", 1}}});
  PlaceRef first, second;
  EXPECT_EQ(shared.overload.admit("l", {}, first), Overload::Verdict::kAdmitted);
  EXPECT_EQ(shared.overload.admit("l", {}, second), Overload::Verdict::kOverListener);
  EXPECT_EQ(shared.overload.admit("other", {}, second), Overload::Verdict::kAdmitted);
  first.reset();
  EXPECT_EQ(shared.overload.admit("l", {}, first), Overload::Verdict::kAdmitted);
}

TEST(Limits, ConnectionsOfAllListeners) {
  Overload overload(ConnectionLimits{1, {{"l", 5}}});
  PlaceRef first, second;
  EXPECT_EQ(overload.admit("l", {}, first), Overload::Verdict::kAdmitted);
  EXPECT_EQ(overload.admit("x", {}, second), Overload::Verdict::kOverAll);
}

TEST(Limits, AListenerMayBeExempt) {
  Overload overload(ConnectionLimits{1, {}});
  PlaceRef first, second, third;
  EXPECT_EQ(overload.admit("l", {}, first), Overload::Verdict::kAdmitted);
  EXPECT_EQ(overload.admit("admin", {.from_all = true}, second), Overload::Verdict::kAdmitted);
  EXPECT_EQ(overload.admit("l", {}, third), Overload::Verdict::kOverAll);
  overload.set_descriptors(96, 100);
  EXPECT_EQ(overload.admit("admin", {.from_all = true}, third), Overload::Verdict::kNoDescriptors);
  EXPECT_EQ(overload.admit("admin", {.from_all = true, .from_descriptors = true}, third),
            Overload::Verdict::kAdmitted);
}

TEST(Limits, ShortOfDescriptorsRequestsGiveWayFirst) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.shared.overload.set_descriptors(91, 100);
  const std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_TRUE(answer.ends_with("envoy overloaded")) << answer;
  EXPECT_EQ(counter(bench, "mizzen_downstream_requests_shed_total"), 1u);
  bench.shared.overload.set_descriptors(96, 100);
  bench.connect();
  bench.received();
  EXPECT_TRUE(bench.closed);
  EXPECT_EQ(counter(bench, "mizzen_downstream_descriptor_overflow_total"), 1u);
  bench.shared.overload.set_descriptors(10, 100);
  bench.closed = false;
  bench.connect();
  bench.up->script.push_back([](auto& call) { call.answer(200, "one"); });
  EXPECT_TRUE(bench.ask(kGet).ends_with("one"));
}

TEST(Limits, AnHttp2PeerThatAnswersNoPingIsGone) {
  Bench bench;
  bench.settings->h2_keep_alive =
      KeepAliveSettings{std::chrono::seconds(10), std::chrono::seconds(3), 0};
  bench.configure({route_to("/", "c")});
  bench.connect();
  Http2Client client(bench);
  for (int i = 0; i < 5; ++i) {
    bench.loop.advance(std::chrono::seconds(10));
    client.turn();  // answers
  }
  EXPECT_EQ(bench.worker->sessions(), 1u);
  bench.loop.advance(std::chrono::seconds(14));
  EXPECT_EQ(bench.worker->sessions(), 0u);
  EXPECT_EQ(counter(bench, "mizzen_http2_keepalive_timeout_total"), 1u);
}

TEST(Limits, PriorityFramesAreCounted) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  Http2Client client(bench);
  std::string flood;
  for (int i = 0; i < 200; ++i) {  // PRIORITY of stream 1, depending on 3
    flood += std::string("\0\0\5\2\0\0\0\0\1\0\0\0\3\x10", 14);
  }
  bench.send(flood);
  client.turn();
  EXPECT_TRUE(client.goaway);
  EXPECT_EQ(counter(bench, "mizzen_http2_inbound_priority_frames_flood_total"), 1u);
}

// HEADERS with a whole GET, and RST_STREAM.
std::string frames_of(std::uint32_t id, bool taken_back) {
  const auto frame = [id](char type, char flags, std::string_view payload) {
    std::string out{'\0', '\0', static_cast<char>(payload.size()), type, flags, '\0', '\0'};
    out += static_cast<char>(id >> 8);
    out += static_cast<char>(id);
    return out.append(payload);
  };
  std::string out = frame(1, 5,
                          "\x82\x86\x84\x41\x01"
                          "a");
  if (taken_back) out += frame(3, 0, std::string_view("\0\0\0\x08", 4));
  return out;
}

TEST(Limits, WhatIsTakenBackInOneBreathCostsNoUpstream) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  Http2Client client(bench);
  bench.up->script.push_back(nullptr);
  std::string flood;
  for (std::uint32_t id = 1; id < 100; id += 2) flood += frames_of(id, id != 51);
  bench.send(flood);
  client.turn();
  EXPECT_EQ(bench.up->seen.size(), 1u);
  EXPECT_EQ(bench.worker->sessions(), 1u);
}

TEST(Limits, ManyRequestsOfOneReadTakeTurns) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  Http2Client client(bench);
  std::string requests;
  for (std::uint32_t id = 1; id < 601; id += 2) {
    requests += frames_of(id, false);
    bench.up->script.push_back(nullptr);
  }
  bench.send(requests);
  bench.loop.settle();
  EXPECT_EQ(bench.up->seen.size(), 300u);
}

// An upstream may not fill our memory with interim answers that a slow client does not read.
TEST(Limits, InterimAnswersAreCounted) {
  Bench bench;
  bench.configure({route_to("/", "c")});
  bench.connect();
  bench.up->script.push_back([](auto& call) {
    call.later([&call] {
      for (int i = 0; i < 1000; ++i) {
        http::ResponseHead head;
        head.status = 103;
        call.events.on_upstream_informational(std::move(head));
      }
      call.answer(200, "one");
    });
  });
  const std::string answer = bench.ask(kGet);
  EXPECT_TRUE(answer.ends_with("one"));
  EXPECT_LT(answer.size(), 10'000u);
}

TEST(Grpc, ItsTimeoutBoundsTheStreamAndSaysSo) {
  Bench bench;
  route::Route route = route_to("/", "c");
  route.forward.max_grpc_timeout = Duration{0};
  bench.configure({route});
  bench.connect();
  Http2Client client(bench);
  bench.up->script.push_back(nullptr);
  client.ask("application/grpc", "500m", true);
  bench.loop.advance(std::chrono::milliseconds(400));
  client.turn();
  EXPECT_FALSE(client.ended);
  bench.loop.advance(std::chrono::milliseconds(200));
  client.turn();
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(client.status, 200);
  EXPECT_EQ(client.response.headers.get_or("grpc-status", ""), "4");
}

struct GrpcWebBench : Bench {
  GrpcWebBench() {
    settings->grpc_web = true;
    settings->filters.insert(settings->filters.begin(),
                             HttpFilter{"grpc_web", false, GrpcWebFilter{}});
    configure({route_to("/", "c")});
    connect();
  }
};

// It has a length, and the client would count.
TEST(Grpc, AnAnswerToGrpcWebThatIsNoGrpcStaysAsItIs) {
  GrpcWebBench bench;
  bench.up->script.push_back([](auto& call) { call.answer(404, "no such page"); });
  const std::string answer = bench.ask(
      "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\n"
      "content-length: 4\r\n\r\nAAAA");
  EXPECT_NE(answer.find("content-length: 12\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nno such page")) << answer;
}

TEST(Grpc, WebTextOverHttp1) {
  GrpcWebBench bench;
  std::string body;
  bench.up->script.push_back([&body](auto& call) {
    call.later([&call, &body] {
      body = call.body;
      UpstreamEvents& to = call.events;
      http::ResponseHead head;
      head.status = 200;
      head.headers.add("content-type", "application/grpc");
      to.on_upstream_head(std::move(head), false);
      to.on_upstream_data("hello", false);
      http::Headers trailers;
      trailers.add("grpc-status", "0");
      to.on_upstream_trailers(std::move(trailers));
    });
  });
  const std::string sent = base64_encode("question");
  const std::string answer = bench.ask(
      "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\n"
      "content-length: " +
      std::to_string(sent.size()) + "\r\n\r\n" + sent);
  EXPECT_EQ(body, "question");
  ASSERT_EQ(bench.up->seen.size(), 1u);
  EXPECT_EQ(bench.up->seen[0].headers.get_or("content-type", ""), "application/grpc");
  EXPECT_NE(answer.find("content-type: application/grpc-web-text\r\n"), std::string::npos);
  EXPECT_NE(answer.find(base64_encode("hello")), std::string::npos);
  const std::string trailers("\x80\0\0\0\x0fgrpc-status:0\r\n", 20);
  EXPECT_NE(answer.find(base64_encode(trailers)), std::string::npos) << answer;
}

TEST(Grpc, LocalRepliesAreTrailersOnly) {
  Bench bench;
  bench.configure({route_to("/", "gone")});
  bench.connect();
  Http2Client client(bench);
  client.ask("application/grpc", "", true);
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(client.status, 200);
  EXPECT_EQ(client.response.headers.get_or("grpc-status", ""), "14");
  EXPECT_EQ(client.response.headers.get_or("content-type", ""), "application/grpc");
}

}  // namespace
}  // namespace mizzen::proxy
