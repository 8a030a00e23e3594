#include "control/translate/http_match.h"

#include <algorithm>

#include "base/strings.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"

namespace mizzen::control {

namespace rds = envoy::config::route::v3;

namespace {

// No kind at all asks only whether the thing is there; "*" is Istio's word for the same.
bool asks_presence(const StringMatchSpec& match) {
  return match.match_type_case() == StringMatchSpec::MATCH_TYPE_NOT_SET || match.regex() == "*";
}

void header_matcher(const std::string& name, const StringMatchSpec& match, bool invert,
                    rds::RouteMatch* out) {
  rds::HeaderMatcher* header = out->add_headers();
  header->set_name(name);
  if (asks_presence(match)) {
    header->set_present_match(true);
  } else {
    fill_string(match, header->mutable_string_match());
    // A missing header is one that does not match.
    if (invert) header->set_treat_missing_header_as_empty(true);
  }
  header->set_invert_match(invert);
}

// Maps come in no order; the order of matchers must not change between two translations.
template <class Map>
std::vector<std::pair<std::string, const StringMatchSpec*>> sorted(const Map& map) {
  std::vector<std::pair<std::string, const StringMatchSpec*>> out;
  for (const auto& [name, match] : map) out.emplace_back(name, &match);
  std::ranges::sort(out, {}, [](const auto& entry) { return entry.first; });
  return out;
}

void fill_path(const HttpMatchSpec& match, bool whole_segments, rds::RouteMatch* out) {
  const StringMatchSpec& uri = match.uri();
  if (!uri.exact().empty()) {
    out->set_path(uri.exact());
  } else if (whole_segments && uri.prefix().size() > 1) {
    const std::size_t end = uri.prefix().find_last_not_of('/');
    out->set_path_separated_prefix(uri.prefix().substr(0, end + 1));
  } else if (!uri.prefix().empty()) {
    out->set_prefix(uri.prefix());
  } else if (!uri.regex().empty()) {
    out->mutable_safe_regex()->set_regex(uri.regex());
  } else {
    out->set_prefix("/");
  }
  out->mutable_case_sensitive()->set_value(!match.ignore_uri_case());
}

}  // namespace

void fill_string(const StringMatchSpec& match, envoy::type::matcher::v3::StringMatcher* out) {
  if (!match.prefix().empty()) {
    out->set_prefix(match.prefix());
  } else if (!match.regex().empty()) {
    out->mutable_safe_regex()->set_regex(match.regex());
  } else {
    out->set_exact(match.exact());
  }
}

bool match_applies(const HttpMatchSpec& match, const RouteContext& context) {
  if (match.port() != 0 && match.port() != context.port) return false;
  // Where gateways are named, who asks does not count: as in Istio.
  if (!match.gateways().empty()) {
    return names_gateway(match.gateways(), context.rule.name_space, context.gateway);
  }
  return source_applies(match, context.view.proxy);
}

void fill_match(const HttpMatchSpec* match, bool whole_segments, rds::RouteMatch* out) {
  if (match == nullptr) {
    out->set_prefix("/");
    return;
  }
  fill_path(*match, whole_segments, out);
  for (const auto& [name, value] : sorted(match->headers())) {
    header_matcher(lower(name), *value, false, out);
  }
  for (const auto& [name, value] : sorted(match->without_headers())) {
    header_matcher(lower(name), *value, true, out);
  }
  if (match->has_method()) header_matcher(":method", match->method(), false, out);
  if (match->has_authority()) header_matcher(":authority", match->authority(), false, out);
  if (match->has_scheme()) header_matcher(":scheme", match->scheme(), false, out);
  for (const auto& [name, value] : sorted(match->query_params())) {
    rds::QueryParameterMatcher* query = out->add_query_parameters();
    query->set_name(name);
    if (asks_presence(*value)) {
      query->set_present_match(true);
    } else {
      fill_string(*value, query->mutable_string_match());
    }
  }
}

}  // namespace mizzen::control
