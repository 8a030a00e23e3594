#include "route/rbac.h"

#include <gtest/gtest.h>

namespace mizzen::route {
namespace {

RbacRule any() { return {}; }
RbacRule of(RbacRule::Kind kind, std::vector<RbacRule> rules) {
  RbacRule rule;
  rule.kind = kind;
  rule.rules = std::move(rules);
  return rule;
}
RbacRule identity(std::string_view regex) {
  RbacRule rule;
  rule.kind = RbacRule::Kind::kAuthenticated;
  rule.text = *StringMatcher::of_regex(regex);
  return rule;
}
RbacRule address(RbacRule::Kind kind, std::string bytes, std::uint8_t length) {
  RbacRule rule;
  rule.kind = kind;
  rule.ip = std::move(bytes);
  rule.prefix_length = length;
  return rule;
}
RbacRule port(std::uint32_t start, std::uint32_t end) {
  RbacRule rule;
  rule.kind = RbacRule::Kind::kDestinationPort;
  rule.port_start = start;
  rule.port_end = end;
  return rule;
}

TEST(Rbac, RulesHold) {
  ConnectionView connection;
  connection.destination_port = 9080;
  connection.direct_source_ip = std::string_view("\x0a\x00\x00\x05", 4);
  const std::string_view principals[] = {"spiffe://cluster.local/ns/default/sa/productpage"};
  connection.principals = principals;
  connection.tls = true;
  using Kind = RbacRule::Kind;
  struct Row {
    const char* what;
    RbacRule rule;
    bool holds;
  };
  RbacRule never = of(Kind::kNot, {any()});
  RbacRule header;
  header.kind = Kind::kHeader;
  const Row rows[] = {
      {"any", any(), true},
      {"not any", never, false},
      {"and", of(Kind::kAnd, {any(), never}), false},
      {"or", of(Kind::kOr, {never, any()}), true},
      {"namespace", identity(".*/ns/default/.*"), true},
      {"other namespace", identity(".*/ns/other/.*"), false},
      {"port", port(9080, 9081), true},
      {"other port", port(80, 81), false},
      {"source /32", address(Kind::kDirectSourceIp, {"\x0a\x00\x00\x05", 4}, 32), true},
      {"source /30", address(Kind::kDirectSourceIp, {"\x0a\x00\x00\x06", 4}, 30), true},
      {"source /31", address(Kind::kDirectSourceIp, {"\x0a\x00\x00\x06", 4}, 31), false},
      {"source /0", address(Kind::kDirectSourceIp, {"\x01\x00\x00\x00", 4}, 0), true},
      {"header of a TCP connection", header, false},
  };
  for (const Row& row : rows) {
    for (auto action : {Rbac::Action::kAllow, Rbac::Action::kDeny}) {
      Rbac rbac{action, {{"p", {{row.rule}, {any()}}}}};
      bool allowed = evaluate(rbac, connection, nullptr, nullptr).allowed;
      EXPECT_EQ(allowed, row.holds == (action == Rbac::Action::kAllow)) << row.what;
    }
  }
}

TEST(Rbac, NoPolicies) {
  EXPECT_FALSE(evaluate({Rbac::Action::kAllow, {}}, {}, nullptr, nullptr).allowed);
  EXPECT_TRUE(evaluate({Rbac::Action::kDeny, {}}, {}, nullptr, nullptr).allowed);
}

TEST(Rbac, WithoutMutualTlsThereIsNoIdentity) {
  Rbac rbac{Rbac::Action::kAllow, {{"p", {{any()}, {identity(".*")}}}}};
  EXPECT_FALSE(evaluate(rbac, {}, nullptr, nullptr).allowed);
}

}  // namespace
}  // namespace mizzen::route
