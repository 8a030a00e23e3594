#include "http/websocket.h"

#include <gtest/gtest.h>

#include <vector>

namespace mizzen::http::websocket {
namespace {

TEST(WebSocket, AcceptKeyOfTheRfc) {
  EXPECT_EQ(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(make_key().size(), 24u);
}

TEST(WebSocket, MessagesOfAllSizesBothWays) {
  for (Role writer : {Role::kClient, Role::kServer}) {
    for (std::size_t size : {0, 1, 125, 126, 65535, 65536, 100000}) {
      std::string bytes;
      append_frame(bytes, writer, Opcode::kBinary, std::string(size, 'x'));
      append_close(bytes, writer, 1000, "bye");
      Reader reader(writer == Role::kClient ? Role::kServer : Role::kClient, 1 << 20);
      std::vector<std::string> got;
      for (std::size_t at = 0; at < bytes.size(); at += 1000) {
        ASSERT_TRUE(reader.feed(std::string_view(bytes).substr(at, 1000),
                                [&](Opcode opcode, std::string_view payload) {
                                  if (opcode == Opcode::kClose) {
                                    EXPECT_EQ(parse_close(payload).code, 1000);
                                    EXPECT_EQ(parse_close(payload).text, "bye");
                                  } else {
                                    got.emplace_back(payload);
                                  }
                                }));
      }
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(got[0], std::string(size, 'x'));
    }
  }
}

TEST(WebSocket, FragmentsWithAPingBetween) {
  Reader reader(Role::kClient, 100);
  std::string got;
  ASSERT_TRUE(reader.feed(std::string("\x01\x02he\x89\x01!\x80\x03llo", 13),
                          [&](Opcode opcode, std::string_view payload) {
                            got += std::to_string(static_cast<int>(opcode)) + std::string(payload) +
                                   ";";
                          }));
  EXPECT_EQ(got, "9!;1hello;");
}

TEST(WebSocket, WhatIsRefused) {
  struct Case {
    const char* what;
    std::string bytes;
    std::uint16_t code;
  };
  const Case cases[] = {
      {"reserved bit", std::string("\xc1\x00", 2), 1002},
      {"unknown opcode", std::string("\x83\x00", 2), 1002},
      {"masked by a server", std::string("\x81\x80\0\0\0\0", 6), 1002},
      {"long control", std::string("\x89\x7e", 2), 1002},
      {"fragmented control", std::string("\x09\x00", 2), 1002},
      {"continuation without start", std::string("\x80\x00", 2), 1002},
      {"start within a message", std::string("\x01\x00\x81\x00", 4), 1002},
      {"length not minimal", std::string("\x82\x7e\x00\x05", 4), 1002},
      {"too large", std::string("\x82\x7e\x01\x00", 4), 1009},
      {"not UTF-8", std::string("\x81\x02\xc3\x28", 4), 1007},
      {"close of one byte", std::string("\x88\x01x", 3), 1002},
  };
  for (const Case& c : cases) {
    Reader reader(Role::kClient, 200);
    EXPECT_FALSE(reader.feed(c.bytes, [](Opcode, std::string_view) {})) << c.what;
    EXPECT_EQ(reader.close_code(), c.code) << c.what;
  }
}

}  // namespace
}  // namespace mizzen::http::websocket
