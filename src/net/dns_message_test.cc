#include "net/dns_message.h"

#include <gtest/gtest.h>

namespace mizzen::net::dns {
namespace {

std::string query_for(std::string_view wire_name, char type) {
  std::string m("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  m += wire_name;
  m += std::string("\0\0", 2);
  m.back() = type;
  m += std::string("\0\1", 2);
  return m;
}

TEST(DnsMessage, AnswersWithTheQuestionAndItsAddresses) {
  std::string m = query_for(std::string_view("\7Reviews\7default\0", 17), 1);
  auto query = parse_query(m);
  ASSERT_TRUE(query);
  EXPECT_EQ(query->name, "reviews.default");
  EXPECT_EQ(query->type, kTypeA);
  std::string reply = encode_answer(m, *query, {.addresses = {0x0A600001}});
  EXPECT_EQ(reply.substr(0, 2), "\x12\x34");
  EXPECT_EQ(reply[7], 1);
  EXPECT_EQ(reply.substr(reply.size() - 4), std::string("\x0A\x60\x00\x01", 4));
}

TEST(DnsMessage, OtherTypesOfAKnownNameAreEmptyNotMissing) {
  std::string m = query_for(std::string_view("\1a\0", 3), 28);
  auto query = parse_query(m);
  ASSERT_TRUE(query);
  std::string reply = encode_answer(m, *query, {.addresses = {1}});
  EXPECT_EQ(reply[7], 0);
  EXPECT_EQ(reply[3] & 15, 0);
}

TEST(DnsMessage, RefusesWhatIsNotOnePlainQuestion) {
  EXPECT_FALSE(parse_query(""));
  EXPECT_FALSE(parse_query(std::string(17, '\0')));
  std::string m = query_for(std::string_view("\xc0\x0c", 2), 1);
  EXPECT_FALSE(parse_query(m));
  std::string cut = query_for(std::string_view("\1a\0", 3), 1);
  for (std::size_t n = 0; n < cut.size(); ++n) EXPECT_FALSE(parse_query(cut.substr(0, n))) << n;
}

}  // namespace
}  // namespace mizzen::net::dns
