#include "control/translate/http_action.h"

#include <fmt/core.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <cmath>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/destination.h"
#include "control/translate/outbound_plan.h"
#include "control/translate/route_filters.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/v3/percent.pb.h"

namespace mizzen::control {

namespace rds = envoy::config::route::v3;

namespace {

std::uint16_t destination_port(const Service* service, const DestinationSpec& destination,
                               std::uint16_t listener_port) {
  if (destination.port().number() != 0) return destination.port().number();
  if (service != nullptr && service->ports.size() == 1) return service->ports.front().number;
  return listener_port;
}

template <class Owner>
void add_header(const std::string& name, const std::string& value, bool overwrite, Owner* option) {
  option->mutable_header()->set_key(name);
  option->mutable_header()->set_value(value);
  option->set_append_action(
      overwrite ? envoy::config::core::v3::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD
                : envoy::config::core::v3::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD);
}

template <class Map>
std::map<std::string, std::string> in_order(const Map& map) {
  return {map.begin(), map.end()};
}

bool is_authority(const std::string& name) {
  return equals_ignore_case(name, ":authority") || equals_ignore_case(name, "host");
}

// Pseudo headers and the authority are no ordinary headers: Envoy refuses to touch them.
bool is_internal(const std::string& name) { return name.starts_with(':') || is_authority(name); }

template <class Map, class Add>
void add_headers(const Map& map, bool overwrite, Add add) {
  for (const auto& [name, value] : in_order(map)) {
    if (!is_internal(name)) add_header(name, value, overwrite, add());
  }
}

template <class Map>
void find_authority(const Map& map, std::string* authority) {
  for (const auto& [name, value] : in_order(map)) {
    if (is_authority(name)) *authority = value;
  }
}

// Header operations of a route or of one weighted destination, behind those that are there. The
// authority among them, if any: the one that `set` names goes before that of `add`.
template <class Owner>
std::string fill_headers(const HeadersSpec& headers, Owner* owner) {
  const auto request = [&] { return owner->add_request_headers_to_add(); };
  const auto response = [&] { return owner->add_response_headers_to_add(); };
  add_headers(headers.request().set(), true, request);
  add_headers(headers.request().add(), false, request);
  add_headers(headers.response().set(), true, response);
  add_headers(headers.response().add(), false, response);
  for (const std::string& name : headers.request().remove()) {
    if (!is_internal(name)) owner->add_request_headers_to_remove(name);
  }
  for (const std::string& name : headers.response().remove()) {
    if (!is_internal(name)) owner->add_response_headers_to_remove(name);
  }
  std::string authority;
  find_authority(headers.request().add(), &authority);
  find_authority(headers.request().set(), &authority);
  return authority;
}

void fill_redirect(const RouteContext& context, const HttpRouteSpec& http, rds::Route* route) {
  const auto& spec = http.redirect();
  rds::RedirectAction* redirect = route->mutable_redirect();
  if (!spec.authority().empty()) redirect->set_host_redirect(spec.authority());
  if (spec.uri().starts_with("%PREFIX()%")) {
    redirect->set_prefix_rewrite(spec.uri().substr(10));
  } else if (!spec.prefix_rewrite().empty()) {
    redirect->set_prefix_rewrite(spec.prefix_rewrite());
  } else if (!spec.uri().empty()) {
    redirect->set_path_redirect(spec.uri());
  }
  if (!spec.scheme().empty()) redirect->set_scheme_redirect(spec.scheme());
  std::uint32_t port = spec.port();
  if (spec.derive_port() == schema::HTTPRedirect::FROM_REQUEST_PORT) port = context.port;
  // A scheme's own port is not said.
  std::string_view scheme = spec.scheme();
  if (scheme.empty()) scheme = context.tls ? "https" : "http";
  const bool usual = (port == 80 && scheme == "http") || (port == 443 && scheme == "https");
  if (!usual) redirect->set_port_redirect(port);
  switch (spec.redirect_code()) {
    case 302:
      redirect->set_response_code(rds::RedirectAction::FOUND);
      break;
    case 303:
      redirect->set_response_code(rds::RedirectAction::SEE_OTHER);
      break;
    case 307:
      redirect->set_response_code(rds::RedirectAction::TEMPORARY_REDIRECT);
      break;
    case 308:
      redirect->set_response_code(rds::RedirectAction::PERMANENT_REDIRECT);
      break;
    default:
      redirect->set_response_code(rds::RedirectAction::MOVED_PERMANENTLY);
      break;
  }
}

void fill_direct_response(const HttpRouteSpec& http, rds::Route* route) {
  const auto& spec = http.direct_response();
  route->mutable_direct_response()->set_status(spec.status());
  if (!spec.has_body()) return;
  auto* body = route->mutable_direct_response()->mutable_body();
  if (!spec.body().bytes().empty()) {
    body->set_inline_bytes(spec.body().bytes());
  } else {
    body->set_inline_string(spec.body().string());
  }
}

// "gateway-error,503" names conditions and status codes; Envoy wants the codes apart.
void fill_retry_on(const std::string& words, rds::RetryPolicy* policy) {
  std::vector<std::string> conditions;
  for (const std::string_view word : split(words, ',')) {
    const std::string_view condition = trim(word);
    const auto code = parse_int<std::uint32_t>(condition);
    if (code) {
      policy->add_retriable_status_codes(*code);
    } else if (!condition.empty()) {
      conditions.emplace_back(condition);
    }
  }
  const std::string with_codes = "retriable-status-codes";
  if (policy->retriable_status_codes_size() > 0 &&
      std::ranges::find(conditions, with_codes) == conditions.end()) {
    conditions.push_back(with_codes);
  }
  policy->set_retry_on(join(conditions, ","));
}

template <class Mirror>
void add_mirror(const RouteContext& context, const Mirror& destination, double percent,
                rds::RouteAction* action) {
  rds::RouteAction::RequestMirrorPolicy* policy = action->add_request_mirror_policies();
  policy->set_cluster(
      destination_cluster(context.view, context.rule.name_space, destination, context.port));
  auto* fraction = policy->mutable_runtime_fraction()->mutable_default_value();
  fraction->set_numerator(static_cast<std::uint32_t>(std::lround(percent * 10'000)));
  fraction->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
  policy->mutable_trace_sampled()->set_value(false);
  policy->set_disable_shadow_host_suffix_append(true);
}

void fill_mirrors(const RouteContext& context, const HttpRouteSpec& http,
                  rds::RouteAction* action) {
  if (http.has_mirror()) {
    const double percent = http.has_mirror_percentage() ? http.mirror_percentage().value()
                           : http.has_mirror_percent()  ? static_cast<double>(http.mirror_percent())
                                                        : 100.0;
    if (percent > 0) add_mirror(context, http.mirror(), percent, action);
  }
  for (const auto& mirror : http.mirrors()) {
    const double percent = mirror.has_percentage() ? mirror.percentage().value() : 100.0;
    if (percent > 0) add_mirror(context, mirror.destination(), percent, action);
  }
}

void fill_rewrite(const HttpRouteSpec& http, rds::RouteAction* action) {
  if (!http.has_rewrite()) return;
  const auto& rewrite = http.rewrite();
  if (rewrite.has_uri_regex_rewrite()) {
    auto* regex = action->mutable_regex_rewrite();
    regex->mutable_pattern()->set_regex(rewrite.uri_regex_rewrite().match());
    regex->set_substitution(rewrite.uri_regex_rewrite().rewrite());
  } else if (!rewrite.uri().empty()) {
    action->set_prefix_rewrite(rewrite.uri());
  }
}

// One destination is the route's cluster; several are weighted. `authority`: what goes upstream
// unless a weighted destination says otherwise; empty for what came.
void fill_destinations(const RouteContext& context, const HttpRouteSpec& http,
                       std::string authority, rds::Route* route) {
  rds::RouteAction* action = route->mutable_route();
  const auto cluster = [&](const HttpDestinationSpec& weighted) {
    return destination_cluster(context.view, context.rule.name_space, weighted.destination(),
                               context.port);
  };
  if (http.route_size() == 1) {
    action->set_cluster(cluster(http.route(0)));
    const std::string own = fill_headers(http.route(0).headers(), route);
    if (authority.empty()) authority = own;
  } else {
    for (const HttpDestinationSpec& weighted : http.route()) {
      if (weighted.weight() == 0) continue;
      auto* out = action->mutable_weighted_clusters()->add_clusters();
      out->set_name(cluster(weighted));
      out->mutable_weight()->set_value(static_cast<std::uint32_t>(weighted.weight()));
      const std::string own = fill_headers(weighted.headers(), out);
      if (!own.empty()) out->set_host_rewrite_literal(own);
    }
  }
  if (!authority.empty()) action->set_host_rewrite_literal(authority);
}

// The consistent hashes of all destinations. True when the only one has one: its retries may go to
// the same host again.
bool fill_hashes(const RouteContext& context, const HttpRouteSpec& http, rds::RouteAction* action) {
  bool hashed = false;
  for (const HttpDestinationSpec& weighted : http.route()) {
    const DestinationSpec& to = weighted.destination();
    const std::string host =
        resolve_host(to.host(), context.rule.name_space, context.view.mesh().domain);
    const std::uint16_t port =
        destination_port(context.view.snapshot.service(host), to, context.port);
    hashed = add_hash_policy(context.view, host, to.subset(), port, action);
  }
  return hashed && http.route_size() == 1;
}

void fill_forward(const RouteContext& context, const HttpRouteSpec& http, const std::string& path,
                  std::string authority, rds::Route* route) {
  rds::RouteAction* action = route->mutable_route();
  const DestinationSpec& first = http.route(0).destination();
  const std::string host =
      resolve_host(first.host(), context.rule.name_space, context.view.mesh().domain);
  const std::uint16_t port =
      destination_port(context.view.snapshot.service(host), first, context.port);
  // Istio names a span after the host as it is written where there are several destinations.
  const std::string& named = http.route_size() == 1 ? host : first.host();
  route->mutable_decorator()->set_operation(host_and_port(named, port) + path);
  fill_rewrite(http, action);
  if (!http.rewrite().authority().empty()) authority = http.rewrite().authority();
  fill_destinations(context, http, std::move(authority), route);
  fill_retries(context.view.mesh(), http.has_retries() ? &http.retries() : nullptr,
               fill_hashes(context, http, action), action);
  *action->mutable_timeout() = http.timeout();
  *action->mutable_max_stream_duration()->mutable_grpc_timeout_header_max() = http.timeout();
  action->mutable_max_stream_duration()->mutable_max_stream_duration();
  fill_mirrors(context, http, action);
}

}  // namespace

void fill_retries(const MeshConfig& mesh, const RetrySpec* said, bool hashed,
                  rds::RouteAction* action) {
  RetrySpec of_mesh;
  if (said == nullptr && mesh.has_default_retries) {
    of_mesh.ParseFromString(mesh.default_retries);
    said = &of_mesh;
  }
  if (said == nullptr) {
    default_retries(!hashed, action->mutable_retry_policy());
    return;
  }
  const RetrySpec& spec = *said;
  if (spec.attempts() <= 0) return;
  rds::RetryPolicy* policy = action->mutable_retry_policy();
  default_retries(
      spec.has_retry_ignore_previous_hosts() ? spec.retry_ignore_previous_hosts() : !hashed,
      policy);
  policy->mutable_num_retries()->set_value(static_cast<std::uint32_t>(spec.attempts()));
  if (!spec.retry_on().empty()) fill_retry_on(spec.retry_on(), policy);
  if (spec.has_per_try_timeout()) *policy->mutable_per_try_timeout() = spec.per_try_timeout();
  if (spec.retry_remote_localities()) {
    // PreviousPrioritiesConfig: its only field is `int32 update_frequency = 1`, as the wrapper's.
    google::protobuf::Int32Value update_frequency;
    update_frequency.set_value(2);
    auto* priority = policy->mutable_retry_priority();
    priority->set_name(std::string(api::kPreviousPriorities));
    priority->mutable_typed_config()->set_type_url(std::string(api::kPreviousPrioritiesType));
    priority->mutable_typed_config()->set_value(update_frequency.SerializeAsString());
  }
  if (spec.has_backoff()) {
    *policy->mutable_retry_back_off()->mutable_base_interval() = spec.backoff();
  }
}

std::string destination_cluster(const View& view, std::string_view name_space,
                                const DestinationSpec& destination, std::uint16_t listener_port) {
  const std::string host = resolve_host(destination.host(), name_space, view.mesh().domain);
  const std::uint16_t port =
      destination_port(view.snapshot.service(host), destination, listener_port);
  return api::outbound_cluster(port, destination.subset(), host);
}

void fill_action(const RouteContext& context, const HttpRouteSpec& http, const std::string& path,
                 rds::Route* route) {
  std::string authority = fill_headers(http.headers(), route);
  if (http.has_redirect()) {
    fill_redirect(context, http, route);
  } else if (http.has_direct_response()) {
    fill_direct_response(http, route);
  } else if (http.route_size() > 0) {
    fill_forward(context, http, path, std::move(authority), route);
  } else {
    // Nothing to do with the request: as for a route that is not there.
    route->mutable_direct_response()->set_status(404);
  }
  fill_route_filters(http, route);
}

}  // namespace mizzen::control
