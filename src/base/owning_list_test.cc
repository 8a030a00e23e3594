#include "base/owning_list.h"

#include <gtest/gtest.h>

#include <string>

namespace mizzen {
namespace {

struct Item : Linked<Item> {
  Item(char name, int& alive) : name(name), alive(alive) { ++alive; }
  ~Item() { --alive; }
  char name;
  int& alive;
};

std::string names(const OwningList<Item>& list) {
  std::string all;
  for (const Item* item = list.first(); item != nullptr; item = item->next()) all += item->name;
  return all;
}

TEST(OwningList, TakesFromEveryPlace) {
  int alive = 0;
  for (int place = 0; place < 3; ++place) {
    OwningList<Item> list;
    EXPECT_TRUE(list.empty());
    Item* items[3];
    for (int i = 0; i < 3; ++i) {
      items[i] = &list.push(std::make_unique<Item>(static_cast<char>('a' + i), alive));
    }
    EXPECT_EQ(names(list), "cba");
    auto taken = list.take(*items[place]);
    EXPECT_EQ(taken.get(), items[place]);
    EXPECT_EQ(names(list), std::string("cba").erase(static_cast<std::size_t>(2 - place), 1));
    list.push(std::move(taken));  // what was taken can come back
    EXPECT_EQ(names(list).front(), 'a' + place);
    EXPECT_EQ(names(list).size(), 3U);
    EXPECT_EQ(alive, 3);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace mizzen
