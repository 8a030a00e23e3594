#include "http/grpc.h"

#include <gtest/gtest.h>

#include <vector>

namespace mizzen::http {
namespace {

using namespace std::chrono_literals;

TEST(Grpc, MessagesInAnyPieces) {
  std::string body;
  grpc_append_message(body, "one");
  grpc_append_message(body, "");
  grpc_append_message(body, "three");
  for (std::size_t step = 1; step <= body.size(); ++step) {
    GrpcReader reader(100);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < body.size(); at += step) {
      ASSERT_TRUE(reader.feed(std::string_view(body).substr(at, step),
                              [&](std::string_view message) { got.emplace_back(message); }));
    }
    EXPECT_EQ(got, (std::vector<std::string>{"one", "", "three"})) << step;
    EXPECT_TRUE(reader.at_boundary());
  }
}

TEST(Grpc, LimitsAndCompression) {
  std::string body;
  grpc_append_message(body, "0123456789");
  EXPECT_FALSE(GrpcReader(9).feed(body, [](std::string_view) {}));
  body[0] = 1;
  EXPECT_FALSE(GrpcReader(100).feed(body, [](std::string_view) {}));
}

TEST(Grpc, Timeouts) {
  EXPECT_EQ(parse_grpc_timeout("1S"), Duration(1s));
  EXPECT_EQ(parse_grpc_timeout("250m"), Duration(250ms));
  EXPECT_EQ(parse_grpc_timeout("2H"), Duration(2h));
  for (const char* bad : {"", "S", "1", "123456789S", "-1S", "1x", "1 S"})
    EXPECT_FALSE(parse_grpc_timeout(bad)) << bad;
  EXPECT_EQ(format_grpc_timeout(5ns), "5n");
  EXPECT_EQ(format_grpc_timeout(15s), "15000000u");
  EXPECT_EQ(format_grpc_timeout(-1s), "0n");
}

TEST(Grpc, StatusAndMessage) {
  Headers headers;
  set_grpc_status(headers, {GrpcCode::kNotFound, "no such 100% caf\xc3\xa9"});
  EXPECT_EQ(headers.get_or("grpc-message", ""), "no such 100%25 caf%C3%A9");
  auto status = grpc_status_of(headers);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, GrpcCode::kNotFound);
  EXPECT_EQ(status->message, "no such 100% caf\xc3\xa9");
  EXPECT_EQ(grpc_code_of_http(503), GrpcCode::kUnavailable);
}

}  // namespace
}  // namespace mizzen::http
