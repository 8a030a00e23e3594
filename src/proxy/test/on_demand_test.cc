// Requests and connections to destinations that the control plane has not spoken about.
#include "api/names.h"
#include "proxy/feed/destinations.h"
#include "proxy/feed/store.h"
#include "proxy/test/machine_bench.h"

namespace mizzen::proxy {
namespace {

constexpr std::string_view kReviews = "GET / HTTP/1.1\r\nhost: Reviews:9080\r\n\r\n";

TEST(Destinations, AreNamedByHostAndPort) {
  EXPECT_EQ(destination_name("Reviews.default.:80", 9080), "reviews.default:9080");
  EXPECT_EQ(destination_name("10.96.0.1", 80), "10.96.0.1:80");
  EXPECT_EQ(destination_name("[FD00::1]:80", 8080), "[fd00::1]:8080");
  for (const char* wrong : {"", ":80", "a b", "a/b", "[::1"}) {
    EXPECT_FALSE(destination_name(wrong, 80)) << wrong;
  }
  EXPECT_FALSE(destination_name(std::string(300, 'a'), 80));
}

TEST(Destinations, AreKnownWhenAllThatCameBeforeIsLive) {
  Destinations destinations;
  EXPECT_TRUE(destinations.want("a:80", MonoTime{}));
  EXPECT_FALSE(destinations.want("a:80", MonoTime{}));
  EXPECT_TRUE(destinations.want("b:80", MonoTime{}));
  destinations.answer("a:80", true, 7, MonoTime{});
  destinations.answer("b:80", false, 7, MonoTime{});
  EXPECT_EQ(destinations.known(6)->count("a:80"), 0U);
  EXPECT_EQ(destinations.known(6)->count("b:80"), 1U);
  const KnownDestinationsRef both = destinations.known(7);
  EXPECT_EQ(both->count("a:80"), 1U);
  EXPECT_EQ(destinations.known(8), both);
}

TEST(Destinations, ForgetsWhatIsNotUsedWhenThereIsTooMuch) {
  Destinations destinations;
  MonoTime now{std::chrono::hours(1)};
  for (std::size_t i = 0; i < 2 * Destinations::kMost; ++i) {
    now += std::chrono::milliseconds(1);
    const std::string name = std::to_string(i) + ":80";
    ASSERT_TRUE(destinations.want(name, now)) << name;
    destinations.answer(name, true, 0, now);
    ASSERT_LE(destinations.names().size(), Destinations::kMost);
  }
  EXPECT_FALSE(destinations.names().contains("0:80"));
  for (int i = 0; i < 200; ++i) {
    const std::string name = "m" + std::to_string(i) + ":80";
    if (i == 100) now += std::chrono::hours(1);
    destinations.want(name, now);
    destinations.answer(name, false, 0, now);
  }
  EXPECT_FALSE(destinations.names().contains("m0:80"));
}

TEST(Destinations, OfAStoreAreNeededAndAnswered) {
  ConfigStore store(system_clock());
  EXPECT_TRUE(store.want("a:80"));
  EXPECT_EQ(store.needed_by_ads(api::kDestinationType), std::set<std::string>{"a:80"});
  xds::Update update;
  update.type_url = api::kDestinationType;
  update.removed = {"a:80"};
  EXPECT_TRUE(store.apply(update).empty());
  EXPECT_TRUE(store.publish()->knows("a:80", MonoTime{}));
}

struct OnDemand : Bench {
  OnDemand() {
    shared.ask = [this](const std::vector<std::string>& names) {
      asked.insert(asked.end(), names.begin(), names.end());
    };
  }

  // A table whose "*" answers 404; with `host` also one that goes to the cluster.
  void publish_known(const std::string& host, const std::vector<std::string>& names) {
    auto table = std::make_shared<route::Table>();
    table->ignore_port = true;
    route::VirtualHost rest;
    rest.name = "allow_any";
    rest.domains = {"*"};
    table->hosts.push_back(std::move(rest));
    if (!host.empty()) {
      route::VirtualHost known;
      known.name = host;
      known.domains = {host};
      known.routes = {route_to("/", "c")};
      table->hosts.push_back(std::move(known));
    }
    ASSERT_TRUE(table->index());
    settings->table = table;
    auto listener = std::make_shared<Listener>();
    listener->name = "l";
    listener->direction = Direction::kOutbound;
    listener->on_demand = true;
    FilterChain chain;
    chain.terminal = std::shared_ptr<const HttpSettings>(std::make_shared<HttpSettings>(*settings));
    listener->chains.push_back(std::move(chain));
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->listeners.push_back(std::move(listener));
    auto cluster = std::make_shared<Cluster>();
    cluster->name = "c";
    snapshot->clusters["c"] = {cluster, nullptr};
    auto known = std::make_shared<KnownDestinations>();
    for (const std::string& name : names) {
      known->emplace(name, std::make_shared<KnownDestination>());
    }
    snapshot->destinations = known;
    worker->set_config(make_live_config(snapshot), {}, {});
    loop.settle();
  }

  std::vector<std::string> asked;
};

TEST(OnDemandRequest, WaitsForItsHost) {
  OnDemand bench;
  bench.publish_known("", {});
  bench.connect();
  EXPECT_EQ(bench.ask(kReviews), "");
  ASSERT_EQ(bench.asked.size(), 1U);
  EXPECT_TRUE(bench.asked[0].starts_with("reviews:")) << bench.asked[0];
  bench.up->script.push_back([](auto& call) { call.answer(200, "hello"); });
  bench.publish_known("reviews", {bench.asked[0]});
  const std::string answer = bench.received();
  EXPECT_TRUE(answer.ends_with("hello")) << answer;
}

TEST(OnDemandRequest, KeepsItsBodyMeanwhile) {
  OnDemand bench;
  bench.publish_known("", {});
  bench.connect();
  bench.send("POST / HTTP/1.1\r\nhost: reviews\r\ncontent-length: 6\r\n\r\nabc");
  bench.send("def");
  std::string body;
  bench.up->script.push_back([&](auto& call) {
    call.later([&] {
      body = call.body;
      call.answer(200, "ok");
    });
  });
  bench.publish_known("reviews", {bench.asked.at(0)});
  EXPECT_TRUE(bench.received().ends_with("ok"));
  EXPECT_EQ(body, "abcdef");
}

TEST(OnDemandRequest, GoesTheWayOfUnknownHostsAfterAMiss) {
  OnDemand bench;
  bench.publish_known("", {});
  bench.connect();
  EXPECT_EQ(bench.ask(kReviews), "");
  bench.publish_known("", {bench.asked.at(0)});
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(bench.ask(kReviews).starts_with("HTTP/1.1 404 "));  // kept
  EXPECT_EQ(bench.asked.size(), 1U);
}

TEST(OnDemandRequest, IsRefusedWithoutAnAnswer) {
  OnDemand bench;
  bench.publish_known("", {});
  bench.connect();
  EXPECT_EQ(bench.ask(kReviews), "");
  bench.publish_known("other", {"other:1"});  // not what it waits for
  EXPECT_EQ(bench.received(), "");
  bench.loop.advance(kDestinationLimit + std::chrono::milliseconds(2));
  EXPECT_TRUE(bench.received().starts_with("HTTP/1.1 503 "));
}

TEST(OnDemandRequest, ThatIsGivenUpWaitsNoLonger) {
  OnDemand bench;
  bench.publish_known("", {});
  bench.connect();
  EXPECT_EQ(bench.ask(kReviews), "");
  bench.client.reset();
  bench.loop.settle();
  bench.publish_known("reviews", {bench.asked.at(0)});
  EXPECT_TRUE(bench.up->seen.empty());
}

}  // namespace
}  // namespace mizzen::proxy
