#include <algorithm>
#include <array>

#include "base/strings.h"
#include "config/rules.h"
#include "istio/networking.pb.h"
#include "object/kind.h"

namespace mizzen::config {
namespace {

using schema::HTTPRoute;
using schema::StringMatch;

void check_match(Findings& out, const std::string& path, const StringMatch& match) {
  switch (match.match_type_case()) {
    case StringMatch::kRegex:
      check_regex(out, at(path, "regex"), match.regex());
      break;
    case StringMatch::kPrefix:
      if (match.prefix().empty()) {
        out.error(at(path, "prefix"),
                  "is empty: write a prefix such as /api, or leave the match out");
      }
      break;
    default:
      break;
  }
}

template <class Map>
void check_header_matches(Findings& out, const std::string& path, const Map& headers) {
  for (const auto& [name, match] : headers) {
    std::string where = fmt::format("{}[{}]", path, name);
    if (name.starts_with("@request.auth.claims")) {
      out.error(where,
                "routing by the claims of a token is not supported: match a header that "
                "outputClaimToHeaders sets");
    } else if (!valid_header_name(name)) {
      out.error(where, "\"{}\" is not a header's name", name);
    }
    if (match.regex() != "*") check_match(out, where, match);  // "*": it is there
  }
}

void check_gateway_name(Findings& out, const std::string& path, std::string_view name) {
  if (name == "mesh") return;
  auto slash = name.find('/');
  if (slash != name.npos && !object::check_dns1123_label(name.substr(0, slash)).empty()) {
    return out.error(path, "\"{}\" is not `namespace/name` of a Gateway", name);
  }
  std::string_view rest = slash == name.npos ? name : name.substr(slash + 1);
  if (!object::check_dns1123_subdomain(rest).empty()) {
    out.error(
        path,
        "\"{}\" is not a Gateway's name: write its name, namespace/name, or mesh for the sidecars",
        name);
  }
}

void check_request_match(Findings& out, const std::string& path,
                         const schema::HTTPMatchRequest& match) {
  // An empty prefix of a path takes every path; of other things Envoy refuses it.
  if (match.uri().has_regex()) check_match(out, at(path, "uri"), match.uri());
  if (match.has_scheme()) check_match(out, at(path, "scheme"), match.scheme());
  if (match.has_method()) check_match(out, at(path, "method"), match.method());
  if (match.has_authority()) check_match(out, at(path, "authority"), match.authority());
  check_header_matches(out, at(path, "headers"), match.headers());
  check_header_matches(out, at(path, "withoutHeaders"), match.without_headers());
  for (const auto& [name, one] : match.query_params()) {
    if (one.regex() != "*") check_match(out, fmt::format("{}.queryParams[{}]", path, name), one);
  }
  if (match.port() != 0) check_port(out, at(path, "port"), match.port());
  for (int i = 0; i < match.gateways_size(); ++i) {
    check_gateway_name(out, at(path, "gateways", i), match.gateways(i));
  }
}

void check_destination(Findings& out, const std::string& path,
                       const schema::Destination& destination) {
  check_destination_host(out, at(path, "host"), destination.host());
  if (destination.has_port()) check_port(out, at(path, "port.number"), destination.port().number());
  if (!destination.subset().empty()) {
    if (auto problem = object::check_dns1123_label(destination.subset()); !problem.empty()) {
      out.error(at(path, "subset"), "\"{}\" is not a subset's name: {}", destination.subset(),
                problem);
    }
  }
}

template <class Routes>
void check_destinations(Findings& out, const std::string& path, const Routes& routes) {
  std::int64_t total = 0;
  bool negative = false;
  for (int i = 0; i < routes.size(); ++i) {
    std::string where = fmt::format("{}[{}]", path, i);
    // A route without `destination` is reported as missing already.
    if (routes[i].has_destination() && !routes[i].destination().host().empty()) {
      check_destination(out, at(where, "destination"), routes[i].destination());
    } else if (routes[i].has_destination()) {
      check_destination_host(out, at(where, "destination.host"), "");
    }
    if (routes[i].weight() < 0) {
      negative = true;
      out.error(at(where, "weight"), "{} is negative: write a share from 0 to 100",
                routes[i].weight());
    }
    total += routes[i].weight();
  }
  if (routes.size() < 2 || negative) return;
  std::string last = fmt::format("{}[{}].weight", path, routes.size() - 1);
  if (total == 0) {
    out.error(
        last,
        "all weights are 0, nothing would be sent anywhere: write weights that add up to 100");
  } else if (total != 100) {
    out.warn(last, "the weights add up to {}, not 100: each destination gets its share of {}",
             total, total);
  }
}

void check_retries(Findings& out, const std::string& path, const schema::HTTPRetry& retry) {
  static constexpr std::array<std::string_view, 22> kConditions = {"5xx",
                                                                   "gateway-error",
                                                                   "reset",
                                                                   "reset-before-request",
                                                                   "connect-failure",
                                                                   "envoy-ratelimited",
                                                                   "retriable-4xx",
                                                                   "refused-stream",
                                                                   "retriable-status-codes",
                                                                   "retriable-headers",
                                                                   "cancelled",
                                                                   "deadline-exceeded",
                                                                   "internal",
                                                                   "resource-exhausted",
                                                                   "unavailable",
                                                                   "http3-post-connect-failure",
                                                                   "aborted",
                                                                   "data-loss",
                                                                   "unknown",
                                                                   "not-found",
                                                                   "already-exists",
                                                                   "failed-precondition"};
  if (retry.attempts() < 0) {
    out.error(at(path, "attempts"), "{} is negative: write 0 for no retries", retry.attempts());
  }
  if (retry.attempts() == 0 && (retry.has_per_try_timeout() || !retry.retry_on().empty())) {
    out.error(at(path, "attempts"),
              "0 switches retries off, yet other retry settings are there: write attempts, or "
              "remove them");
  }
  if (retry.has_per_try_timeout())
    check_duration(out, at(path, "perTryTimeout"), retry.per_try_timeout());
  if (retry.has_backoff()) check_duration(out, at(path, "backoff"), retry.backoff());
  if (retry.retry_on().empty()) return;
  for (std::string_view part : split(retry.retry_on(), ',')) {
    std::string_view word = trim(part);
    auto status = parse_int<int>(word);
    if (status ? *status >= 100 && *status <= 599
               : std::ranges::find(kConditions, word) != kConditions.end()) {
      continue;
    }
    std::vector<std::string> known(kConditions.begin(), kConditions.end());
    std::string guess = object::nearest(word, known);
    out.error(at(path, "retryOn"), "\"{}\" is not a retry condition{}", word,
              guess.empty() ? ": write one such as 5xx, connect-failure or 503"
                            : fmt::format("; did you mean \"{}\"?", guess));
  }
}

void check_fault(Findings& out, const std::string& path, const schema::HTTPFaultInjection& fault) {
  using Fault = schema::HTTPFaultInjection;
  if (!fault.has_delay() && !fault.has_abort()) {
    out.error(path, "is empty: write delay or abort in it");
  }
  if (fault.has_delay()) {
    const auto& delay = fault.delay();
    if (delay.has_percentage())
      check_percent(out, at(path, "delay.percentage.value"), delay.percentage().value());
    check_percent(out, at(path, "delay.percent"), delay.percent());
    if (delay.has_fixed_delay()) {
      check_duration(out, at(path, "delay.fixedDelay"), delay.fixed_delay());
    } else if (delay.has_exponential_delay()) {
      out.error(at(path, "delay.exponentialDelay"),
                "is not supported, here as in Istio: write fixedDelay, such as fixedDelay: 5s");
    } else if (delay.http_delay_type_case() == Fault::Delay::HTTP_DELAY_TYPE_NOT_SET) {
      out.error(at(path, "delay"), "has no length: write fixedDelay, such as fixedDelay: 5s");
    }
  }
  if (!fault.has_abort()) return;
  const auto& abort = fault.abort();
  if (abort.has_percentage())
    check_percent(out, at(path, "abort.percentage.value"), abort.percentage().value());
  switch (abort.error_type_case()) {
    case Fault::Abort::kHttpStatus:
      if (abort.http_status() < 200 || abort.http_status() > 599) {
        out.error(at(path, "abort.httpStatus"),
                  "HTTP status {} is not in range 200-599: write one such as 503",
                  abort.http_status());
      }
      break;
    case Fault::Abort::kGrpcStatus: {
      static constexpr std::array<std::string_view, 17> kStatuses = {"OK",
                                                                     "CANCELLED",
                                                                     "UNKNOWN",
                                                                     "INVALID_ARGUMENT",
                                                                     "DEADLINE_EXCEEDED",
                                                                     "NOT_FOUND",
                                                                     "ALREADY_EXISTS",
                                                                     "PERMISSION_DENIED",
                                                                     "RESOURCE_EXHAUSTED",
                                                                     "FAILED_PRECONDITION",
                                                                     "ABORTED",
                                                                     "OUT_OF_RANGE",
                                                                     "UNIMPLEMENTED",
                                                                     "INTERNAL",
                                                                     "UNAVAILABLE",
                                                                     "DATA_LOSS",
                                                                     "UNAUTHENTICATED"};
      if (std::ranges::find(kStatuses, abort.grpc_status()) == kStatuses.end()) {
        out.error(at(path, "abort.grpcStatus"),
                  "\"{}\" is not a gRPC status: write one such as UNAVAILABLE",
                  abort.grpc_status());
      }
      break;
    }
    case Fault::Abort::kHttp2Error:
      out.error(at(path, "abort.http2Error"), "HTTP/2 errors are not supported: write httpStatus");
      break;
    default:
      out.error(at(path, "abort"), "has no status: write httpStatus, such as httpStatus: 500");
  }
}

void check_redirect(Findings& out, const std::string& path, const schema::HTTPRedirect& redirect) {
  static constexpr std::array<std::uint32_t, 6> kCodes = {0, 301, 302, 303, 307, 308};
  if (std::ranges::find(kCodes, redirect.redirect_code()) == kCodes.end()) {
    out.error(at(path, "redirectCode"), "{} is no redirect: write 301, 302, 303, 307 or 308",
              redirect.redirect_code());
  }
  if (!redirect.uri().empty() && !redirect.prefix_rewrite().empty()) {
    out.error(at(path, "prefixRewrite"), "cannot stand together with \"uri\": keep one of them");
  }
  bool target = !redirect.uri().empty() || !redirect.authority().empty() ||
                !redirect.scheme().empty() || !redirect.prefix_rewrite().empty() ||
                redirect.redirect_port_case() != 0;
  if (!target) out.error(path, "leads nowhere: write uri, authority, scheme or port in it");
  if (redirect.redirect_port_case() == schema::HTTPRedirect::kPort) {
    check_port(out, at(path, "port"), redirect.port());
  }
}

void check_rewrite(Findings& out, const std::string& path, const schema::HTTPRewrite& rewrite) {
  if (rewrite.uri().empty() && rewrite.authority().empty() && !rewrite.has_uri_regex_rewrite()) {
    out.error(path, "is empty: write uri, authority or uriRegexRewrite in it");
  }
  if (!rewrite.has_uri_regex_rewrite()) return;
  if (!rewrite.uri().empty()) {
    out.error(at(path, "uriRegexRewrite"), "cannot stand together with \"uri\": keep one of them");
  }
  check_regex(out, at(path, "uriRegexRewrite.match"), rewrite.uri_regex_rewrite().match());
}

void check_cors(Findings& out, const std::string& path, const schema::CorsPolicy& cors) {
  for (int i = 0; i < cors.allow_origins_size(); ++i) {
    check_match(out, at(path, "allowOrigins", i), cors.allow_origins(i));
  }
  static constexpr std::array<std::string_view, 10> kMethods = {
      "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"};
  for (int i = 0; i < cors.allow_methods_size(); ++i) {
    if (std::ranges::find(kMethods, cors.allow_methods(i)) == kMethods.end()) {
      out.error(at(path, "allowMethods", i),
                "\"{}\" is not an HTTP method: write it in capitals, such as GET",
                cors.allow_methods(i));
    }
  }
}

void check_header_operations(Findings& out, const std::string& path,
                             const schema::Headers& headers) {
  auto one = [&](std::string_view side, const schema::Headers::HeaderOperations& operations) {
    for (const auto* map : {&operations.set(), &operations.add()}) {
      for (const auto& [name, value] : *map) {
        if (valid_header_name(name)) continue;
        out.error(
            fmt::format("{}.{}.{}[{}]", path, side, map == &operations.set() ? "set" : "add", name),
            "\"{}\" is not a header's name", name);
      }
    }
    for (int i = 0; i < operations.remove_size(); ++i) {
      if (!valid_header_name(operations.remove(i))) {
        out.error(fmt::format("{}.{}.remove[{}]", path, side, i), "\"{}\" is not a header's name",
                  operations.remove(i));
      }
    }
  };
  one("request", headers.request());
  one("response", headers.response());
}

// The authority may be written in one place only.
void check_authority(Findings& out, const std::string& path, const HTTPRoute& route) {
  int places = route.rewrite().authority().empty() ? 0 : 1;
  const auto& request = route.headers().request();
  for (const auto* map : {&request.set(), &request.add()}) {
    for (const auto& [name, value] : *map) {
      if (equals_ignore_case(name, "host") || equals_ignore_case(name, ":authority")) ++places;
    }
  }
  if (places > 1) {
    out.error(at(path, "headers.request"),
              "the authority is set more than once: keep one of rewrite.authority, set and add");
  }
}

void check_route_target(Findings& out, const std::string& path, const HTTPRoute& route) {
  bool targets[] = {route.route_size() > 0, route.has_redirect(), route.has_direct_response(),
                    route.has_delegate()};
  constexpr std::string_view kNames[] = {"route", "redirect", "directResponse", "delegate"};
  int first = -1;
  for (int i = 0; i < 4; ++i) {
    if (!targets[i]) continue;
    if (first >= 0) {
      out.error(at(path, kNames[i]), "HTTP route cannot contain both {} and {}: keep one of them",
                kNames[first], kNames[i]);
    } else {
      first = i;
    }
  }
  if (first < 0) {
    out.error(path,
              "says where nothing goes: write route with a destination, redirect, directResponse "
              "or delegate");
  }
  if (route.has_redirect() && route.has_fault()) {
    out.error(at(path, "fault"),
              "HTTP route cannot contain both fault and redirect: keep one of them");
  }
  if (route.has_redirect() && route.has_rewrite()) {
    out.error(at(path, "rewrite"),
              "HTTP route cannot contain both rewrite and redirect: keep one of them");
  }
  if (route.has_direct_response() && route.has_fault()) {
    out.error(at(path, "fault"),
              "HTTP route cannot contain both fault and directResponse: keep one of them");
  }
  if (route.has_direct_response() && route.has_rewrite()) {
    out.error(at(path, "rewrite"),
              "HTTP route cannot contain both rewrite and directResponse: keep one of them");
  }
  if (route.has_direct_response() &&
      (route.direct_response().status() < 100 || route.direct_response().status() > 599)) {
    out.error(at(path, "directResponse.status"),
              "{} is not an HTTP status: write one from 100 to 599",
              route.direct_response().status());
  }
}

void check_mirrors(Findings& out, const std::string& path, const HTTPRoute& route) {
  if (route.has_mirror() && route.mirrors_size() > 0) {
    out.error(at(path, "mirrors"), "cannot stand together with \"mirror\": keep mirrors");
  }
  if (route.has_mirror()) check_destination(out, at(path, "mirror"), route.mirror());
  if (route.has_mirror_percentage()) {
    check_percent(out, at(path, "mirrorPercentage.value"), route.mirror_percentage().value());
  }
  for (int i = 0; i < route.mirrors_size(); ++i) {
    std::string where = at(path, "mirrors", i);
    check_destination(out, at(where, "destination"), route.mirrors(i).destination());
    if (route.mirrors(i).has_percentage()) {
      check_percent(out, at(where, "percentage.value"), route.mirrors(i).percentage().value());
    }
  }
}

void check_http(Findings& out, const std::string& path, const HTTPRoute& route) {
  for (int i = 0; i < route.match_size(); ++i)
    check_request_match(out, at(path, "match", i), route.match(i));
  check_route_target(out, path, route);
  check_authority(out, path, route);
  check_destinations(out, at(path, "route"), route.route());
  for (int i = 0; i < route.route_size(); ++i) {
    if (route.route(i).has_headers()) {
      check_header_operations(out, at(at(path, "route", i), "headers"), route.route(i).headers());
    }
  }
  if (route.has_redirect()) check_redirect(out, at(path, "redirect"), route.redirect());
  if (route.has_rewrite()) check_rewrite(out, at(path, "rewrite"), route.rewrite());
  if (route.has_timeout() && (route.timeout().seconds() || route.timeout().nanos())) {
    check_duration(out, at(path, "timeout"), route.timeout());
  }
  if (route.has_retries()) check_retries(out, at(path, "retries"), route.retries());
  if (route.has_fault()) check_fault(out, at(path, "fault"), route.fault());
  if (route.has_cors_policy()) check_cors(out, at(path, "corsPolicy"), route.cors_policy());
  if (route.has_headers()) check_header_operations(out, at(path, "headers"), route.headers());
  check_mirrors(out, path, route);
}

// "*.example.com" has "a.example.com"; equal names have each other.
bool host_within(std::string_view inner, std::string_view outer) {
  if (outer == "*" || inner == outer) return true;
  return outer.starts_with("*.") && inner.ends_with(outer.substr(1)) &&
         inner.size() > outer.size() - 1;
}

void check_tls(Findings& out, const std::string& path, const schema::TLSRoute& route,
               const schema::VirtualService& spec) {
  for (int i = 0; i < route.match_size(); ++i) {
    std::string where = at(path, "match", i);
    const auto& match = route.match(i);
    if (match.sni_hosts_size() == 0) {
      out.error(at(where, "sniHosts"), "is empty: write the host names of the TLS handshake");
    }
    for (int j = 0; j < match.sni_hosts_size(); ++j) {
      const std::string& sni = match.sni_hosts(j);
      check_host(out, at(where, "sniHosts", j), sni);
      bool within = std::ranges::any_of(spec.hosts(),
                                        [&](const auto& host) { return host_within(sni, host); });
      if (!within) {
        out.error(at(where, "sniHosts", j), "\"{}\" is not within any of spec.hosts: add it there",
                  sni);
      }
    }
    if (match.port() != 0) check_port(out, at(where, "port"), match.port());
  }
  if (route.route_size() == 0) out.error(at(path, "route"), "is empty: write a destination");
  check_destinations(out, at(path, "route"), route.route());
}

void check_hosts(Findings& out, const schema::VirtualService& spec) {
  bool mesh = spec.gateways_size() == 0 ||
              std::ranges::find(spec.gateways(), "mesh") != spec.gateways().end();
  for (int i = 0; i < spec.hosts_size(); ++i) {
    std::string where = at("spec", "hosts", i);
    check_host(out, where, spec.hosts(i));
    if (mesh && spec.hosts(i) == "*") {
      out.error(
          where,
          "wildcard host * is not allowed for virtual services bound to the mesh gateway: name the "
          "hosts, or write gateways with the Gateway it is for");
    }
    if (std::find(spec.hosts().begin(), spec.hosts().begin() + i, spec.hosts(i)) !=
        spec.hosts().begin() + i) {
      out.error(where, "\"{}\" stands twice: remove one", spec.hosts(i));
    }
  }
  if (spec.hosts_size() == 0) {
    if (spec.gateways_size() > 0) {
      out.error("spec.hosts", "is empty: write the hosts these gateways serve");
    } else {
      out.warn("spec.hosts",
               "is empty: nothing uses this unless another VirtualService delegates to it");
    }
  }
}

// A route that everything matches hides those after it.
void check_reach(Findings& out, const schema::VirtualService& spec) {
  for (int i = 0; i + 1 < spec.http_size(); ++i) {
    if (spec.http(i).match_size() > 0) continue;
    out.warn(at("spec", "http", i + 1),
             "is never reached: spec.http[{}] has no match and takes every request", i);
    return;
  }
}

}  // namespace

void check_virtual_service(Findings& out, const schema::VirtualService& spec) {
  check_hosts(out, spec);
  for (int i = 0; i < spec.gateways_size(); ++i) {
    check_gateway_name(out, at("spec", "gateways", i), spec.gateways(i));
  }
  if (spec.http_size() + spec.tcp_size() + spec.tls_size() == 0) {
    out.error("spec", "has no routes: write http, tcp or tls");
  }
  for (int i = 0; i < spec.http_size(); ++i) check_http(out, at("spec", "http", i), spec.http(i));
  for (int i = 0; i < spec.tls_size(); ++i) check_tls(out, at("spec", "tls", i), spec.tls(i), spec);
  for (int i = 0; i < spec.tcp_size(); ++i) {
    std::string path = at("spec", "tcp", i);
    for (int j = 0; j < spec.tcp(i).match_size(); ++j) {
      const auto& match = spec.tcp(i).match(j);
      if (match.port() != 0) check_port(out, at(at(path, "match", j), "port"), match.port());
      for (int k = 0; k < match.destination_subnets_size(); ++k) {
        if (!is_cidr_or_ip(match.destination_subnets(k))) {
          out.error(at(at(path, "match", j), "destinationSubnets", k),
                    "\"{}\" is not an address range: write it as 10.0.0.0/8",
                    match.destination_subnets(k));
        }
      }
      if (!match.source_subnet().empty() && !is_cidr_or_ip(match.source_subnet())) {
        out.error(at(at(path, "match", j), "sourceSubnet"),
                  "\"{}\" is not an address range: write it as 10.0.0.0/8", match.source_subnet());
      }
    }
    if (spec.tcp(i).route_size() == 0)
      out.error(at(path, "route"), "is empty: write a destination");
    check_destinations(out, at(path, "route"), spec.tcp(i).route());
  }
  for (int i = 0; i < spec.export_to_size(); ++i)
    check_export_to(out, at("spec", "exportTo", i), spec.export_to(i));
  check_reach(out, spec);
}

}  // namespace mizzen::config
