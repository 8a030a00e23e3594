#include "proxy/upstream/hash_table.h"

#include <gtest/gtest.h>

#include <map>

namespace mizzen::proxy::upstream {
namespace {

std::vector<HashEntry> hosts(std::initializer_list<double> weights) {
  std::vector<HashEntry> made;
  for (double weight : weights) {
    made.push_back({"10.0.0." + std::to_string(made.size() + 1) + ":80", weight});
  }
  return made;
}

TEST(HashRing, SizeFollowsTheLightest) {
  Cluster cluster;
  cluster.ring_min_size = 10;
  // The lightest has a fifth: ceil(0.2 * 10) copies of it, so 10 in all.
  EXPECT_EQ(HashRing(hosts({0.2, 0.8}), cluster).size(), 10u);
  cluster.ring_min_size = 12;
  EXPECT_EQ(HashRing(hosts({0.2, 0.8}), cluster).size(), 15u);
  cluster.ring_max_size = 13;
  EXPECT_EQ(HashRing(hosts({0.2, 0.8}), cluster).size(), 13u);
}

TEST(HashRing, AHostThatGoesMovesOnlyItsOwn) {
  Cluster cluster;
  const HashRing before(hosts({0.25, 0.25, 0.25, 0.25}), cluster);
  const HashRing after(hosts({1.0 / 3, 1.0 / 3, 1.0 / 3}), cluster);
  int moved = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t hash = i * 0x9e3779b97f4a7c15U;
    const auto was = before.find(hash, 0);
    if (was != 3 && after.find(hash, 0) != was) ++moved;
  }
  EXPECT_LT(moved, 200);  // 256 copies each before, 342 after
}

TEST(Maglev, EverySlotIsTakenByWeight) {
  Cluster cluster;
  cluster.maglev_table_size = 1021;
  const MaglevTable table(hosts({0.5, 0.25, 0.25}), cluster);
  std::map<std::uint32_t, int> count;
  for (auto slot : table.slots()) ++count[slot];
  EXPECT_NEAR(count[0], 510, 2);
  EXPECT_NEAR(count[1], 255, 2);
  EXPECT_NEAR(count[2], 255, 2);
}

TEST(Maglev, LittleMovesWhenAHostGoes) {
  Cluster cluster;
  cluster.maglev_table_size = 1021;
  const MaglevTable before(hosts({0.25, 0.25, 0.25, 0.25}), cluster);
  const MaglevTable after(hosts({1.0 / 3, 1.0 / 3, 1.0 / 3}), cluster);
  int moved = 0;
  for (std::uint64_t i = 0; i < 1021; ++i) {
    if (before.slots()[i] != 3 && before.slots()[i] != after.slots()[i]) ++moved;
  }
  EXPECT_LT(moved, 1021 / 5);
}

TEST(Maglev, AnotherAttemptLooksElsewhere) {
  Cluster cluster;
  const MaglevTable table(hosts({0.2, 0.2, 0.2, 0.2, 0.2}), cluster);
  std::map<std::uint32_t, int> seen;
  for (std::uint32_t attempt = 0; attempt < 50; ++attempt) ++seen[table.find(12345, attempt)];
  EXPECT_GT(seen.size(), 2u);
}

}  // namespace
}  // namespace mizzen::proxy::upstream
