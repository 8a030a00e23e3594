#include "control/translate/http_route.h"

#include <fmt/core.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/destination.h"
#include "control/translate/http_action.h"
#include "control/translate/http_match.h"
#include "control/translate/outbound_plan.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"

namespace mizzen::control {

namespace rds = envoy::config::route::v3;

namespace {

constexpr std::string_view kDefaultRetryOn =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

// "/productpage", "/static*", or the regular expression: what a span is called after.
std::string path_of(const rds::RouteMatch& match) {
  if (match.has_path()) return match.path();
  if (match.has_safe_regex()) return match.safe_regex().regex();
  if (match.has_path_separated_prefix()) return match.path_separated_prefix() + "/*";
  return match.prefix() + "*";
}

std::string route_name(const HttpRouteSpec& http, const HttpMatchSpec* match) {
  if (match == nullptr || match->name().empty()) return http.name();
  return http.name() + "." + match->name();
}

void add_route(const RouteContext& context, const HttpRouteSpec& http, const HttpMatchSpec* match,
               rds::VirtualHost* host) {
  rds::Route* route = host->add_routes();
  route->set_name(route_name(http, match));
  fill_match(match, context.rule.ingress, route->mutable_match());
  if (match != nullptr) route->set_stat_prefix(match->stat_prefix());
  set_config_metadata(route->mutable_metadata(), "virtual-service", context.rule.name_space,
                      context.rule.name);
  fill_action(context, http, path_of(route->match()), route);
}

bool takes_all(const rds::RouteMatch& match) {
  const bool any_path =
      match.prefix() == "/" || (match.has_safe_regex() && match.safe_regex().regex() == ".*");
  return any_path && match.headers().empty() && match.query_parameters().empty();
}

// True when nothing after it can be reached.
bool add_http(const RouteContext& context, const HttpRouteSpec& http, rds::VirtualHost* host) {
  if (http.match().empty()) {
    add_route(context, http, nullptr, host);
    return true;
  }
  for (const HttpMatchSpec& match : http.match()) {
    if (!match_applies(match, context)) continue;
    add_route(context, http, &match, host);
    if (takes_all(host->routes(host->routes_size() - 1).match())) return true;
  }
  return false;
}

}  // namespace

bool bound_to(const VirtualServiceRule& rule, std::string_view gateway) {
  if (rule.spec->gateways().empty()) return gateway == "mesh";
  return names_gateway(rule.spec->gateways(), rule.name_space, gateway);
}

bool reaches(const VirtualServiceRule& rule, const Proxy& proxy) {
  const std::vector<std::string> export_to(rule.spec->export_to().begin(),
                                           rule.spec->export_to().end());
  return exported_to(export_to, rule.name_space, proxy.name_space);
}

void default_retries(bool previous_hosts, rds::RetryPolicy* policy) {
  policy->set_retry_on(std::string(kDefaultRetryOn));
  policy->mutable_num_retries()->set_value(2);
  policy->set_host_selection_retry_max_attempts(5);
  if (!previous_hosts) return;
  auto* predicate = policy->add_retry_host_predicate();
  predicate->set_name(std::string(api::kPreviousHosts));
  predicate->mutable_typed_config()->PackFrom(
      envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate());
}

bool add_routes(const RouteContext& context, rds::VirtualHost* host) {
  const int before = host->routes_size();
  for (const HttpRouteSpec& http : context.rule.spec->http()) {
    if (add_http(context, http, host)) break;
  }
  return host->routes_size() > before;
}

void put_catch_all_last(rds::VirtualHost* host) {
  std::stable_partition(host->mutable_routes()->pointer_begin(),
                        host->mutable_routes()->pointer_end(),
                        [](const rds::Route* route) { return !takes_all(route->match()); });
}

void add_default_route(const View& view, const Service& service, std::uint16_t port,
                       rds::VirtualHost* host) {
  rds::Route* route = host->add_routes();
  route->set_name("default");
  route->mutable_match()->set_prefix("/");
  route->mutable_decorator()->set_operation(host_and_port(service.host, port) + "/*");
  rds::RouteAction* action = route->mutable_route();
  action->set_cluster(api::outbound_cluster(port, "", service.host));
  action->mutable_timeout();
  action->mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
  action->mutable_max_stream_duration()->mutable_max_stream_duration();
  const bool hashed = add_hash_policy(view, service.host, "", port, action);
  fill_retries(view.mesh(), nullptr, hashed, action);
}

}  // namespace mizzen::control
