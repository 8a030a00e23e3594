#include "proxy/feed/feed.h"

#include <gtest/gtest.h>

#include "io/sim_loop.h"

namespace mizzen::proxy {
namespace {

TEST(ConfigFeed, ListenersMayBringOthers) {
  io::SimLoop loop;
  ConfigFeed feed(loop, [](SnapshotRef) {});
  std::vector<int> told(100);
  const auto first = [&] {
    if (++told[0] > 1) return;
    for (std::size_t i = 1; i < told.size(); ++i) feed.on_published([&told, i] { ++told[i]; });
  };
  feed.on_published(first);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(told.back(), 0) << "those are told from the next publication on";
    feed.touch();
    loop.settle();
  }
  EXPECT_EQ(told, [] {
    std::vector<int> wanted(100, 1);
    wanted[0] = 2;
    return wanted;
  }());
}

}  // namespace
}  // namespace mizzen::proxy
