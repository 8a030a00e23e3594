#include "proxy/config/parts.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/strings.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "envoy/type/v3/percent.pb.h"

namespace mizzen::proxy {
namespace {

using envoy::config::route::v3::RouteAction;

constexpr std::size_t kMaxFileBytes = 16U << 20;

Result<route::HeaderMatcher> string_rule(route::HeaderMatcher matcher, route::StringMatcher text) {
  matcher.kind = route::HeaderMatcher::Kind::kString;
  matcher.text = std::move(text);
  return matcher;
}

}  // namespace

Duration duration_of(const google::protobuf::Duration& duration) {
  // Protobuf allows 10,000 years, nanoseconds in 64 bits 292: what is longer means "for ever".
  constexpr std::int64_t kMaxSeconds = 9'000'000'000;
  std::int64_t seconds = std::min<std::int64_t>(duration.seconds(), kMaxSeconds);
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(duration.nanos());
}

Result<SocketAddr> compile_address(const envoy::config::core::v3::Address& address) {
  if (address.has_pipe()) return SocketAddr{address.pipe().path(), 0, true};
  if (address.has_envoy_internal_address()) {
    return SocketAddr{address.envoy_internal_address().server_listener_name(), 0, false, false,
                      true};
  }
  if (!address.has_socket_address()) {
    return fail(Code::kInvalid, "address: neither socket_address nor pipe is set");
  }
  const auto& socket = address.socket_address();
  if (socket.protocol() != envoy::config::core::v3::SocketAddress::TCP) {
    return fail(Code::kUnsupported, "address.protocol: UDP is not supported by this proxy");
  }
  if (socket.port_value() > 65535) {
    return fail(Code::kInvalid,
                fmt::format("address.port_value: {} is above 65535", socket.port_value()));
  }
  return SocketAddr{socket.address(), static_cast<std::uint16_t>(socket.port_value()), false,
                    socket.ipv4_compat()};
}

Result<Cidr> compile_cidr(const envoy::config::core::v3::CidrRange& range) {
  std::string bytes = pack_ip(range.address_prefix());
  if (bytes.empty()) {
    return fail(Code::kInvalid,
                "address_prefix: '" + range.address_prefix() + "' is not an IP address");
  }
  auto length = range.has_prefix_len() ? range.prefix_len().value() : 0;
  if (length > bytes.size() * 8) {
    return fail(Code::kInvalid,
                fmt::format("prefix_len: {} is too long for {}", length, range.address_prefix()));
  }
  return Cidr{std::move(bytes), static_cast<std::uint8_t>(length)};
}

Result<std::string> file_text(const std::string& path) {
  std::error_code problem;
  // A device would never end.
  if (!std::filesystem::is_regular_file(path, problem)) {
    return fail(Code::kNotFound, "'" + path + "' is not a file that can be read");
  }
  if (std::filesystem::file_size(path, problem) > kMaxFileBytes) {
    return fail(Code::kLimit, "file '" + path + "' is larger than 16 MiB");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, "cannot read file '" + path + "'");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::string> data_of(const envoy::config::core::v3::DataSource& source, Needs* needs) {
  using Source = envoy::config::core::v3::DataSource;
  switch (source.specifier_case()) {
    case Source::kInlineString:
      return source.inline_string();
    case Source::kInlineBytes:
      return source.inline_bytes();
    case Source::kFilename: {
      MIZZEN_TRY(auto text, file_text(source.filename()));
      if (needs != nullptr) needs->files[source.filename()] = fnv1a(text);
      return text;
    }
    case Source::kEnvironmentVariable: {
      const char* value = std::getenv(source.environment_variable().c_str());
      if (!value) {
        return fail(Code::kNotFound,
                    "environment variable '" + source.environment_variable() + "' is not set");
      }
      return std::string(value);
    }
    case Source::SPECIFIER_NOT_SET:
      break;
  }
  return std::string();
}

bool metadata_flag(const envoy::config::core::v3::Metadata& metadata, std::string_view filter,
                   std::string_view key) {
  auto found = metadata.filter_metadata().find(std::string(filter));
  if (found == metadata.filter_metadata().end()) return false;
  auto field = found->second.fields().find(std::string(key));
  return field != found->second.fields().end() && field->second.bool_value();
}

std::string metadata_text(const envoy::config::core::v3::Metadata& metadata,
                          std::string_view filter, const std::string& key) {
  auto found = metadata.filter_metadata().find(std::string(filter));
  if (found == metadata.filter_metadata().end()) return {};
  auto field = found->second.fields().find(key);
  return field == found->second.fields().end() ? std::string() : field->second.string_value();
}

Result<route::StringMatcher> compile_string(
    const envoy::type::matcher::v3::StringMatcher& matcher) {
  using Proto = envoy::type::matcher::v3::StringMatcher;
  auto with_case = [&](route::StringMatcher made) {
    made.ignore_case = matcher.ignore_case();
    if (made.ignore_case) made.value = lower(made.value);
    return made;
  };
  switch (matcher.match_pattern_case()) {
    case Proto::kExact:
      return with_case(route::StringMatcher::exact(matcher.exact()));
    case Proto::kPrefix:
      return with_case(route::StringMatcher::prefix(matcher.prefix()));
    case Proto::kSuffix:
      return with_case(route::StringMatcher::suffix(matcher.suffix()));
    case Proto::kContains:
      return with_case(route::StringMatcher::contains(matcher.contains()));
    case Proto::kSafeRegex:
      return route::StringMatcher::of_regex(matcher.safe_regex().regex());
    default:
      return fail(Code::kInvalid,
                  "no pattern is set: write exact, prefix, suffix, contains or "
                  "safe_regex");
  }
}

Result<route::HeaderMatcher> compile_header(const envoy::config::route::v3::HeaderMatcher& proto) {
  using Proto = envoy::config::route::v3::HeaderMatcher;
  route::HeaderMatcher matcher;
  matcher.name = lower(proto.name());
  if (matcher.name.empty()) return fail(Code::kInvalid, "name: must not be empty");
  matcher.invert = proto.invert_match();
  matcher.treat_missing_as_empty = proto.treat_missing_header_as_empty();
  switch (proto.header_match_specifier_case()) {
    case Proto::kStringMatch: {
      MIZZEN_TRY(auto text, compile_string(proto.string_match()));
      return string_rule(std::move(matcher), std::move(text));
    }
    case Proto::kExactMatch:
      return string_rule(std::move(matcher), route::StringMatcher::exact(proto.exact_match()));
    case Proto::kPrefixMatch:
      return string_rule(std::move(matcher), route::StringMatcher::prefix(proto.prefix_match()));
    case Proto::kSuffixMatch:
      return string_rule(std::move(matcher), route::StringMatcher::suffix(proto.suffix_match()));
    case Proto::kContainsMatch:
      return string_rule(std::move(matcher),
                         route::StringMatcher::contains(proto.contains_match()));
    case Proto::kSafeRegexMatch: {
      MIZZEN_TRY(auto text, route::StringMatcher::of_regex(proto.safe_regex_match().regex()));
      return string_rule(std::move(matcher), std::move(text));
    }
    case Proto::kRangeMatch:
      matcher.kind = route::HeaderMatcher::Kind::kRange;
      matcher.start = proto.range_match().start();
      matcher.end = proto.range_match().end();
      return matcher;
    case Proto::kPresentMatch:
      matcher.present = proto.present_match();
      return matcher;
    case Proto::HEADER_MATCH_SPECIFIER_NOT_SET:
      return matcher;  // presence
  }
  return matcher;
}

Result<route::Fraction> compile_fraction(const envoy::type::v3::FractionalPercent& percent) {
  using Percent = envoy::type::v3::FractionalPercent;
  route::Fraction fraction{percent.numerator(), 100};
  switch (percent.denominator()) {
    case Percent::HUNDRED:
      return fraction;
    case Percent::TEN_THOUSAND:
      fraction.denominator = 10'000;
      return fraction;
    case Percent::MILLION:
      fraction.denominator = 1'000'000;
      return fraction;
    default:
      return fail(Code::kInvalid, "denominator: unknown value");
  }
}

Result<route::HashPolicy> compile_hash(const RouteAction::HashPolicy& proto) {
  route::HashPolicy policy;
  policy.terminal = proto.terminal();
  if (proto.has_header()) {
    policy.kind = route::HashPolicy::Kind::kHeader;
    policy.name = lower(proto.header().header_name());
  } else if (proto.has_cookie()) {
    policy.kind = route::HashPolicy::Kind::kCookie;
    policy.name = proto.cookie().name();
    policy.cookie_path = proto.cookie().path();
    if (proto.cookie().has_ttl()) policy.cookie_ttl = duration_of(proto.cookie().ttl());
    for (const auto& attribute : proto.cookie().attributes()) {
      policy.cookie_attributes += "; " + attribute.name();
      if (!attribute.value().empty()) policy.cookie_attributes += "=" + attribute.value();
    }
  } else if (proto.has_query_parameter()) {
    policy.kind = route::HashPolicy::Kind::kQueryParameter;
    policy.name = proto.query_parameter().name();
  } else if (proto.has_connection_properties()) {
    policy.kind = route::HashPolicy::Kind::kSourceIp;
  } else {
    return fail(Code::kInvalid, "hash_policy: nothing to hash by is set");
  }
  return policy;
}

}  // namespace mizzen::proxy
