#include "local/controllers/rollout.h"

#include <gtest/gtest.h>

namespace mizzen::local {
namespace {

TEST(Rollout, StartsNewPodsBeforeOldOnesGo) {
  auto step = plan_rollout({3, 1, 0, {0, 0}, {{3, 3}}});
  EXPECT_EQ(step.current, 1);
  EXPECT_EQ(step.old_sets, std::vector<int>{3});
  step = plan_rollout({3, 1, 0, {1, 1}, {{3, 3}}});
  EXPECT_EQ(step.old_sets, std::vector<int>{2});
}

TEST(Rollout, EndsWithTheNewSetAlone) {
  Rollout r{4, 1, 1, {0, 0}, {{4, 4}}};
  int steps = 0;
  while ((r.current.replicas != 4 || r.old_sets[0].replicas != 0) && ++steps < 50) {
    auto step = plan_rollout(r);
    r.current = {step.current, step.current};
    r.old_sets[0] = {step.old_sets[0], step.old_sets[0]};
    EXPECT_LE(r.current.replicas + r.old_sets[0].replicas, 5);
    EXPECT_GE(r.current.available + r.old_sets[0].available, 3);
  }
  EXPECT_EQ(r.current.replicas, 4);
  EXPECT_EQ(r.old_sets[0].replicas, 0);
}

TEST(Rollout, BrokenOldPodsGoFirst) {
  auto step = plan_rollout({2, 1, 0, {1, 1}, {{1, 1}, {1, 0}}});
  EXPECT_EQ(step.old_sets, (std::vector<int>{1, 0}));
}

TEST(Rollout, ScalesWithoutOldSets) {
  EXPECT_EQ(plan_rollout({5, 1, 0, {2, 2}, {}}).current, 5);
  EXPECT_EQ(plan_rollout({1, 1, 0, {2, 2}, {}}).current, 1);
  EXPECT_EQ(plan_rollout({0, 1, 0, {2, 2}, {{2, 2}}}).current, 0);
}

TEST(Rollout, Percentages) {
  EXPECT_EQ(int_or_percent("25%", 4, true, 9), 1);
  EXPECT_EQ(int_or_percent("25%", 3, true, 9), 1);
  EXPECT_EQ(int_or_percent("25%", 3, false, 9), 0);
  EXPECT_EQ(int_or_percent(2, 3, false, 9), 2);
  EXPECT_EQ(int_or_percent(nullptr, 3, false, 9), 9);
}

TEST(Rollout, HashesIgnoreTheHashItself) {
  Json a = {{"metadata", {{"labels", {{"app", "x"}}}}}, {"spec", 1}};
  Json b = a;
  b["metadata"]["labels"]["pod-template-hash"] = "abc";
  EXPECT_EQ(template_hash(a), template_hash(b));
  EXPECT_EQ(template_hash(a).size(), 10U);
}

}  // namespace
}  // namespace mizzen::local
