#include "base/copy.h"

#include <gtest/gtest.h>

#include <string>

namespace mizzen {
namespace {

TEST(Copy, EveryLengthAndNothingBeside) {
  std::string from;
  for (std::size_t size = 0; size < 100; ++size) {
    std::string to(size + 2, '.');
    EXPECT_EQ(copy_short(to.data() + 1, from), to.data() + 1 + size);
    EXPECT_EQ(to, "." + from + ".");
    from += static_cast<char>('A' + size);
  }
}

}  // namespace
}  // namespace mizzen
