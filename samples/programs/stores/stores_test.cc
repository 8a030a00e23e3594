#include <gtest/gtest.h>

#include "io/loop.h"
#include "samples/stores/documents.h"
#include "samples/stores/mysql_client.h"
#include "samples/stores/mysql_server.h"
#include "samples/stores/queue.h"
#include "samples/stores/redis.h"

namespace mizzen::samples {
namespace {

constexpr auto kLimit = std::chrono::seconds(10);

Json parsed(const char* text) { return Json::parse(text); }

TEST(Documents, PutFindRemove) {
  Documents store;
  EXPECT_TRUE(store.answer(parsed(R"({"op":"put","in":"c","doc":{"id":"1","owner":"x"}})"))
                  .contains("docs"));
  store.answer(parsed(R"({"op":"put","in":"c","doc":{"id":"2","owner":"x","n":3}})"));
  store.answer(parsed(R"({"op":"put","in":"c","doc":{"id":"1","owner":"y"}})"));
  auto found = [&](const char* where) {
    return store.answer({{"op", "find"}, {"in", "c"}, {"where", parsed(where)}})["docs"].size();
  };
  EXPECT_EQ(found("{}"), 2U);
  EXPECT_EQ(found(R"({"owner":"x"})"), 1U);
  EXPECT_EQ(found(R"({"owner":"x","n":4})"), 0U);
  EXPECT_EQ(store.answer(parsed(R"({"op":"remove","in":"c","where":{"id":"2"}})"))["removed"], 1);
  EXPECT_EQ(found("{}"), 1U);
}

TEST(Documents, RefusesWhatIsNoRequest) {
  Documents store;
  for (const char* text :
       {"3", "{}", R"({"in":3})", R"({"in":"c","op":"drop"})", R"({"in":"c","op":"put","doc":{}})",
        R"({"in":"c","op":"find","where":[]})"}) {
    EXPECT_TRUE(store.answer(parsed(text)).contains("error")) << text;
  }
}

TEST(Resp, WholeValuesOnly) {
  std::string bytes = "$5\r\nhel";
  EXPECT_FALSE(take_resp(bytes));
  bytes += "lo\r\n:7\r\n$-1\r\n*2\r\n+a\r\n:1\r\n-ERR no\r\n";
  EXPECT_EQ(take_resp(bytes)->answer.value(), Json("hello"));
  EXPECT_EQ(take_resp(bytes)->answer.value(), Json(7));
  EXPECT_TRUE(take_resp(bytes)->answer.value().is_null());
  EXPECT_EQ(take_resp(bytes)->answer.value().dump(), R"(["a",1])");
  EXPECT_EQ(take_resp(bytes)->answer.error().message, "ERR no");
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(resp_command({"GET", "a b"}), "*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
}

TEST(Resp, WhatIsNotRespBreaks) {
  for (const char* text : {"HTTP/1.1 200 OK\r\n", "$x\r\n", "*99999999999\r\n", "\r\n"}) {
    std::string bytes = text;
    auto taken = take_resp(bytes);
    ASSERT_TRUE(taken) << text;
    EXPECT_TRUE(taken->broken) << text;
  }
}

TEST(Mysql, ServesItsOwnClient) {
  io::EpollLoop loop;
  auto server =
      MysqlServer::make("CREATE TABLE t (a TEXT, b INT); INSERT INTO t VALUES ('x', 1), (NULL, 2);",
                        {{"me", "secret"}});
  ASSERT_TRUE(server) << server.error().message;
  auto listening = (*server)->serve(loop, 0);
  ASSERT_TRUE(listening) << listening.error().message;
  MysqlClient client(loop, "127.0.0.1", (*listening)->port(), {"me", "secret", "db"});
  int answers = 0;
  client.query("SELECT a, b FROM t ORDER BY b", [&](const Result<MysqlClient::Rows>& rows) {
    ++answers;
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_EQ(*rows, (MysqlClient::Rows{{"x", "1"}, {"", "2"}}));
  });
  client.query("SELECT b FROM t WHERE a = 'x'", [&](const Result<MysqlClient::Rows>& rows) {
    ++answers;
    ASSERT_TRUE(rows);
    EXPECT_EQ(*rows, (MysqlClient::Rows{{"1"}}));
  });
  client.query("SELECT a FROM nowhere", [&](const Result<MysqlClient::Rows>& rows) {
    ++answers;
    ASSERT_FALSE(rows);
    EXPECT_NE(rows.error().message.find("nowhere"), std::string::npos) << rows.error().message;
  });
  client.query("DELETE FROM t", [&](const Result<MysqlClient::Rows>& rows) {
    ++answers;
    ASSERT_TRUE(rows);
    EXPECT_TRUE(rows->empty());
  });
  EXPECT_TRUE(loop.run_until([&] { return answers == 4; }, kLimit));
  MysqlClient stranger(loop, "127.0.0.1", (*listening)->port(), {"me", "wrong", ""});
  stranger.query("SELECT 1", [&](const Result<MysqlClient::Rows>& rows) {
    ++answers;
    ASSERT_FALSE(rows);
    EXPECT_NE(rows.error().message.find("Access denied"), std::string::npos);
  });
  EXPECT_TRUE(loop.run_until([&] { return answers == 5; }, kLimit));
}

TEST(Mysql, PacketsAndLengths) {
  std::string bytes = mysql::packet(3, "hello");
  std::string half = bytes.substr(0, 6);
  EXPECT_FALSE(mysql::take_packet(half).value());
  auto whole = mysql::take_packet(bytes).value();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->sequence, 3);
  EXPECT_EQ(whole->body, "hello");
  for (std::uint64_t value : {0UL, 250UL, 251UL, 65535UL, 65536UL, 1UL << 24, 1UL << 40}) {
    std::string text;
    mysql::append_length(text, value);
    mysql::Reader reader(text);
    EXPECT_EQ(reader.length(), value);
    EXPECT_TRUE(reader.ok() && reader.rest().empty());
  }
  EXPECT_FALSE(mysql::parse_login("x"));
  EXPECT_FALSE(mysql::parse_greeting("\x0a"));
}

TEST(Queue, MessagesWaitForAConsumerAndGoToOne) {
  io::EpollLoop loop;
  QueueServer server;
  auto listening = server.serve(loop, 0);
  ASSERT_TRUE(listening) << listening.error().message;
  InOrderClient publisher(loop, "127.0.0.1", (*listening)->port(), take_json_line);
  int queued = 0;
  for (int i = 0; i < 3; ++i) {
    publisher.ask(Json{{"publish", "q"}, {"body", i}}.dump() + "\n",
                  [&](const Result<Json>& answer) { queued += answer ? 1 : 0; });
  }
  ASSERT_TRUE(loop.run_until([&] { return queued == 3; }, kLimit));
  std::vector<int> got;
  QueueConsumer consumer(loop, "127.0.0.1", (*listening)->port(), "q",
                         [&](const Json& body) { got.push_back(body.get<int>()); });
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 3; }, kLimit));
  EXPECT_EQ(got, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(server.state()[0]["messages"], 0);
  EXPECT_EQ(server.state()[0]["consumers"], 1);
}

}  // namespace
}  // namespace mizzen::samples
