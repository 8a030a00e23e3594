#include <gtest/gtest.h>

#include "samples/load/fortio.h"
#include "samples/load/report.h"

namespace mizzen::samples::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Options, AsTheDocumentsWriteThem) {
  auto options = parse_options({"-c", "4", "-qps", "0", "-n", "40", "-loglevel", "Warning", "-H",
                                "x-plan: BASIC", "--timeout=2s", "catalogue/tags"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->connections, 4U);
  EXPECT_EQ(options->calls, 40U);
  EXPECT_EQ(options->qps, 0);
  EXPECT_EQ(options->url, "http://catalogue/tags");
  EXPECT_EQ(options->headers.front(), (std::pair<std::string, std::string>("x-plan", "BASIC")));
  EXPECT_EQ(options->timeout, seconds(2));
  EXPECT_TRUE(parse_options({"-curl", "-k", "http://a"})->curl);
  EXPECT_EQ(parse_options({"-p", "50,99.9", "http://a"})->percentiles,
            (std::vector<double>{50, 99.9}));
}

TEST(Options, RefusedByName) {
  auto message = [](const std::vector<std::string>& words) {
    auto options = parse_options(words);
    return options ? std::string() : options.error().message;
  };
  EXPECT_NE(message({"-grpc", "a:1"}).find("gRPC"), std::string::npos);
  EXPECT_NE(message({"-frobnicate", "a"}).find("-frobnicate"), std::string::npos);
  EXPECT_NE(message({"-c"}).find("-c needs a value"), std::string::npos);
  EXPECT_NE(message({"-c", "many", "a"}).find("-c: \"many\""), std::string::npos);
  EXPECT_NE(message({}).find("which URL"), std::string::npos);
  EXPECT_NE(message({"a", "b"}).find("second"), std::string::npos);
}

TEST(Options, Durations) {
  EXPECT_EQ(parse_duration("1m30s").value(), seconds(90));
  EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_duration("1.5s").value(), milliseconds(1500));
  EXPECT_EQ(parse_duration("0").value(), Duration{0});
  for (const char* bad : {"", "5", "s", "5x", "-1s", "1s2"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Histogram, PercentilesWithinBuckets) {
  Histogram histogram(0.001);
  for (int i = 1; i <= 100; ++i) histogram.add(i / 1000.0);
  EXPECT_NEAR(histogram.percentile(50), 0.050, 0.0005);
  EXPECT_NEAR(histogram.percentile(99), 0.099, 0.0005);
  EXPECT_DOUBLE_EQ(histogram.percentile(100), 0.1);
  EXPECT_NEAR(histogram.counter().average(), 0.0505, 1e-9);
  EXPECT_EQ(histogram.buckets().front().count, 1U);
  EXPECT_EQ(histogram.buckets().back().percent, 100);
  EXPECT_EQ(Histogram(0.001).percentile(50), 0);
}

struct Loaded {
  Outcome outcome;
  std::string text;
};

// Runs a load with `words` and a URL of `path` on a server of its own.
Loaded loaded(std::vector<std::string> words, const std::string& path, const Handler& handler) {
  io::EpollLoop loop;
  Service service(loop);
  EXPECT_TRUE(service.serve(0, handler));
  words.push_back("127.0.0.1:" + std::to_string(service.port()) + path);
  auto options = parse_options(words);
  EXPECT_TRUE(options);
  Loaded out{Outcome(*options), ""};
  load::Run run(
      loop, *options, [](Verbosity, const std::string&) {},
      [&](const Outcome& outcome) {
        out.outcome = outcome;
        out.text = report(*options, outcome);
        loop.stop();
      });
  EXPECT_TRUE(run.start());
  loop.run();
  return out;
}

TEST(Run, CountsCodesAndSockets) {
  int calls = 0;
  Loaded done = loaded({"-c", "2", "-qps", "0", "-n", "11"}, "/x?y=1",
                       [&](const Call& call, const Answer& answer) {
                         EXPECT_EQ(call.path + "?" + call.query, "/x?y=1");
                         answer(text(++calls % 4 == 0 ? 503 : 200, "ok"));
                       });
  EXPECT_EQ(calls, 11);
  EXPECT_EQ(done.outcome.codes, (std::map<int, std::uint64_t>{{200, 9}, {503, 2}}));
  // A connection for each caller, and a new one after each answer that was not good.
  EXPECT_GE(done.outcome.sockets, 2U);
  EXPECT_LE(done.outcome.sockets, 4U);
  EXPECT_NE(done.text.find("Code 503 : 2 (18.2 %)\n"), std::string::npos) << done.text;
  EXPECT_NE(done.text.find("(for perfect keepalive, would be 2)\n"), std::string::npos);
  EXPECT_NE(done.text.find("# target 99.9% "), std::string::npos);
  EXPECT_NE(done.text.find("All done 11 calls (plus 0 warmup)"), std::string::npos);
}

TEST(Run, ATimedRunStopsWhenItDoesNotWork) {
  auto broken = [](const Call&, const Answer& answer) { answer(text(500, "no")); };
  Loaded done = loaded({"-t", "100ms"}, "/", broken);
  EXPECT_TRUE(done.outcome.aborted.starts_with("error 500 for http://127.0.0.1:"));
  done = loaded({"-t", "200ms", "-qps", "100", "-allow-initial-errors"}, "/", broken);
  EXPECT_EQ(done.outcome.warmups, 4U);
  EXPECT_GT(done.outcome.codes.at(500), 0U);
}

TEST(Run, NobodyThereIsCodeMinusOne) {
  auto options = parse_options({"-n", "2", "-c", "1", "-qps", "0", "http://127.0.0.1:1/"});
  io::EpollLoop loop;
  std::string said;
  load::Run run(
      loop, *options, [](Verbosity, const std::string&) {},
      [&](const Outcome& outcome) {
        said = report(*options, outcome);
        loop.stop();
      });
  ASSERT_TRUE(run.start());
  loop.run();
  EXPECT_NE(said.find("Code  -1 : 2 (100.0 %)"), std::string::npos) << said;
}

TEST(Server, AnswersAsItIsAsked) {
  Loaded done = loaded({"-n", "4", "-c", "1", "-qps", "0"}, "/?status=429",
                       [](const Call& call, const Answer& answer) {
                         static io::EpollLoop loop;
                         static Service service(loop);
                         static Handler handler = fortio_server(service);
                         handler(call, answer);
                       });
  EXPECT_EQ(done.outcome.codes, (std::map<int, std::uint64_t>{{429, 4}}));
}

}  // namespace
}  // namespace mizzen::samples::load
