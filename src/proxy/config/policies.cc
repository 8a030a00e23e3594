#include <fmt/format.h>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace rbac = envoy::config::rbac::v3;
using envoy::extensions::filters::http::cors::v3::CorsPolicy;
using envoy::extensions::filters::http::fault::v3::HTTPFault;
using envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;
using Kind = route::RbacRule::Kind;

// Deep rules cost a stack frame each, here and for every request.
constexpr int kMaxDepth = 32;

Result<std::shared_ptr<const route::Cors>> compile_cors(const CorsPolicy& proto) {
  auto cors = std::make_shared<route::Cors>();
  for (const auto& origin : proto.allow_origin_string_match()) {
    MIZZEN_TRY(auto matcher, compile_string(origin));
    cors->origins.push_back(std::move(matcher));
  }
  cors->allow_methods = proto.allow_methods();
  cors->allow_headers = proto.allow_headers();
  cors->expose_headers = proto.expose_headers();
  cors->max_age = proto.max_age();
  if (proto.has_allow_credentials()) cors->allow_credentials = proto.allow_credentials().value();
  if (proto.has_forward_not_matching_preflights()) {
    cors->forward_unmatched_preflights = proto.forward_not_matching_preflights().value();
  }
  if (proto.has_filter_enabled()) {
    cors->enabled = proto.filter_enabled().default_value().numerator() > 0;
  }
  return cors;
}

Status too_deep() { return fail(Code::kLimit, "rules are nested more than 32 deep"); }

template <class Proto, class Compile>
Status compile_list(const Proto& list, route::RbacRule& to, Compile compile) {
  for (const auto& inner : list) {
    MIZZEN_TRY(auto rule, compile(inner));
    to.rules.push_back(std::move(rule));
  }
  return {};
}

Status set_range(const envoy::config::core::v3::CidrRange& range, Kind kind,
                 route::RbacRule& rule) {
  rule.kind = kind;
  MIZZEN_TRY(auto cidr, compile_cidr(range));
  rule.ip = std::move(cidr.bytes);
  rule.prefix_length = cidr.prefix_length;
  return {};
}

Status set_text(const envoy::type::matcher::v3::StringMatcher& matcher, Kind kind,
                route::RbacRule& rule) {
  rule.kind = kind;
  MIZZEN_TRY(rule.text, compile_string(matcher));
  return {};
}

Status set_header(const envoy::config::route::v3::HeaderMatcher& matcher, route::RbacRule& rule) {
  rule.kind = Kind::kHeader;
  MIZZEN_TRY(rule.header, compile_header(matcher));
  return {};
}

// A string, a list with one string rule, or presence: what Istio writes.
Status set_value(const envoy::type::matcher::v3::ValueMatcher& value, route::RbacRule& rule) {
  using Value = envoy::type::matcher::v3::ValueMatcher;
  switch (value.match_pattern_case()) {
    case Value::kStringMatch: {
      MIZZEN_TRY(rule.metadata_value, compile_string(value.string_match()));
      return {};
    }
    case Value::kListMatch:
      return set_value(value.list_match().one_of(), rule);
    case Value::kPresentMatch:
      if (value.present_match()) return {};
      break;
    case Value::kOrMatch: {
      if (value.or_match().value_matchers_size() == 1) {
        return set_value(value.or_match().value_matchers(0), rule);
      }
      break;
    }
    default:
      break;
  }
  return fail(Code::kUnsupported,
              "metadata.value: only string_match, list_match and present_match "
              "are supported by this proxy");
}

Status set_metadata(const envoy::type::matcher::v3::MetadataMatcher& matcher,
                    route::RbacRule& rule) {
  rule.kind = Kind::kMetadata;
  rule.metadata_filter = matcher.filter();
  for (const auto& segment : matcher.path()) rule.metadata_path.push_back(segment.key());
  rule.invert = matcher.invert();
  return set_value(matcher.value(), rule);
}

Result<route::RbacRule> compile_permission(const rbac::Permission& proto, int depth) {
  if (depth > kMaxDepth) return std::unexpected(too_deep().error());
  route::RbacRule rule;
  auto inner = [&](const rbac::Permission& each) { return compile_permission(each, depth + 1); };
  switch (proto.rule_case()) {
    case rbac::Permission::kAny:
      return rule;
    case rbac::Permission::kAndRules:
      rule.kind = Kind::kAnd;
      MIZZEN_CHECKED(compile_list(proto.and_rules().rules(), rule, inner));
      return rule;
    case rbac::Permission::kOrRules:
      rule.kind = Kind::kOr;
      MIZZEN_CHECKED(compile_list(proto.or_rules().rules(), rule, inner));
      return rule;
    case rbac::Permission::kNotRule: {
      rule.kind = Kind::kNot;
      MIZZEN_TRY(auto negated, inner(proto.not_rule()));
      rule.rules.push_back(std::move(negated));
      return rule;
    }
    case rbac::Permission::kHeader:
      MIZZEN_CHECKED(set_header(proto.header(), rule));
      return rule;
    case rbac::Permission::kUrlPath:
      MIZZEN_CHECKED(set_text(proto.url_path().path(), Kind::kPath, rule));
      return rule;
    case rbac::Permission::kDestinationIp:
      MIZZEN_CHECKED(set_range(proto.destination_ip(), Kind::kDestinationIp, rule));
      return rule;
    case rbac::Permission::kDestinationPort:
      rule.kind = Kind::kDestinationPort;
      rule.port_start = proto.destination_port();
      rule.port_end = rule.port_start + 1;
      return rule;
    case rbac::Permission::kDestinationPortRange:
      rule.kind = Kind::kDestinationPortRange;
      rule.port_start = static_cast<std::uint32_t>(proto.destination_port_range().start());
      rule.port_end = static_cast<std::uint32_t>(proto.destination_port_range().end());
      return rule;
    case rbac::Permission::kMetadata:
      MIZZEN_CHECKED(set_metadata(proto.metadata(), rule));
      return rule;
    case rbac::Permission::kRequestedServerName:
      MIZZEN_CHECKED(set_text(proto.requested_server_name(), Kind::kServerName, rule));
      return rule;
    default:
      return fail(Code::kUnsupported, "permissions: this kind of rule is not supported");
  }
}

Result<route::RbacRule> compile_principal(const rbac::Principal& proto, int depth) {
  if (depth > kMaxDepth) return std::unexpected(too_deep().error());
  route::RbacRule rule;
  auto inner = [&](const rbac::Principal& each) { return compile_principal(each, depth + 1); };
  switch (proto.identifier_case()) {
    case rbac::Principal::kAny:
      return rule;
    case rbac::Principal::kAndIds:
      rule.kind = Kind::kAnd;
      MIZZEN_CHECKED(compile_list(proto.and_ids().ids(), rule, inner));
      return rule;
    case rbac::Principal::kOrIds:
      rule.kind = Kind::kOr;
      MIZZEN_CHECKED(compile_list(proto.or_ids().ids(), rule, inner));
      return rule;
    case rbac::Principal::kNotId: {
      rule.kind = Kind::kNot;
      MIZZEN_TRY(auto negated, inner(proto.not_id()));
      rule.rules.push_back(std::move(negated));
      return rule;
    }
    case rbac::Principal::kAuthenticated:
      rule.kind = Kind::kAuthenticated;
      if (proto.authenticated().has_principal_name()) {
        MIZZEN_TRY(rule.text, compile_string(proto.authenticated().principal_name()));
      }
      return rule;
    case rbac::Principal::kSourceIp:
      MIZZEN_CHECKED(set_range(proto.source_ip(), Kind::kRemoteIp, rule));
      return rule;
    case rbac::Principal::kDirectRemoteIp:
      MIZZEN_CHECKED(set_range(proto.direct_remote_ip(), Kind::kDirectSourceIp, rule));
      return rule;
    case rbac::Principal::kRemoteIp:
      MIZZEN_CHECKED(set_range(proto.remote_ip(), Kind::kRemoteIp, rule));
      return rule;
    case rbac::Principal::kHeader:
      MIZZEN_CHECKED(set_header(proto.header(), rule));
      return rule;
    case rbac::Principal::kUrlPath:
      MIZZEN_CHECKED(set_text(proto.url_path().path(), Kind::kPath, rule));
      return rule;
    case rbac::Principal::kMetadata:
      MIZZEN_CHECKED(set_metadata(proto.metadata(), rule));
      return rule;
    default:
      return fail(Code::kUnsupported, "principals: this kind of rule is not supported");
  }
}

}  // namespace

Result<std::shared_ptr<const route::Rbac>> compile_rbac(const rbac::RBAC& proto) {
  auto made = std::make_shared<route::Rbac>();
  switch (proto.action()) {
    case rbac::RBAC::ALLOW:
      made->action = route::Rbac::Action::kAllow;
      break;
    case rbac::RBAC::DENY:
      made->action = route::Rbac::Action::kDeny;
      break;
    default:
      made->action = route::Rbac::Action::kLog;
  }
  for (const auto& [name, policy] : proto.policies()) {
    route::RbacPolicy& to = made->policies[name];
    for (const auto& permission : policy.permissions()) {
      auto rule = compile_permission(permission, 0);
      if (!rule) return std::unexpected(rule.error().in("policy '" + name + "'"));
      to.permissions.push_back(std::move(*rule));
    }
    for (const auto& principal : policy.principals()) {
      auto rule = compile_principal(principal, 0);
      if (!rule) return std::unexpected(rule.error().in("policy '" + name + "'"));
      to.principals.push_back(std::move(*rule));
    }
  }
  return made;
}

Result<std::shared_ptr<const route::Fault>> compile_fault(const HTTPFault& proto) {
  auto fault = std::make_shared<route::Fault>();
  if (proto.has_delay()) {
    fault->delay = duration_of(proto.delay().fixed_delay());
    MIZZEN_TRY(fault->delay_share, compile_fraction(proto.delay().percentage()));
  }
  if (proto.has_abort()) {
    MIZZEN_TRY(fault->abort_share, compile_fraction(proto.abort().percentage()));
    if (proto.abort().grpc_status() != 0) {
      fault->abort_grpc_status = static_cast<std::int32_t>(proto.abort().grpc_status());
    } else if (proto.abort().http_status() >= 200 && proto.abort().http_status() < 600) {
      fault->abort_status = static_cast<std::uint16_t>(proto.abort().http_status());
    } else {
      return fail(Code::kInvalid, "abort.http_status: must be 200 to 599");
    }
  }
  for (const auto& header : proto.headers()) {
    MIZZEN_TRY(auto matcher, compile_header(header));
    fault->headers.push_back(std::move(matcher));
  }
  fault->upstream_cluster = proto.upstream_cluster();
  if (proto.has_max_active_faults()) fault->max_active = proto.max_active_faults().value();
  return fault;
}

Result<std::shared_ptr<const route::LocalRateLimit>> compile_rate_limit(
    const google::protobuf::Any& any, const CompileContext& context) {
  MIZZEN_TRY(auto proto, unpack<LocalRateLimit>(any, context));
  auto limit = std::make_shared<route::LocalRateLimit>();
  limit->stat_prefix = proto.stat_prefix();
  limit->max_tokens = proto.token_bucket().max_tokens();
  if (proto.token_bucket().has_tokens_per_fill()) {
    limit->tokens_per_fill = proto.token_bucket().tokens_per_fill().value();
  }
  limit->fill_interval = duration_of(proto.token_bucket().fill_interval());
  if (proto.has_token_bucket() && limit->fill_interval <= Duration::zero()) {
    return fail(Code::kInvalid, "token_bucket.fill_interval: must be above 0");
  }
  if (proto.status().code() >= 400) {
    limit->status = static_cast<std::uint16_t>(proto.status().code());
  }
  limit->enabled = proto.has_token_bucket() && proto.has_filter_enabled() &&
                   proto.filter_enabled().default_value().numerator() > 0;
  limit->enforced =
      proto.has_filter_enforced() && proto.filter_enforced().default_value().numerator() > 0;
  limit->per_connection = proto.local_rate_limit_per_downstream_connection();
  return limit;
}

Status compile_per_filter(const std::string& name, const google::protobuf::Any& any,
                          const CompileContext& context, route::PerFilter& to) {
  if (any.Is<envoy::config::route::v3::FilterConfig>()) {
    MIZZEN_TRY(auto wrapped, unpack<envoy::config::route::v3::FilterConfig>(any, context));
    if (wrapped.disabled()) to.disabled.push_back(name);
    if (!wrapped.has_config() || wrapped.disabled()) return {};
    return compile_per_filter(name, wrapped.config(), context, to);
  }
  if (any.Is<HTTPFault>()) {
    MIZZEN_TRY(auto proto, unpack<HTTPFault>(any, context));
    MIZZEN_TRY(to.fault, compile_fault(proto));
    return {};
  }
  if (any.Is<CorsPolicy>()) {
    MIZZEN_TRY(auto proto, unpack<CorsPolicy>(any, context));
    MIZZEN_TRY(to.cors, compile_cors(proto));
    return {};
  }
  if (any.Is<LocalRateLimit>()) {
    MIZZEN_TRY(to.rate_limit, compile_rate_limit(any, context));
    return {};
  }
  return fail(Code::kUnsupported, any.type_url() + " is not supported by this proxy");
}

}  // namespace mizzen::proxy
