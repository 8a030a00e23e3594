#include "route/match.h"

#include <fmt/format.h>

#include <array>

#include "base/strings.h"

namespace mizzen::route {
namespace {

std::string_view without_query(std::string_view path) {
  // Twice: find_first_of() calls memchr() for every character of the path.
  path = path.substr(0, path.find('?'));
  return path.substr(0, path.find('#'));
}

// "[::1]:80" -> "[::1]", "a:80" -> "a"
std::string_view without_port(std::string_view authority) {
  auto colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  auto bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;
  // A bare IPv6 address has no port to take off.
  if (bracket == std::string_view::npos && authority.find(':') != colon) return authority;
  return authority.substr(0, colon);
}

std::optional<std::string_view> value_of(const RequestView& request, std::string_view name,
                                         std::string& scratch) {
  if (name.starts_with(':')) {
    if (name == ":method") return request.method();
    if (name == ":path") return request.path();
    if (name == ":authority") return request.authority();
    if (name == ":scheme") return request.scheme();
    return std::nullopt;
  }
  if (name == "host") return request.authority();
  return request.header(name, scratch);
}

template <class... Args>
void note(Trace* trace, fmt::format_string<Args...> format, Args&&... args) {
  if (trace) trace->lines.push_back(fmt::format(format, std::forward<Args>(args)...));
}

std::string describe(const PathMatcher& matcher) {
  static constexpr std::array<std::string_view, 5> kWords = {"starts with", "=", "is or is below",
                                                             "matches", "CONNECT"};
  return fmt::format("path {} \"{}\"{}", kWords[static_cast<std::size_t>(matcher.kind)],
                     matcher.value, matcher.case_sensitive ? "" : " (any case)");
}

std::string describe(const HeaderMatcher& matcher) {
  std::string text;
  switch (matcher.kind) {
    case HeaderMatcher::Kind::kString:
      text = matcher.text.describe();
      break;
    case HeaderMatcher::Kind::kPresent:
      text = matcher.present ? "is present" : "is absent";
      break;
    case HeaderMatcher::Kind::kRange:
      text = fmt::format("in [{}, {})", matcher.start, matcher.end);
      break;
  }
  return fmt::format("header {}{} {}", matcher.name, matcher.invert ? " not" : "", text);
}

// The name people know a route by.
std::string label(const Route& route, std::size_t position) {
  if (!route.name.empty()) return fmt::format("route {} '{}'", position, route.name);
  return fmt::format("route {}", position);
}

bool is_grpc(const RequestView& request) {
  std::string scratch;
  auto type = request.header("content-type", scratch);
  return type && (*type == "application/grpc" || type->starts_with("application/grpc+"));
}

bool matches(const Match& match, const RequestView& request, std::uint64_t random, Trace* trace,
             const std::string& who) {
  if (match.path.kind == PathMatcher::Kind::kConnect) {
    if (request.method() != "CONNECT") {
      note(trace, "{}: the method is not CONNECT", who);
      return false;
    }
  } else if (!matches(match.path, without_query(request.path()))) {
    note(trace, "{}: not {}", who, describe(match.path));
    return false;
  }
  for (const auto& header : match.headers) {
    if (!matches(header, request)) {
      note(trace, "{}: not {}", who, describe(header));
      return false;
    }
  }
  for (const auto& parameter : match.query) {
    if (!matches(parameter, request.path())) {
      note(trace, "{}: query parameter {} does not match", who, parameter.name);
      return false;
    }
  }
  if (match.grpc_only && !is_grpc(request)) {
    note(trace, "{}: not a gRPC request", who);
    return false;
  }
  // High bits, so that this draw and the weighted cluster's are independent.
  if (match.runtime_fraction && !match.runtime_fraction->draws(random >> 32)) {
    note(trace, "{}: not drawn ({} of {})", who, match.runtime_fraction->numerator,
         match.runtime_fraction->denominator);
    return false;
  }
  return true;
}

void choose_cluster(const Forward& forward, const RequestView& request, std::uint64_t random,
                    Decision& decision, Trace* trace) {
  if (!forward.weighted.empty() && forward.total_weight > 0) {
    std::uint64_t drawn = random % forward.total_weight;
    std::uint64_t sum = 0;
    for (const auto& cluster : forward.weighted) {
      sum += cluster.weight;
      if (drawn < sum) {
        decision.weighted = &cluster;
        decision.cluster = cluster.cluster;
        note(trace, "cluster '{}': weight {} of {}, drew {}", cluster.cluster, cluster.weight,
             forward.total_weight, drawn);
        return;
      }
    }
    return;
  }
  if (!forward.cluster_header.empty()) {
    std::string scratch;
    // Ordinary header values are views into the request; only joined ones live in the scratch.
    auto value = value_of(request, forward.cluster_header, scratch);
    decision.cluster = value && scratch.empty() ? *value : std::string_view();
    note(trace, "cluster '{}' from header {}", decision.cluster, forward.cluster_header);
    return;
  }
  decision.cluster = forward.cluster;
  note(trace, "cluster '{}'", forward.cluster);
}

std::string redirect_path(const Route& route, std::string_view path) {
  const Redirect& redirect = route.redirect;
  std::string_view query = path.substr(without_query(path).size());
  std::string result;
  if (!redirect.path.empty()) {
    result = redirect.path;
    // A path of its own may bring a query of its own.
    if (result.find('?') != std::string::npos) query = {};
  } else if (redirect.regex_rewrite) {
    result = replace_all(redirect.regex_rewrite->regex, without_query(path),
                         redirect.regex_rewrite->substitution);
  } else if (!redirect.prefix_rewrite.empty()) {
    std::string_view bare = without_query(path);
    auto kind = route.match.path.kind;
    bool whole = kind == PathMatcher::Kind::kExact || kind == PathMatcher::Kind::kRegex;
    result = redirect.prefix_rewrite;
    if (!whole) result += bare.substr(std::min(bare.size(), route.match.path.value.size()));
  } else {
    result = without_query(path);
  }
  if (!redirect.strip_query) result += query;
  return result;
}

// The authority of a redirect: a port that belonged to the old scheme does not go along.
std::string redirect_authority(const Redirect& redirect, std::string_view authority,
                               bool scheme_changes) {
  std::string_view host =
      redirect.host.empty() ? without_port(authority) : std::string_view(redirect.host);
  if (redirect.port != 0) return fmt::format("{}:{}", host, redirect.port);
  if (!redirect.host.empty()) return std::string(host);
  std::string_view port = authority.substr(host.size());
  bool default_port = port == ":80" || port == ":443";
  return scheme_changes && default_port ? std::string(host) : std::string(authority);
}

}  // namespace

const VirtualHost* find_host(const Table& table, std::string_view authority) {
  if (table.hosts.empty()) return nullptr;
  // Most tables of a sidecar end in "*" alone: no need to look at the text.
  if (table.any && table.exact.empty() && table.suffixes.empty() && table.prefixes.empty()) {
    return &table.hosts[*table.any];
  }
  std::string host = lower(table.ignore_port ? without_port(authority) : authority);
  if (!host.empty()) {
    if (auto found = table.exact.find(host); found != table.exact.end()) {
      return &table.hosts[found->second];
    }
    for (const auto& suffix : table.suffixes) {
      // The star stands for at least one character.
      if (host.size() > suffix.text.size() && host.ends_with(suffix.text)) {
        return &table.hosts[suffix.host];
      }
    }
    for (const auto& prefix : table.prefixes) {
      if (host.size() > prefix.text.size() && host.starts_with(prefix.text)) {
        return &table.hosts[prefix.host];
      }
    }
  }
  return table.any ? &table.hosts[*table.any] : nullptr;
}

bool matches(const PathMatcher& matcher, std::string_view path) {
  auto starts = [&](std::string_view text) {
    if (text.size() < matcher.value.size()) return false;
    auto head = text.substr(0, matcher.value.size());
    return matcher.case_sensitive ? head == matcher.value : equals_ignore_case(head, matcher.value);
  };
  switch (matcher.kind) {
    case PathMatcher::Kind::kPrefix:
      return starts(path);
    case PathMatcher::Kind::kExact:
      return path.size() == matcher.value.size() && starts(path);
    case PathMatcher::Kind::kSeparatedPrefix:
      return starts(path) &&
             (path.size() == matcher.value.size() || path[matcher.value.size()] == '/');
    case PathMatcher::Kind::kRegex:
      return matches_whole(matcher.regex, path);
    case PathMatcher::Kind::kConnect:
      return false;
  }
  return false;
}

bool matches(const HeaderMatcher& matcher, std::optional<std::string_view> value) {
  if (!value && !matcher.treat_missing_as_empty) {
    // An absent header fails every rule about its value, inverted ones too (as in Envoy).
    return matcher.kind == HeaderMatcher::Kind::kPresent && matcher.present == matcher.invert;
  }
  std::string_view text = value.value_or(std::string_view());
  bool holds = false;
  switch (matcher.kind) {
    case HeaderMatcher::Kind::kString:
      holds = matcher.text.matches(text);
      break;
    case HeaderMatcher::Kind::kPresent:
      holds = matcher.present;
      break;
    case HeaderMatcher::Kind::kRange: {
      auto number = parse_int<std::int64_t>(text);
      holds = number && *number >= matcher.start && *number < matcher.end;
      break;
    }
  }
  return holds != matcher.invert;
}

bool matches(const HeaderMatcher& matcher, const RequestView& request) {
  std::string scratch;
  return matches(matcher, value_of(request, matcher.name, scratch));
}

bool matches(const QueryMatcher& matcher, std::string_view path) {
  auto value = query_parameter(path, matcher.name);
  if (!value) return false;
  return !matcher.text || matcher.text->matches(*value);
}

std::optional<std::string_view> query_parameter(std::string_view path, std::string_view name) {
  auto mark = path.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  auto query = path.substr(mark + 1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    auto part = query.substr(0, query.find('&'));
    auto equals = part.find('=');
    if (part.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    }
    query.remove_prefix(std::min(query.size(), part.size() + 1));
  }
  return std::nullopt;
}

Decision match(const Table& table, const RequestView& request, std::uint64_t random, bool tls,
               Trace* trace) {
  Decision decision;
  decision.host = find_host(table, request.authority());
  if (!decision.host) {
    note(trace, "table '{}': no virtual host for '{}'", table.name, request.authority());
    return decision;
  }
  const VirtualHost& host = *decision.host;
  note(trace, "table '{}': virtual host '{}' for '{}'", table.name, host.name, request.authority());
  if (host.require_tls == VirtualHost::RequireTls::kAll && !tls) {
    // A proxy in front may have ended TLS; its word stands in the scheme.
    if (request.scheme() != "https") {
      note(trace, "the virtual host wants TLS");
      decision.kind = Decision::Kind::kTlsRequired;
      return decision;
    }
  }
  for (std::size_t i = 0; i < host.routes.size(); ++i) {
    const Route& route = host.routes[i];
    std::string who = trace ? label(route, i) : std::string();
    if (!matches(route.match, request, random, trace, who)) continue;
    decision.route = &route;
    note(trace, "{}: matches{}{}", who, route.source.empty() ? "" : ", from ", route.source);
    switch (route.action) {
      case Route::Action::kForward:
        decision.kind = Decision::Kind::kForward;
        choose_cluster(route.forward, request, random, decision, trace);
        break;
      case Route::Action::kRedirect:
        decision.kind = Decision::Kind::kRedirect;
        note(trace, "redirect, status {}", route.redirect.status);
        break;
      case Route::Action::kDirectResponse:
        decision.kind = Decision::Kind::kDirectResponse;
        note(trace, "direct response, status {}", route.direct.status);
        break;
      case Route::Action::kNone:
        decision.kind = Decision::Kind::kNoRoute;
        break;
    }
    return decision;
  }
  decision.kind = Decision::Kind::kNoRoute;
  note(trace, "no route of virtual host '{}' matches", host.name);
  return decision;
}

std::optional<std::string> rewritten_path(const Route& route, std::string_view path) {
  const Forward& forward = route.forward;
  std::string_view bare = without_query(path);
  std::string_view rest = path.substr(bare.size());
  if (forward.regex_rewrite) {
    return replace_all(forward.regex_rewrite->regex, bare, forward.regex_rewrite->substitution)
        .append(rest);
  }
  if (forward.prefix_rewrite.empty()) return std::nullopt;
  std::string result = forward.prefix_rewrite;
  auto kind = route.match.path.kind;
  if (kind == PathMatcher::Kind::kPrefix || kind == PathMatcher::Kind::kSeparatedPrefix) {
    result += bare.substr(std::min(bare.size(), route.match.path.value.size()));
  }
  return result.append(rest);
}

std::optional<std::string> rewritten_host(const Decision& decision, const RequestView& request) {
  if (decision.weighted && !decision.weighted->host_rewrite.empty()) {
    return decision.weighted->host_rewrite;
  }
  if (!decision.route) return std::nullopt;
  const Forward& forward = decision.route->forward;
  if (!forward.host_rewrite.empty()) return forward.host_rewrite;
  if (!forward.host_rewrite_header.empty()) {
    std::string scratch;
    auto value = value_of(request, forward.host_rewrite_header, scratch);
    if (value && !value->empty()) return std::string(*value);
  }
  return std::nullopt;
}

std::string redirect_location(const Decision& decision, const RequestView& request) {
  if (decision.kind == Decision::Kind::kTlsRequired || !decision.route) {
    return fmt::format("https://{}{}", redirect_authority({}, request.authority(), true),
                       request.path());
  }
  const Redirect& redirect = decision.route->redirect;
  std::string_view scheme =
      redirect.scheme.empty() ? request.scheme() : std::string_view(redirect.scheme);
  if (scheme.empty()) scheme = "http";
  return fmt::format("{}://{}{}", scheme,
                     redirect_authority(redirect, request.authority(), scheme != request.scheme()),
                     redirect_path(*decision.route, request.path()));
}

const RetryPolicy* retry_policy(const Decision& decision) {
  if (decision.route && decision.route->forward.retry) return &*decision.route->forward.retry;
  if (decision.host && decision.host->retry) return &*decision.host->retry;
  return nullptr;
}

}  // namespace mizzen::route
