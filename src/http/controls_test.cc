#include "http/controls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace mizzen::http {
namespace {

std::size_t found_at(const std::string& text) {
  const char* begin = text.data();
  return static_cast<std::size_t>(find_control(begin, begin + text.size()) - begin);
}

// Every byte at every place of texts of every length up to three words, among such as a borrow
// might carry into.
TEST(Controls, AreFoundAsByALoop) {
  for (const char other : {'a', '\t', ' ', '\x80', '\xff', '\x7e'}) {
    for (std::size_t length = 0; length <= 24; ++length) {
      EXPECT_EQ(found_at(std::string(length, other)), length);
      for (std::size_t at = 0; at < length; ++at) {
        for (int byte = 0; byte < 256; ++byte) {
          std::string text(length, other);
          text[at] = static_cast<char>(byte);
          const auto plain = std::ranges::find_if(text, is_control) - text.begin();
          ASSERT_EQ(found_at(text), static_cast<std::size_t>(plain)) << at << " of " << length;
        }
      }
    }
  }
}

TEST(Controls, TheFirstOfSeveral) {
  for (std::size_t first = 0; first < 16; ++first) {
    for (std::size_t second = first + 1; second < 16; ++second) {
      std::string text(16, '\t');
      text[first] = '\x1f';
      text[second] = '\x7f';
      EXPECT_EQ(found_at(text), first);
      std::swap(text[first], text[second]);
      EXPECT_EQ(found_at(text), first);
    }
  }
}

}  // namespace
}  // namespace mizzen::http
