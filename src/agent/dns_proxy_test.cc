#include "agent/dns_proxy.h"

#include <gtest/gtest.h>

#include "istio/nds.pb.h"

namespace mizzen::agent {
namespace {

constexpr Duration kAnswerLimit = std::chrono::seconds(10);

std::string query_for(std::string_view name, std::uint8_t type = 1) {
  std::string m("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    m += static_cast<char>(dot);
    m += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  m += '\0';
  m += '\0';
  m += static_cast<char>(type);
  m += std::string("\0\1", 2);
  return m;
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int rcode(const std::string& reply) { return reply[3] & 15; }
int answers(const std::string& reply) { return reply[7]; }

class DnsProxyTest : public ::testing::Test {
 protected:
  DnsProxyTest() {
    // A name server that answers whatever it is asked with one address, or not at all.
    server_ = *io::Datagram::bind(
        loop_, *io::Address::parse_ip("127.0.0.1", 0),
        [this](std::span<const std::byte> bytes, const io::Address& from, const io::Address&) {
          ++asked_;
          const auto query = net::dns::parse_query(text(bytes));
          ASSERT_TRUE(query);
          ids_.push_back(query->id);
          if (mute_) return;
          const std::string reply = net::dns::encode_answer(
              text(bytes), *query, {.addresses = {0x01020304}, .canonical = {}});
          (void)server_->send(std::as_bytes(std::span(reply)), from);
        });
    client_ = *io::Datagram::bind(loop_, *io::Address::parse_ip("127.0.0.1", 0),
                                  [this](std::span<const std::byte> bytes, const io::Address&,
                                         const io::Address&) { reply_ = text(bytes); });
    DnsProxyOptions options;
    options.listen = *io::Address::parse_ip("127.0.0.1", 0);
    options.servers = {server_->address(), server_->address()};
    options.try_time = std::chrono::milliseconds(50);
    proxy_ = std::move(*DnsProxy::start(loop_, options));
    istio::networking::nds::v1::NameTable table;
    (*table.mutable_table())["db.example.com"].add_ips("240.240.0.7");
    (*table.mutable_table())["*.wild.example"].add_ips("192.0.2.1");
    EXPECT_TRUE(proxy_->set_names(table.SerializeAsString()));
  }

  std::string ask(const std::string& query) {
    reply_.clear();
    EXPECT_TRUE(client_->send(std::as_bytes(std::span(query)), proxy_->address()));
    EXPECT_TRUE(loop_.run_until([this] { return !reply_.empty(); }, kAnswerLimit));
    return reply_;
  }

  io::EpollLoop loop_;
  std::unique_ptr<io::Datagram> server_;
  std::unique_ptr<io::Datagram> client_;
  std::unique_ptr<DnsProxy> proxy_;
  std::string reply_;
  int asked_ = 0;
  bool mute_ = false;
  std::vector<std::uint16_t> ids_;
};

TEST_F(DnsProxyTest, KnowsTheNamesOfTheTable) {
  const std::string reply = ask(query_for("DB.example.com"));
  EXPECT_EQ(reply.substr(0, 2), "\x12\x34");
  EXPECT_EQ(reply.substr(reply.size() - 4), "\xF0\xF0" + std::string("\0\7", 2));
  EXPECT_EQ(answers(ask(query_for("a.b.wild.example"))), 1);
  EXPECT_EQ(asked_, 0);
}

TEST_F(DnsProxyTest, OtherRecordsOfAKnownNameAreEmpty) {
  const std::string reply = ask(query_for("db.example.com", 28));
  EXPECT_EQ(rcode(reply), 0);
  EXPECT_EQ(answers(reply), 0);
  EXPECT_EQ(asked_, 0);
}

TEST_F(DnsProxyTest, AsksTheServersForTheRest) {
  const std::string reply = ask(query_for("wild.example"));
  EXPECT_EQ(reply.substr(0, 2), "\x12\x34");
  EXPECT_EQ(reply.substr(reply.size() - 4), "\x01\x02\x03\x04");
  EXPECT_EQ(asked_, 1);
}

TEST_F(DnsProxyTest, SaysWhenNoServerAnswers) {
  mute_ = true;
  EXPECT_EQ(rcode(ask(query_for("gone.example"))), 2);
  EXPECT_EQ(asked_, 2);
}

TEST_F(DnsProxyTest, BrokenTablesLeaveTheNames) {
  EXPECT_FALSE(proxy_->set_names("\xff\xff\xff"));
  EXPECT_EQ(proxy_->names(), 2U);
}

TEST(NameServers, OfResolvConf) {
  const auto servers = read_name_servers(
      "# own\nsearch a b\nnameserver 10.96.0.10\nnameserver  fe80::zz\n"
      "options ndots:5\nnameserver 1.1.1.1\n");
  ASSERT_EQ(servers.size(), 2U);
  EXPECT_EQ(servers[0].to_string(), "10.96.0.10:53");
}

}  // namespace
}  // namespace mizzen::agent
