#include "control/mesh/delegates.h"

#include <algorithm>
#include <optional>

#include "control/mesh/hosts.h"
#include "control/mesh/schema_types.h"

namespace mizzen::control {
namespace {

using Kind = StringMatchSpec::MatchTypeCase;

// Whether everything that `inner` takes is taken by `root` too. Regular expressions cannot be
// compared.
bool narrows(const StringMatchSpec& root, const StringMatchSpec& inner) {
  switch (root.match_type_case()) {
    case Kind::kExact:
      return inner.match_type_case() == Kind::kExact && inner.exact() == root.exact();
    case Kind::kPrefix:
      return (inner.match_type_case() == Kind::kPrefix &&
              inner.prefix().starts_with(root.prefix())) ||
             (inner.match_type_case() == Kind::kExact && inner.exact().starts_with(root.prefix()));
    default:
      return false;
  }
}

template <class Map>
bool all_narrow(const Map& root, const Map& inner) {
  return std::ranges::all_of(inner, [&](const auto& entry) {
    const auto found = root.find(entry.first);
    return found == root.end() || narrows(found->second, entry.second);
  });
}

bool gateways_narrow(const HttpMatchSpec& root, const HttpMatchSpec& inner) {
  if (root.gateways().empty()) return true;
  return std::ranges::all_of(inner.gateways(), [&](const std::string& name) {
    return std::ranges::find(root.gateways(), name) != root.gateways().end();
  });
}

bool labels_agree(const HttpMatchSpec& root, const HttpMatchSpec& inner) {
  return std::ranges::all_of(inner.source_labels(), [&](const auto& label) {
    const auto found = root.source_labels().find(label.first);
    return found == root.source_labels().end() || found->second == label.second;
  });
}

// Whether the delegate's match may stand below the root's.
bool compatible(const HttpMatchSpec& root, const HttpMatchSpec& inner) {
  const auto field = [](bool both, const StringMatchSpec& a, const StringMatchSpec& b) {
    return !both || narrows(a, b);
  };
  return field(root.has_uri() && inner.has_uri(), root.uri(), inner.uri()) &&
         field(root.has_scheme() && inner.has_scheme(), root.scheme(), inner.scheme()) &&
         field(root.has_method() && inner.has_method(), root.method(), inner.method()) &&
         field(root.has_authority() && inner.has_authority(), root.authority(),
               inner.authority()) &&
         all_narrow(root.headers(), inner.headers()) &&
         all_narrow(root.without_headers(), inner.without_headers()) &&
         all_narrow(root.query_params(), inner.query_params()) &&
         root.ignore_uri_case() == inner.ignore_uri_case() &&
         (root.port() == 0 || inner.port() == 0 || root.port() == inner.port()) &&
         (root.source_namespace().empty() || root.source_namespace() == inner.source_namespace()) &&
         labels_agree(root, inner) && gateways_narrow(root, inner);
}

std::string joined(const std::string& root, const std::string& inner) {
  if (root.empty()) return inner;
  return inner.empty() ? root : root + "-" + inner;
}

// Both sets of conditions; of two on one thing the delegate's.
HttpMatchSpec both(const HttpMatchSpec& root, const HttpMatchSpec& inner) {
  HttpMatchSpec out = root;
  // Of a field that both have, only the delegate's may stay: messages would be mixed.
  if (inner.has_uri()) out.clear_uri();
  if (inner.has_scheme()) out.clear_scheme();
  if (inner.has_method()) out.clear_method();
  if (inner.has_authority()) out.clear_authority();
  if (!inner.gateways().empty()) out.clear_gateways();
  out.MergeFrom(inner);
  out.set_name(joined(root.name(), inner.name()));
  return out;
}

// False when a condition of the delegate fits none of the root's: the route falls away.
bool merge_matches(const HttpRouteSpec& root, HttpRouteSpec* route) {
  if (root.match().empty()) return true;
  if (route->match().empty()) {
    *route->mutable_match() = root.match();
    return true;
  }
  const auto inner = route->match();
  route->clear_match();
  for (const HttpMatchSpec& below : inner) {
    const int before = route->match_size();
    for (const HttpMatchSpec& above : root.match()) {
      if (compatible(above, below)) *route->add_match() = both(above, below);
    }
    if (route->match_size() == before) return false;
  }
  return true;
}

// What the delegate leaves unsaid, the root says.
std::optional<HttpRouteSpec> merged(const HttpRouteSpec& root, const HttpRouteSpec& inner) {
  HttpRouteSpec out = inner;
  if (!merge_matches(root, &out)) return std::nullopt;
  out.set_name(joined(root.name(), inner.name()));
  if (!out.has_rewrite() && root.has_rewrite()) *out.mutable_rewrite() = root.rewrite();
  if (!out.has_timeout() && root.has_timeout()) *out.mutable_timeout() = root.timeout();
  if (!out.has_retries() && root.has_retries()) *out.mutable_retries() = root.retries();
  if (!out.has_fault() && root.has_fault()) *out.mutable_fault() = root.fault();
  if (!out.has_mirror() && root.has_mirror()) *out.mutable_mirror() = root.mirror();
  if (!out.has_mirror_percent() && root.has_mirror_percent()) {
    out.set_mirror_percent(root.mirror_percent());
  }
  if (!out.has_mirror_percentage() && root.has_mirror_percentage()) {
    *out.mutable_mirror_percentage() = root.mirror_percentage();
  }
  if (out.mirrors().empty()) *out.mutable_mirrors() = root.mirrors();
  if (!out.has_cors_policy() && root.has_cors_policy()) {
    *out.mutable_cors_policy() = root.cors_policy();
  }
  if (!out.has_headers() && root.has_headers()) *out.mutable_headers() = root.headers();
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
  if (found == rules.end()) return nullptr;
  const std::vector<std::string> export_to(found->spec->export_to().begin(),
                                           found->spec->export_to().end());
  return exported_to(export_to, name_space, root.name_space) ? &*found : nullptr;
}

// Short names are of the delegate's namespace, not of the root's.
HttpRouteSpec resolved(const HttpRouteSpec& route, const VirtualServiceRule& owner,
                       std::string_view domain) {
  HttpRouteSpec out = route;
  const auto resolve = [&](DestinationSpec* to) {
    to->set_host(resolve_host(to->host(), owner.name_space, domain));
  };
  for (auto& destination : *out.mutable_route()) resolve(destination.mutable_destination());
  for (auto& mirror : *out.mutable_mirrors()) resolve(mirror.mutable_destination());
  if (out.has_mirror()) resolve(out.mutable_mirror());
  for (HttpMatchSpec& match : *out.mutable_match()) {
    for (std::string& name : *match.mutable_gateways()) {
      if (name != "mesh" && name.find('/') == std::string::npos) {
        name = owner.name_space + "/" + name;
      }
    }
  }
  return out;
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
      const HttpRouteSpec root = resolved(http, rule, domain);
      for (const HttpRouteSpec& route : inner->spec->http()) {
        if (route.has_delegate()) continue;
        if (auto below = merged(root, resolved(route, *inner, domain))) {
          *expanded->add_http() = std::move(*below);
        }
      }
    }
    rule.spec = std::move(expanded);
  }
  return out;
}

}  // namespace mizzen::control
