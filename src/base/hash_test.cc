#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace mizzen {
namespace {

TEST(Hash, Xxh64OfItsSpecification) {
  EXPECT_EQ(xxh64(""), 0xef46db3751d8e999U);
  EXPECT_EQ(xxh64("a"), 0xd24ec4f1a98c6e5bU);
  EXPECT_EQ(xxh64("abc"), 0x44bc2cf5ad770999U);
  EXPECT_EQ(xxh64("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1U);
}

// libstdc++'s hash of strings is the function that Envoy names MURMUR_HASH_2.
TEST(Hash, Murmur2) {
  for (std::size_t length = 0; length < 40; ++length) {
    std::string text(length, 'x');
    if (length > 3) text[3] = static_cast<char>(0xf1);
    EXPECT_EQ(murmur2(text), std::hash<std::string>{}(text)) << length;
  }
}

}  // namespace
}  // namespace mizzen
