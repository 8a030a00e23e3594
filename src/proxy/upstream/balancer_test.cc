#include "proxy/upstream/balancer.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "proxy/tls_contexts.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/pool.h"

namespace mizzen::proxy::upstream {
namespace {

class BalancerTest : public ::testing::Test {
 protected:
  BalancerTest() : state_(context_, "c") { context_.random_state = 0x1234567890abcdef; }

  void locality(std::uint32_t priority, std::uint32_t weight = 0) {
    LocalityEndpoints made;
    made.priority = priority;
    made.weight = weight;
    set_.add_locality(made);
  }
  Host& host(std::uint32_t weight = 1, Health health = Health::kHealthy) {
    hosts_.push_back(std::make_unique<Host>(
        state_, io::Address::loopback(static_cast<std::uint16_t>(hosts_.size() + 1))));
    hosts_.back()->health = health;
    set_.add({hosts_.back().get(), nullptr, weight});
    return *hosts_.back();
  }
  const Candidate* pick(std::optional<std::uint64_t> hash = std::nullopt,
                        std::span<const io::Address> avoid = {}) {
    PickAsk ask;
    ask.hash = hash;
    ask.random = context_.random();
    ask.avoid = avoid;
    ask.now = now_;
    return set_.pick(cluster_, ask);
  }
  // How many of `count` picks went to each host, by its number from 1.
  std::map<int, int> picks(std::optional<std::uint64_t> hash = std::nullopt, int count = 1000) {
    set_.refresh(cluster_);
    std::map<int, int> counts;
    for (int i = 0; i < count; ++i) {
      const Candidate* picked = pick(hash);
      ++counts[picked == nullptr ? 0 : picked->host->address.port()];
    }
    return counts;
  }

  io::EpollLoop loop_;
  TlsContexts contexts_;
  Context context_{loop_, make_shared_limits(), contexts_};
  ClusterState state_;
  Cluster cluster_;
  HostSet set_;
  MonoTime now_ = loop_.now();
  std::deque<std::unique_ptr<Host>> hosts_;
};

TEST_F(BalancerTest, RoundRobinIsExact) {
  locality(0);
  for (int i = 0; i < 4; ++i) host();
  EXPECT_EQ(picks(), (std::map<int, int>{{1, 250}, {2, 250}, {3, 250}, {4, 250}}));
}

TEST_F(BalancerTest, WeightsAreExactToo) {
  locality(0);
  host(3);
  host(1);
  EXPECT_EQ(picks(), (std::map<int, int>{{1, 750}, {2, 250}}));
}

TEST_F(BalancerTest, UnhealthyAndDrainingAreLeftOut) {
  locality(0);
  host();
  host(1, Health::kUnhealthy);
  host(1, Health::kDraining);
  host();
  EXPECT_EQ(picks(), (std::map<int, int>{{1, 500}, {4, 500}}));
}

TEST_F(BalancerTest, InPanicHealthIsNotLookedAt) {
  locality(0);
  host();
  host(1, Health::kUnhealthy);
  host(1, Health::kUnhealthy);
  EXPECT_EQ(picks().size(), 3u);
  cluster_.panic_threshold_percent = 0;
  EXPECT_EQ(picks(), (std::map<int, int>{{1, 1000}}));
}

TEST_F(BalancerTest, TheNextPriorityTakesWhatTheFirstCannot) {
  cluster_.panic_threshold_percent = 0;
  locality(0);
  host();
  host(1, Health::kUnhealthy);
  locality(1);
  host();
  auto counts = picks();  // 140 % of one half
  EXPECT_NEAR(counts[1], 700, 60);
  EXPECT_NEAR(counts[3], 300, 60);
}

TEST_F(BalancerTest, NobodyIsNobody) {
  EXPECT_EQ(picks(), (std::map<int, int>{{0, 1000}}));
  cluster_.panic_threshold_percent = 0;
  locality(0);
  host(1, Health::kUnhealthy);
  EXPECT_EQ(picks(), (std::map<int, int>{{0, 1000}}));
}

TEST_F(BalancerTest, LocalityWeights) {
  cluster_.locality_weighted = true;
  locality(0, 80);
  host();
  locality(0, 20);
  host();
  host();
  auto counts = picks();
  EXPECT_NEAR(counts[1], 800, 60);
}

TEST_F(BalancerTest, AHashSticksAndMovesLittle) {
  cluster_.lb = LbPolicy::kRingHash;
  locality(0);
  for (int i = 0; i < 5; ++i) host();
  set_.refresh(cluster_);
  std::map<std::uint64_t, Host*> before;
  const auto spread = [](std::uint64_t i) { return i * 0x9e3779b97f4a7c15U; };
  for (std::uint64_t i = 0; i < 1000; ++i) before[i] = pick(spread(i))->host;
  EXPECT_EQ(picks(42).size(), 1u);
  hosts_[2]->shared->ejected_until = 1;
  set_.refresh(cluster_);
  int of_the_gone = 0;
  int of_others = 0;
  for (auto& [i, its] : before) {
    if (pick(spread(i))->host == its) continue;
    ++(its == hosts_[2].get() ? of_the_gone : of_others);
  }
  EXPECT_NEAR(of_the_gone, 200, 60);
  EXPECT_LT(of_others, 200);  // the others stand in the ring a little more often
}

TEST_F(BalancerTest, LeastRequestPrefersTheIdle) {
  cluster_.lb = LbPolicy::kLeastRequest;
  locality(0);
  host().active = 100;
  host();
  auto counts = picks();
  EXPECT_NEAR(counts[1], 250, 60);  // only when both choices fell on it
}

TEST_F(BalancerTest, HostsTriedBeforeAreAvoided) {
  locality(0);
  Host& first = host();
  host();
  set_.refresh(cluster_);
  const io::Address tried[] = {first.address};
  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(pick(std::nullopt, tried)->host, &first);
  }
}

TEST_F(BalancerTest, HostsTriedBeforeAreAvoidedByTheLoaded) {
  cluster_.lb = LbPolicy::kLeastRequest;
  locality(0);
  Host& dead = host();
  host().active = 50;
  set_.refresh(cluster_);
  const io::Address tried[] = {dead.address};
  for (int i = 0; i < 50; ++i) EXPECT_NE(pick(std::nullopt, tried)->host, &dead);
}

TEST_F(BalancerTest, LeastRequestOfUnequalWeights) {
  cluster_.lb = LbPolicy::kLeastRequest;
  locality(0);
  host(3);
  host(1);
  auto counts = picks();  // nobody is busy: by weight
  EXPECT_NEAR(counts[1], 750, 2);
  hosts_[0]->active = 2;  // 3 / (2 + 1) against 1
  counts = picks();
  EXPECT_NEAR(counts[1], 500, 3);
  cluster_.active_request_bias = 0;  // as round robin
  counts = picks();
  EXPECT_NEAR(counts[1], 750, 2);
}

TEST_F(BalancerTest, RandomIsEvenWhateverTheWeights) {
  cluster_.lb = LbPolicy::kRandom;
  locality(0);
  host(9);
  host(1);
  EXPECT_NEAR(picks()[1], 500, 60);
}

TEST_F(BalancerTest, ARingFollowsTheWeights) {
  cluster_.lb = LbPolicy::kRingHash;
  locality(0);
  host(3);
  host(1);
  EXPECT_NEAR(picks(std::nullopt, 4000)[1], 3000, 250);
}

TEST_F(BalancerTest, MaglevSpreadsEvenly) {
  cluster_.lb = LbPolicy::kMaglev;
  locality(0);
  for (int i = 0; i < 4; ++i) host();
  auto counts = picks(std::nullopt, 4000);
  for (int i = 1; i <= 4; ++i) EXPECT_NEAR(counts[i], 1000, 130);
}

TEST_F(BalancerTest, SlowStart) {
  using std::chrono::seconds;
  cluster_.slow_start_window = seconds(100);
  locality(0);
  host();
  Host& fresh = host();
  hosts_[0]->since = now_ - seconds(200);
  fresh.since = now_;
  // 10 % at least: 1 of 11.
  EXPECT_NEAR(picks(std::nullopt, 1100)[2], 100, 12);
  fresh.since = now_ - seconds(50);
  EXPECT_NEAR(picks(std::nullopt, 900)[2], 300, 10);
  cluster_.slow_start_aggression = 2.0;  // the square root of 0.25
  fresh.since = now_ - seconds(25);
  EXPECT_NEAR(picks(std::nullopt, 900)[2], 300, 10);
  fresh.since = now_ - seconds(100);
  EXPECT_EQ(picks()[2], 500);
}

TEST_F(BalancerTest, SlowStartUnderLeastRequest) {
  using std::chrono::seconds;
  cluster_.lb = LbPolicy::kLeastRequest;
  cluster_.slow_start_window = seconds(100);
  locality(0);
  host().since = now_ - seconds(200);
  host().since = now_ - seconds(50);
  EXPECT_NEAR(picks(std::nullopt, 900)[2], 300, 10);
}

// Envoy's table of "Priority levels": load by the healthy share of two priorities.
TEST_F(BalancerTest, LoadOfTwoPriorities) {
  cluster_.panic_threshold_percent = 0;
  locality(0);
  for (int i = 0; i < 100; ++i) host();
  locality(1);
  for (int i = 0; i < 100; ++i) host();
  struct Row {
    int first_healthy, second_healthy, to_first;
  };
  for (const Row& row : {Row{100, 100, 100}, Row{72, 72, 100}, Row{71, 71, 99}, Row{50, 50, 70},
                         Row{25, 100, 35}, Row{25, 25, 50}}) {
    for (int i = 0; i < 100; ++i) {
      const auto at = static_cast<std::size_t>(i);
      hosts_[at]->health = i < row.first_healthy ? Health::kHealthy : Health::kUnhealthy;
      hosts_[at + 100]->health = i < row.second_healthy ? Health::kHealthy : Health::kUnhealthy;
    }
    int first = 0;
    for (const auto& [port, count] : picks(std::nullopt, 4000)) {
      if (port <= 100) first += count;
    }
    EXPECT_NEAR(first / 40.0, row.to_first, 3) << row.first_healthy << " " << row.second_healthy;
  }
}

TEST_F(BalancerTest, NoPanicWhileOthersMakeUpForIt) {
  locality(0);
  host();
  for (int i = 0; i < 9; ++i) host(1, Health::kUnhealthy);
  locality(1);
  for (int i = 0; i < 10; ++i) host();
  auto counts = picks();  // 14 % of the first priority's one healthy host
  EXPECT_NEAR(counts[1], 140, 40);
  EXPECT_EQ(counts[2], 0);
}

TEST_F(BalancerTest, TotalPanicGoesByTheNumberOfHosts) {
  locality(0);
  for (int i = 0; i < 3; ++i) host(1, Health::kUnhealthy);
  locality(1);
  host(1, Health::kUnhealthy);
  auto counts = picks();
  EXPECT_NEAR(counts[4], 250, 60);
}

TEST_F(BalancerTest, DegradedHostsComeLast) {
  cluster_.panic_threshold_percent = 0;
  locality(0);
  host();
  host(1, Health::kDegraded);
  EXPECT_NEAR(picks()[1], 700, 60);  // 140 % of a half, the rest to the degraded one
  hosts_[0]->health = Health::kUnhealthy;
  EXPECT_EQ(picks()[2], 1000);
}

TEST_F(BalancerTest, AHalfHealthyLocalityGivesLoadAway) {
  cluster_.locality_weighted = true;
  locality(0, 1);
  host();
  host(1, Health::kUnhealthy);
  locality(0, 1);
  host();
  host();
  auto counts = picks(std::nullopt, 4000);  // 0.7 against 1
  EXPECT_NEAR(counts[1], 4000 * 0.7 / 1.7, 130);
}

TEST_F(BalancerTest, LocalitiesWithoutWeightsCountByHosts) {
  cluster_.locality_weighted = true;
  locality(0);
  host();
  locality(0);
  for (int i = 0; i < 3; ++i) host();
  EXPECT_NEAR(picks()[1], 250, 60);
}

TEST_F(BalancerTest, ARetryLeavesThePriority) {
  locality(0);
  Host& near = host();
  host();
  locality(1);
  Host& far = host();
  set_.refresh(cluster_);
  const io::Address tried[] = {near.address};
  PickAsk ask;
  ask.avoid = tried;
  ask.leave_priority_after = 1;
  for (int i = 0; i < 20; ++i) {
    ask.random = context_.random();
    EXPECT_EQ(set_.pick(cluster_, ask)->host, &far);
  }
}

TEST_F(BalancerTest, AForeignPeerIsAskedAgainEverMoreRarely) {
  using std::chrono::seconds;
  locality(0);
  Host& peer = host();
  EXPECT_TRUE(peer.may_be_mizzen(now_));
  peer.learn(false, now_);
  EXPECT_FALSE(peer.may_be_mizzen(now_ + seconds(29)));
  EXPECT_TRUE(peer.may_be_mizzen(now_ + seconds(30)));
  peer.learn(false, now_);
  EXPECT_FALSE(peer.may_be_mizzen(now_ + seconds(59)));
  peer.learn(true, now_);
  EXPECT_TRUE(peer.may_be_mizzen(now_));
}

}  // namespace
}  // namespace mizzen::proxy::upstream
