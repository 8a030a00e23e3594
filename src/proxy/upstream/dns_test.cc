// The names of a cluster against a resolver that the test answers for, on a clock that it moves.
#include "proxy/upstream/dns.h"

#include <gtest/gtest.h>

#include <deque>

#include "io/sim_loop.h"
#include "proxy/upstream.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Question {
  std::string host;
  io::ResolveFamily family;
  io::Resolver::Done done;
};

class AskedResolver final : public io::Resolver {
 public:
  explicit AskedResolver(std::deque<Question>& asked) : asked_(asked) {}
  void resolve(std::string_view host, std::uint16_t, io::ResolveFamily family, Done done) override {
    asked_.push_back({std::string(host), family, std::move(done)});
  }

 private:
  std::deque<Question>& asked_;
};

class Dns : public ::testing::Test {
 protected:
  Dns() {
    context_.resolver = std::make_unique<AskedResolver>(asked_);
    cluster_->type = Cluster::Type::kStrictDns;
    cluster_->dns_refresh = seconds(60);
  }
  void names(std::initializer_list<const char*> hosts) {
    auto made = std::make_shared<Endpoints>();
    LocalityEndpoints& locality = made->localities.emplace_back();
    for (const char* host : hosts) {
      locality.endpoints.emplace_back().address = {host, 80, false};
    }
    names_.set(std::make_shared<Cluster>(*cluster_), made);
  }
  void answer(std::initializer_list<const char*> addresses, Duration ttl = {}) {
    ASSERT_FALSE(asked_.empty());
    Question question = std::move(asked_.front());
    asked_.pop_front();
    if (addresses.size() == 0) return question.done(fail(Code::kNotFound, "no such name"));
    io::Resolved resolved;
    for (const char* address : addresses) {
      resolved.addresses.push_back(*io::Address::parse_ip(address, 80));
    }
    resolved.ttl = ttl;
    question.done(std::move(resolved));
  }
  // "1.1.1.1 2.2.2.2" of a name.
  std::string known(const char* host) {
    const auto* found = names_.find({host, 80, false});
    std::string text;
    if (found == nullptr) return "?";
    for (const io::Address& address : *found) text += (text.empty() ? "" : " ") + address.ip();
    return text;
  }
  // How long it takes until the next question, while the cluster is in use.
  Duration until_asked() {
    const MonoTime from = loop_.now();
    names_.use();
    loop_.run_until([this] { return !asked_.empty(); }, std::chrono::hours(2));
    return loop_.now() - from;
  }

  io::SimLoop loop_;
  TlsContexts contexts_;
  std::deque<Question> asked_;
  Context context_{loop_, make_shared_limits(), contexts_};
  int answers_ = 0;
  int changes_ = 0;
  DnsNames names_{context_, "c", [this](bool changed) {
                    ++answers_;
                    if (changed) ++changes_;
                  }};
  std::shared_ptr<Cluster> cluster_ = std::make_shared<Cluster>();
};

TEST_F(Dns, AllAddressesOfAllNames) {
  names({"a", "b", "9.9.9.9"});
  EXPECT_EQ(asked_.size(), 2u);
  EXPECT_TRUE(names_.asking());
  answer({"1.1.1.2", "1.1.1.1"});
  EXPECT_EQ(answers_, 0);
  answer({"2.2.2.2"});
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(known("a"), "1.1.1.1 1.1.1.2");
  EXPECT_EQ(known("b"), "2.2.2.2");
  EXPECT_EQ(std::chrono::round<seconds>(until_asked()), seconds(60));
  answer({"1.1.1.1", "1.1.1.2"});
  answer({"2.2.2.2"});
  EXPECT_EQ(changes_, 1);
}

TEST_F(Dns, NotAskedWhileUnused) {
  names({"a"});
  answer({"1.1.1.1"});
  loop_.run_until([this] { return !asked_.empty(); }, std::chrono::minutes(30));
  EXPECT_LE(asked_.size(), 1u);  // the round after the first: set() counts as a use
  if (!asked_.empty()) answer({"1.1.1.1"});
  loop_.run_until([this] { return !asked_.empty(); }, std::chrono::minutes(30));
  EXPECT_TRUE(asked_.empty());
  names_.use();
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(Dns, TheTtlIsTheRefreshWhereItIsRespected) {
  cluster_->dns_respect_ttl = true;
  names({"a", "b"});
  answer({"1.1.1.1"}, seconds(30));
  answer({"2.2.2.2"}, seconds(7));
  EXPECT_EQ(std::chrono::round<seconds>(until_asked()), seconds(7));
}

TEST_F(Dns, AFailureKeepsTheOldAndBacksOff) {
  cluster_->dns_failure_refresh.emplace(seconds(1), seconds(4));
  names({"a"});
  answer({"1.1.1.1"});
  until_asked();
  answer({});
  EXPECT_EQ(known("a"), "1.1.1.1");
  for (int i = 0; i < 5; ++i) {
    const Duration waited = until_asked();
    EXPECT_GE(waited, milliseconds(100));
    EXPECT_LE(waited, seconds(4) + milliseconds(50));
    answer({});
  }
  until_asked();
  answer({"1.1.1.2"});
  EXPECT_EQ(known("a"), "1.1.1.2");
  EXPECT_EQ(std::chrono::round<seconds>(until_asked()), seconds(60));
}

TEST_F(Dns, Families) {
  struct Row {
    DnsFamily family;
    io::ResolveFamily asked;
    const char* known;
  };
  for (const Row& row : {Row{DnsFamily::kV4Only, io::ResolveFamily::kIpv4, "1.1.1.1"},
                         Row{DnsFamily::kV6Only, io::ResolveFamily::kIpv6, "::1"},
                         Row{DnsFamily::kV4Preferred, io::ResolveFamily::kAny, "1.1.1.1"},
                         Row{DnsFamily::kAuto, io::ResolveFamily::kAny, "::1"},
                         Row{DnsFamily::kAll, io::ResolveFamily::kAny, "1.1.1.1 ::1"}}) {
    cluster_->dns_family = row.family;
    names({"a"});
    EXPECT_EQ(asked_.front().family, row.asked);
    answer({"::1", "1.1.1.1"});
    EXPECT_EQ(known("a"), row.known);
  }
}

TEST_F(Dns, ALogicalNameIsOneAddressAtATime) {
  cluster_->type = Cluster::Type::kLogicalDns;
  names({"a"});
  answer({"1.1.1.3", "1.1.1.1"});
  EXPECT_EQ(known("a"), "1.1.1.3");
  until_asked();
  answer({"1.1.1.1", "1.1.1.3"});  // another order is no change
  EXPECT_EQ(known("a"), "1.1.1.3");
  EXPECT_EQ(changes_, 1);
  EXPECT_TRUE(names_.leave(*io::Address::parse_ip("1.1.1.3", 80)));
  EXPECT_EQ(known("a"), "1.1.1.1");
  EXPECT_FALSE(names_.leave(*io::Address::parse_ip("1.1.1.3", 80)));
  until_asked();
  answer({"1.1.1.9"});
  EXPECT_EQ(known("a"), "1.1.1.9");
  EXPECT_FALSE(names_.leave(*io::Address::parse_ip("1.1.1.9", 80)));
}

TEST_F(Dns, OtherNamesMeanwhile) {
  names({"a"});
  names({"b"});
  EXPECT_EQ(asked_.size(), 1u);
  answer({"1.1.1.1"});
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_.front().host, "b");
  answer({"2.2.2.2"});
  EXPECT_EQ(known("b"), "2.2.2.2");
}

}  // namespace
}  // namespace mizzen::proxy::upstream
