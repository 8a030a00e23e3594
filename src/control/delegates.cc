#include "control/delegates.h"

#include <algorithm>
#include <optional>

#include "control/hosts.h"
#include "control/schema_types.h"

namespace mizzen::control {
namespace {

bool is_set(const StringMatchSpec& match) {
  return !match.exact().empty() || !match.prefix().empty() || !match.regex().empty();
}

// The delegate's path must lie below the root's; regular expressions cannot be compared.
std::optional<StringMatchSpec> both(const StringMatchSpec& root, const StringMatchSpec& inner) {
  if (!is_set(inner)) return root;
  if (!is_set(root)) return inner;
  const std::string& path = inner.exact().empty() ? inner.prefix() : inner.exact();
  if (!root.prefix().empty() && !path.empty()) {
    return path.starts_with(root.prefix()) ? std::optional(inner) : std::nullopt;
  }
  if (!root.exact().empty() && root.exact() == inner.exact()) return inner;
  return std::nullopt;
}

std::optional<HttpMatchSpec> both(const HttpMatchSpec& root, const HttpMatchSpec& inner) {
  const auto uri = both(root.uri(), inner.uri());
  if (!uri) return std::nullopt;
  HttpMatchSpec out = root;
  // Conditions on other things simply add up; of two on one thing the delegate's stays.
  out.MergeFrom(inner);
  if (is_set(*uri)) {
    *out.mutable_uri() = *uri;
  } else {
    out.clear_uri();
  }
  return out;
}

void merge_matches(const HttpRouteSpec& root, HttpRouteSpec* route, bool* possible) {
  *possible = true;
  if (root.match().empty()) return;
  if (route->match().empty()) {
    *route->mutable_match() = root.match();
    return;
  }
  const auto inner = route->match();
  route->clear_match();
  for (const HttpMatchSpec& a : root.match()) {
    for (const HttpMatchSpec& b : inner) {
      if (auto match = both(a, b)) *route->add_match() = std::move(*match);
    }
  }
  *possible = !route->match().empty();
}

std::optional<HttpRouteSpec> merged(const HttpRouteSpec& root, const HttpRouteSpec& inner) {
  HttpRouteSpec out = inner;
  bool possible = false;
  merge_matches(root, &out, &possible);
  if (!possible) return std::nullopt;
  if (!root.name().empty()) {
    out.set_name(inner.name().empty() ? root.name() : root.name() + "-" + inner.name());
  }
  if (root.has_rewrite()) *out.mutable_rewrite() = root.rewrite();
  if (root.has_timeout()) *out.mutable_timeout() = root.timeout();
  if (root.has_retries()) *out.mutable_retries() = root.retries();
  if (root.has_fault()) *out.mutable_fault() = root.fault();
  if (root.has_mirror()) *out.mutable_mirror() = root.mirror();
  if (root.has_mirror_percentage()) *out.mutable_mirror_percentage() = root.mirror_percentage();
  if (root.has_cors_policy()) *out.mutable_cors_policy() = root.cors_policy();
  if (root.has_headers()) out.mutable_headers()->MergeFrom(root.headers());
  return out;
}

const VirtualServiceRule* find(const std::vector<VirtualServiceRule>& rules,
                               const VirtualServiceRule& root, const schema::Delegate& delegate) {
  const std::string& name_space =
      delegate.namespace_().empty() ? root.name_space : delegate.namespace_();
  const auto found = std::ranges::find_if(rules, [&](const VirtualServiceRule& rule) {
    return rule.name == delegate.name() && rule.name_space == name_space &&
           rule.spec->hosts().empty();
  });
  return found == rules.end() ? nullptr : &*found;
}

}  // namespace

std::vector<VirtualServiceRule> expand_delegates(std::vector<VirtualServiceRule> rules,
                                                 std::string_view domain) {
  std::vector<VirtualServiceRule> out = rules;
  for (VirtualServiceRule& rule : out) {
    const bool delegates = std::ranges::any_of(
        rule.spec->http(), [](const HttpRouteSpec& http) { return http.has_delegate(); });
    if (!delegates || rule.spec->hosts().empty()) continue;
    auto expanded = std::make_shared<schema::VirtualService>(*rule.spec);
    expanded->clear_http();
    for (const HttpRouteSpec& http : rule.spec->http()) {
      if (!http.has_delegate()) {
        *expanded->add_http() = http;
        continue;
      }
      const VirtualServiceRule* inner = find(rules, rule, http.delegate());
      if (inner == nullptr) continue;
      for (const HttpRouteSpec& route : inner->spec->http()) {
        if (route.has_delegate()) continue;
        HttpRouteSpec resolved = route;
        // Short names are of the delegate's namespace, not of the root's.
        for (auto& destination : *resolved.mutable_route()) {
          auto* to = destination.mutable_destination();
          to->set_host(resolve_host(to->host(), inner->name_space, domain));
        }
        if (auto route_of_both = merged(http, resolved)) {
          *expanded->add_http() = std::move(*route_of_both);
        }
      }
    }
    rule.spec = std::move(expanded);
  }
  return out;
}

}  // namespace mizzen::control
