#include "http/h1_head.h"

#include <gtest/gtest.h>

#include <array>
#include <span>
#include <string>

namespace mizzen::http {
namespace {

// Names of every length below three words of eight, every character at each of their places.
TEST(H1Head, NamesAreTokensMadeLower) {
  const std::string full = "X-Abcdefghijklmno";
  for (std::size_t size = 1; size <= full.size(); ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int c = 1; c < 256; ++c) {
        if (c == ':') continue;
        std::string name = full.substr(0, size);
        name[at] = static_cast<char>(c);
        RequestHead head;
        const auto read = h1::parse_request(
            "GET / HTTP/1.1\r\nhost: a\r\n" + name + ":VALUE-Ab\r\n\r\n", {}, head);
        ASSERT_EQ(read.has_value(), is_token(name)) << c << " at " << at << " of " << size;
        if (!read) continue;
        for (char& each : name) {
          if (each >= 'A' && each <= 'Z') each = static_cast<char>(each | 0x20);
        }
        ASSERT_EQ(head.headers.size(), 1U);
        ASSERT_EQ(head.headers.begin()->name, name);
        ASSERT_EQ(head.headers.begin()->value, "VALUE-Ab");
      }
    }
  }
}

TEST(H1Head, LinesOfEveryLengthAreWrittenWhole) {
  const std::string text(600, 'v');
  Output out;
  std::string wanted;
  for (const std::size_t name : {1, 3, 4, 7, 8, 15, 16, 31, 32, 33}) {
    for (std::size_t value = 0; value <= text.size(); ++value) {
      Headers headers;
      headers.add(std::string(name, 'n'), std::string_view(text).substr(0, value));
      h1::write_fields(out, headers, {});
      wanted.append(name, 'n').append(": ").append(value, 'v').append("\r\n");
    }
  }
  std::string written;
  std::array<iovec, 4> pieces;
  while (const std::size_t count = out.show(pieces)) {
    for (const iovec& piece : std::span(pieces).first(count)) {
      written.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      out.drop(piece.iov_len);
    }
  }
  EXPECT_EQ(written, wanted);
}

}  // namespace
}  // namespace mizzen::http
