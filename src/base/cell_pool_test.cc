#include "base/cell_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <vector>

namespace mizzen {
namespace {

TEST(CellPool, GivesEachCellOnceAndTheMemoryBack) {
  CellPool pool(500);
  std::mt19937 random(7);
  std::vector<unsigned char*> taken;
  std::set<void*> held;
  for (int i = 0; i < 20'000; ++i) {
    if (taken.empty() || random() % 3 != 0) {
      auto* cell = static_cast<unsigned char*>(pool.take());
      ASSERT_TRUE(held.insert(cell).second);
      std::memset(cell, static_cast<int>(taken.size() % 251), 500);
      taken.push_back(cell);
    } else {
      auto* cell = taken.back();
      taken.pop_back();
      ASSERT_EQ(cell[0], taken.size() % 251);
      ASSERT_EQ(cell[499], taken.size() % 251);
      held.erase(cell);
      pool.give_back(cell);
    }
  }
  std::shuffle(taken.begin(), taken.end(), random);
  for (auto* cell : taken) pool.give_back(cell);
  EXPECT_LE(pool.blocks(), 1U);
  pool.give_back(pool.take());
}

}  // namespace
}  // namespace mizzen
