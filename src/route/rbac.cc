#include "route/rbac.h"

#include <algorithm>

namespace mizzen::route {
namespace {

struct Facts {
  const ConnectionView& connection;
  const RequestView* request;
  const MetadataView* metadata;
};

bool in_range(std::string_view address, std::string_view range, std::uint8_t prefix_length) {
  if (address.size() != range.size() || address.empty()) return false;
  std::size_t whole = prefix_length / 8;
  if (whole > address.size() || address.substr(0, whole) != range.substr(0, whole)) return false;
  int bits = prefix_length % 8;
  if (bits == 0) return true;
  if (whole >= address.size()) return false;
  auto mask = static_cast<unsigned char>(0xff << (8 - bits));
  return (static_cast<unsigned char>(address[whole]) & mask) ==
         (static_cast<unsigned char>(range[whole]) & mask);
}

bool authenticated(const RbacRule& rule, const ConnectionView& connection) {
  if (!connection.tls) return false;
  if (!rule.text) return true;
  // URI names first, then DNS names, then the subject: Envoy looks at the first kind that is there,
  // the views come in that order and one that matches is enough.
  return std::ranges::any_of(connection.principals, [&](std::string_view principal) {
    return rule.text->matches(principal);
  });
}

bool metadata_holds(const RbacRule& rule, const MetadataView* metadata) {
  bool holds = false;
  if (metadata) {
    auto values = metadata->values(rule.metadata_filter, rule.metadata_path);
    holds =
        rule.metadata_value
            ? std::ranges::any_of(
                  values, [&](const auto& value) { return rule.metadata_value->matches(value); })
            : !values.empty();
  }
  return holds != rule.invert;
}

bool path_holds(const RbacRule& rule, const RequestView* request) {
  if (!request || !rule.text) return false;
  auto path = request->path();
  return rule.text->matches(path.substr(0, path.find_first_of("?#")));
}

bool holds(const RbacRule& rule, const Facts& facts) {
  auto each = [&](const RbacRule& inner) { return holds(inner, facts); };
  switch (rule.kind) {
    case RbacRule::Kind::kAny:
      return true;
    case RbacRule::Kind::kAnd:
      return std::ranges::all_of(rule.rules, each);
    case RbacRule::Kind::kOr:
      return std::ranges::any_of(rule.rules, each);
    case RbacRule::Kind::kNot:
      return !rule.rules.empty() && !holds(rule.rules.front(), facts);
    case RbacRule::Kind::kHeader:
      return facts.request && matches(rule.header, *facts.request);
    case RbacRule::Kind::kPath:
      return path_holds(rule, facts.request);
    case RbacRule::Kind::kDestinationIp:
      return in_range(facts.connection.destination_ip, rule.ip, rule.prefix_length);
    case RbacRule::Kind::kDestinationPort:
    case RbacRule::Kind::kDestinationPortRange:
      return facts.connection.destination_port >= rule.port_start &&
             facts.connection.destination_port < rule.port_end;
    case RbacRule::Kind::kServerName:
      return rule.text && rule.text->matches(facts.connection.server_name);
    case RbacRule::Kind::kMetadata:
      return metadata_holds(rule, facts.metadata);
    case RbacRule::Kind::kAuthenticated:
      return authenticated(rule, facts.connection);
    case RbacRule::Kind::kDirectSourceIp:
      return in_range(facts.connection.direct_source_ip, rule.ip, rule.prefix_length);
    case RbacRule::Kind::kRemoteIp:
      return in_range(facts.connection.remote_ip, rule.ip, rule.prefix_length);
  }
  return false;
}

}  // namespace

RbacVerdict evaluate(const Rbac& rbac, const ConnectionView& connection, const RequestView* request,
                     const MetadataView* metadata) {
  Facts facts{connection, request, metadata};
  auto each = [&](const RbacRule& rule) { return holds(rule, facts); };
  for (const auto& [name, policy] : rbac.policies) {
    if (std::ranges::any_of(policy.permissions, each) &&
        std::ranges::any_of(policy.principals, each)) {
      return {rbac.action != Rbac::Action::kDeny, name};
    }
  }
  return {rbac.action != Rbac::Action::kAllow, {}};
}

}  // namespace mizzen::route
