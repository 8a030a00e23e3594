// Connections at rest: what they let go of is not missed.
#include "proxy/test/machine_bench.h"

namespace mizzen::proxy {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kAgain = "GET /again HTTP/1.1\r\nhost: a\r\n\r\n";

struct Resting : Bench {
  explicit Resting(std::optional<Duration> idle_timeout = 1h) {
    settings->idle_timeout = idle_timeout;
    configure({route_to("/", "c")});
    connect();
  }
  void answered(std::string_view request = kAgain) {
    up->script.push_back([](ScriptedUpstream::Call& call) { call.answer(200, "fine"); });
    const std::string answer = ask(request);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(answer.ends_with("fine"));
    EXPECT_FALSE(closed);
  }
  bool ended() {
    received();
    return closed;
  }
};

TEST(Rest, RequestsGoOnAfterIt) {
  for (const std::optional<Duration> idle :
       {std::optional<Duration>(1h), std::optional<Duration>()}) {
    Resting bench(idle);
    bench.loop.advance(10s);  // before the first request
    for (int i = 0; i < 3; ++i) {
      bench.answered();
      bench.answered();
      bench.loop.advance(10s);
    }
    EXPECT_EQ(bench.up->seen.size(), 6U);
  }
}

TEST(Rest, KeepsTheBeginningOfAHead) {
  Resting bench;
  for (int i = 0; i < 2; ++i) {
    bench.send("GET /sl");
    bench.loop.advance(10s);
    bench.answered("ow HTTP/1.1\r\nhost: a\r\n\r\n");
    EXPECT_EQ(bench.up->seen.back().path, "/slow");
  }
}

TEST(Rest, NotDuringARequest) {
  Resting bench;
  bench.answered();
  ScriptedUpstream::Call* open = nullptr;
  bench.up->script.push_back([&](ScriptedUpstream::Call& call) { open = &call; });
  bench.send(kAgain);
  bench.loop.advance(10s);
  ASSERT_NE(open, nullptr);
  open->answer(200, "late");
  bench.loop.settle();
  EXPECT_TRUE(bench.received().ends_with("late"));
}

TEST(Rest, CountsAsIdleness) {
  for (const Duration idle : {Duration(500ms), Duration(1s), Duration(5s)}) {
    Resting bench(idle);
    bench.loop.advance(idle / 2);
    bench.answered();
    bench.loop.advance(idle - 50ms);
    EXPECT_FALSE(bench.ended());
    bench.loop.advance(100ms);
    EXPECT_TRUE(bench.ended());
  }
}

TEST(Rest, HearsOfNewConfiguration) {
  Resting bench;
  bench.answered();
  bench.loop.advance(10s);
  bench.configure({route_to("/again", "c")});
  bench.answered();
  EXPECT_TRUE(bench.ask("GET /other HTTP/1.1\r\nhost: a\r\n\r\n").starts_with("HTTP/1.1 404 "));
  bench.loop.advance(10s);
  bench.publish(std::make_shared<Listener>());  // "l" is gone
  bench.loop.settle();
  EXPECT_TRUE(bench.ended());
}

TEST(Rest, ADrainingWorkerStillAnswersOnce) {
  Resting bench;
  bench.answered();
  bench.loop.advance(10s);
  bench.worker->drain(true, 20s);
  bench.loop.advance(10s);
  bench.up->script.push_back([](ScriptedUpstream::Call& call) { call.answer(200, "last"); });
  EXPECT_NE(bench.ask(kAgain).find("connection: close"), std::string::npos);
  Resting other;
  other.answered();
  other.loop.advance(10s);
  other.worker->drain(true, 20s);
  other.loop.advance(19s);
  EXPECT_FALSE(other.ended());
  other.loop.advance(2s);
  EXPECT_TRUE(other.ended());
}

TEST(Rest, TheClientMayLeave) {
  Resting bench;
  bench.answered();
  EXPECT_EQ(bench.worker->sessions(), 1U);
  bench.loop.advance(10s);
  bench.client->shutdown_write();
  bench.loop.settle();
  EXPECT_EQ(bench.worker->sessions(), 0U);
}

}  // namespace
}  // namespace mizzen::proxy
