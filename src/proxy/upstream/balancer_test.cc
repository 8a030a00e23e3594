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
  BalancerTest() : state_(context_, "c") {}

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
  // How many of 1,000 picks went to each host, by its number from 1.
  std::map<int, int> picks(std::optional<std::uint64_t> hash = std::nullopt) {
    set_.refresh(cluster_);
    std::map<int, int> counts;
    for (int i = 0; i < 1000; ++i) {
      const Candidate* picked = set_.pick(cluster_, hash, context_.random(), {});
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
  int moved = 0;
  std::map<std::uint64_t, Host*> before;
  for (std::uint64_t h = 0; h < 1000; ++h)
    before[h] = set_.pick(cluster_, h, context_.random(), {})->host;
  EXPECT_EQ(picks(42).size(), 1u);
  hosts_[2]->ejected = true;
  set_.refresh(cluster_);
  for (auto& [h, its] : before) {
    Host* now = set_.pick(cluster_, h, context_.random(), {})->host;
    if (now != its) {
      EXPECT_EQ(its, hosts_[2].get());
      ++moved;
    }
  }
  EXPECT_NEAR(moved, 200, 60);
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
    EXPECT_NE(set_.pick(cluster_, std::nullopt, context_.random(), tried)->host, &first);
  }
}

}  // namespace
}  // namespace mizzen::proxy::upstream
