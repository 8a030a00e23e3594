#include <fmt/format.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "proxy/config/compile.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace rds = envoy::config::route::v3;
using envoy::config::core::v3::HeaderValueOption;

template <class Message>
Status compile_mutations(const Message& message, route::HeaderMutations& to) {
  auto add = [](const HeaderValueOption& option, std::vector<route::HeaderValue>& list) {
    route::HeaderValue value;
    value.name = lower(option.header().key());
    value.value = option.header().value();
    value.has_commands = value.value.find('%') != std::string::npos;
    value.keep_empty = option.keep_empty_value();
    switch (option.append_action()) {
      case HeaderValueOption::ADD_IF_ABSENT:
        value.append = route::HeaderValue::Append::kAddIfAbsent;
        break;
      case HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD:
        value.append = route::HeaderValue::Append::kOverwriteOrAdd;
        break;
      case HeaderValueOption::OVERWRITE_IF_EXISTS:
        value.append = route::HeaderValue::Append::kOverwriteIfExists;
        break;
      default:
        // The deprecated `append: false` says "overwrite".
        value.append = option.has_append() && !option.append().value()
                           ? route::HeaderValue::Append::kOverwriteOrAdd
                           : route::HeaderValue::Append::kAppend;
    }
    list.push_back(std::move(value));
  };
  for (const auto& option : message.request_headers_to_add()) add(option, to.request_add);
  for (const auto& option : message.response_headers_to_add()) add(option, to.response_add);
  for (const auto& name : message.request_headers_to_remove()) {
    to.request_remove.push_back(lower(name));
  }
  for (const auto& name : message.response_headers_to_remove()) {
    to.response_remove.push_back(lower(name));
  }
  for (const auto& removed : to.request_remove) {
    if (removed.starts_with(':') || removed == "host") {
      return fail(Code::kInvalid, "request_headers_to_remove: '" + removed + "' cannot be removed");
    }
  }
  return {};
}

template <class Message>
Status compile_filters(const Message& message, const CompileContext& context,
                       route::PerFilter& to) {
  for (const auto& [name, any] : message.typed_per_filter_config()) {
    auto status = compile_per_filter(name, any, context, to);
    if (!status) {
      return std::unexpected(status.error().in(fmt::format("typed_per_filter_config['{}']", name)));
    }
  }
  return {};
}

Result<std::optional<route::RegexRewrite>> compile_rewrite(
    const envoy::type::matcher::v3::RegexMatchAndSubstitute& rewrite) {
  MIZZEN_TRY(auto regex, route::compile_regex(rewrite.pattern().regex()));
  return route::RegexRewrite{std::move(regex), rewrite.substitution()};
}

Status compile_path(const rds::RouteMatch& match, route::PathMatcher& path) {
  using Kind = route::PathMatcher::Kind;
  switch (match.path_specifier_case()) {
    case rds::RouteMatch::kPrefix:
      path.kind = Kind::kPrefix;
      path.value = match.prefix();
      break;
    case rds::RouteMatch::kPath:
      path.kind = Kind::kExact;
      path.value = match.path();
      break;
    case rds::RouteMatch::kPathSeparatedPrefix:
      path.kind = Kind::kSeparatedPrefix;
      path.value = match.path_separated_prefix();
      break;
    case rds::RouteMatch::kSafeRegex: {
      path.kind = Kind::kRegex;
      path.value = match.safe_regex().regex();
      MIZZEN_TRY(path.regex, route::compile_regex(path.value));
      break;
    }
    case rds::RouteMatch::kConnectMatcher:
      path.kind = Kind::kConnect;
      break;
    default:
      return fail(Code::kInvalid, "match: no path specifier is set");
  }
  path.case_sensitive = !match.has_case_sensitive() || match.case_sensitive().value();
  if (!path.case_sensitive && path.kind != Kind::kRegex) path.value = lower(path.value);
  return {};
}

Status compile_match(const rds::RouteMatch& from, route::Match& to) {
  MIZZEN_CHECKED(compile_path(from, to.path));
  for (int i = 0; i < from.headers_size(); ++i) {
    auto header = compile_header(from.headers(i));
    if (!header) return std::unexpected(header.error().in(fmt::format("match.headers[{}]", i)));
    to.headers.push_back(std::move(*header));
  }
  for (int i = 0; i < from.query_parameters_size(); ++i) {
    const auto& parameter = from.query_parameters(i);
    route::QueryMatcher matcher{parameter.name(), std::nullopt};
    if (parameter.has_string_match()) {
      auto text = compile_string(parameter.string_match());
      if (!text) {
        return std::unexpected(text.error().in(fmt::format("match.query_parameters[{}]", i)));
      }
      matcher.text = std::move(*text);
    }
    to.query.push_back(std::move(matcher));
  }
  to.grpc_only = from.has_grpc();
  if (from.has_runtime_fraction()) {
    MIZZEN_TRY(to.runtime_fraction, compile_fraction(from.runtime_fraction().default_value()));
  }
  return {};
}

Status compile_retry_priority(const rds::RetryPolicy& from, route::RetryPolicy& policy) {
  if (!from.has_retry_priority()) return {};
  constexpr std::string_view kPrevious =
      "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3."
      "PreviousPrioritiesConfig";
  const auto& any = from.retry_priority().typed_config();
  // Its only field is `int32 update_frequency = 1`, as that of the wrapper is.
  google::protobuf::Int32Value frequency;
  if (any.type_url() != kPrevious || !frequency.ParseFromString(any.value())) {
    return fail(Code::kUnsupported, "retry_priority: '" + from.retry_priority().name() +
                                        "' is not supported by this proxy; "
                                        "envoy.retry_priorities.previous_priorities is");
  }
  if (frequency.value() <= 0) {
    return fail(Code::kInvalid, "retry_priority.update_frequency: must be above 0");
  }
  policy.leave_priority_after = static_cast<std::uint32_t>(frequency.value());
  return {};
}

Status compile_reset_headers(const rds::RetryPolicy& from, route::RetryPolicy& policy) {
  if (!from.has_rate_limited_retry_back_off()) return {};
  const auto& limited = from.rate_limited_retry_back_off();
  if (limited.reset_headers().empty()) {
    return fail(Code::kInvalid, "rate_limited_retry_back_off.reset_headers: must not be empty");
  }
  for (const auto& header : limited.reset_headers()) {
    policy.reset_headers.push_back(
        {lower(header.name()), header.format() == rds::RetryPolicy::UNIX_TIMESTAMP});
  }
  if (limited.has_max_interval()) policy.max_reset = duration_of(limited.max_interval());
  return {};
}

Result<route::RetryPolicy> compile_retry(const rds::RetryPolicy& from,
                                         const CompileContext& context) {
  route::RetryPolicy policy;
  std::vector<std::string> unknown;
  policy.on = route::parse_retry_on(from.retry_on(), &unknown);
  for (const auto& word : unknown) {
    context.warn("retry_policy.retry_on: '" + word + "' is not known and has no effect");
  }
  if (from.has_num_retries()) policy.attempts = from.num_retries().value();
  policy.per_try_timeout = duration_of(from.per_try_timeout());
  policy.per_try_idle_timeout = duration_of(from.per_try_idle_timeout());
  for (auto code : from.retriable_status_codes()) {
    if (code < 100 || code > 599) {
      return fail(Code::kInvalid, fmt::format("retriable_status_codes: {} is not a status", code));
    }
    policy.status_codes.push_back(static_cast<std::uint16_t>(code));
  }
  for (const auto& header : from.retriable_headers()) {
    MIZZEN_TRY(auto matcher, compile_header(header));
    policy.response_headers.push_back(std::move(matcher));
  }
  for (const auto& header : from.retriable_request_headers()) {
    MIZZEN_TRY(auto matcher, compile_header(header));
    policy.request_headers.push_back(std::move(matcher));
  }
  for (const auto& predicate : from.retry_host_predicate()) {
    if (predicate.name() == api::kPreviousHosts) {
      policy.avoid_previous_hosts = true;
    } else {
      context.warn("retry_policy.retry_host_predicate: '" + predicate.name() + "' has no effect");
    }
  }
  MIZZEN_CHECKED(compile_retry_priority(from, policy));
  if (from.host_selection_retry_max_attempts() > 0) {
    policy.host_selection_attempts = static_cast<std::uint32_t>(
        std::min<std::int64_t>(from.host_selection_retry_max_attempts(), 100));
  }
  if (from.has_retry_back_off()) {
    policy.base_backoff = duration_of(from.retry_back_off().base_interval());
    policy.max_backoff = from.retry_back_off().has_max_interval()
                             ? duration_of(from.retry_back_off().max_interval())
                             : policy.base_backoff * 10;
    if (policy.base_backoff <= Duration::zero() || policy.max_backoff < policy.base_backoff) {
      return fail(Code::kInvalid,
                  "retry_back_off: base_interval must be above 0 and not above "
                  "max_interval");
    }
  }
  MIZZEN_CHECKED(compile_reset_headers(from, policy));
  return policy;
}

Status compile_weighted(const rds::WeightedCluster& from, const CompileContext& context,
                        route::Forward& to) {
  std::uint64_t total = 0;
  for (int i = 0; i < from.clusters_size(); ++i) {
    const auto& cluster = from.clusters(i);
    route::WeightedCluster made;
    made.cluster = cluster.name();
    made.weight = cluster.weight().value();
    made.host_rewrite = cluster.host_rewrite_literal();
    MIZZEN_CHECKED(compile_mutations(cluster, made.headers));
    MIZZEN_CHECKED(compile_filters(cluster, context, made.per_filter));
    if (made.cluster.empty()) {
      return fail(Code::kInvalid, fmt::format("weighted_clusters.clusters[{}].name: must not be "
                                              "empty",
                                              i));
    }
    total += made.weight;
    to.weighted.push_back(std::move(made));
  }
  if (total == 0 || total > UINT32_MAX) {
    return fail(Code::kInvalid, "weighted_clusters: the sum of the weights must be 1 to 2^32-1");
  }
  to.total_weight = static_cast<std::uint32_t>(total);
  return {};
}

void compile_times(const rds::RouteAction& from, route::Forward& to) {
  if (from.has_timeout()) to.timeout = duration_of(from.timeout());
  if (from.has_idle_timeout()) to.idle_timeout = duration_of(from.idle_timeout());
  if (from.max_stream_duration().has_max_stream_duration()) {
    to.max_stream_duration = duration_of(from.max_stream_duration().max_stream_duration());
  }
  if (from.has_max_grpc_timeout()) to.max_grpc_timeout = duration_of(from.max_grpc_timeout());
  if (from.max_stream_duration().has_grpc_timeout_header_max()) {
    to.max_grpc_timeout = duration_of(from.max_stream_duration().grpc_timeout_header_max());
  }
}

Status compile_cluster_choice(const rds::RouteAction& from, const CompileContext& context,
                              route::Forward& to) {
  switch (from.cluster_specifier_case()) {
    case rds::RouteAction::kCluster:
      to.cluster = from.cluster();
      break;
    case rds::RouteAction::kClusterHeader:
      to.cluster_header = lower(from.cluster_header());
      break;
    case rds::RouteAction::kWeightedClusters:
      MIZZEN_CHECKED(compile_weighted(from.weighted_clusters(), context, to));
      break;
    default:
      return fail(Code::kInvalid, "route: no cluster, cluster_header or weighted_clusters is set");
  }
  switch (from.cluster_not_found_response_code()) {
    case rds::RouteAction::NOT_FOUND:
      to.cluster_not_found_status = 404;
      break;
    case rds::RouteAction::INTERNAL_SERVER_ERROR:
      to.cluster_not_found_status = 500;
      break;
    default:
      to.cluster_not_found_status = 503;
  }
  return {};
}

Status compile_forward(const rds::RouteAction& from, const CompileContext& context,
                       route::Forward& to) {
  MIZZEN_CHECKED(compile_cluster_choice(from, context, to));
  to.prefix_rewrite = from.prefix_rewrite();
  if (from.has_regex_rewrite()) {
    MIZZEN_TRY(to.regex_rewrite, compile_rewrite(from.regex_rewrite()));
  }
  to.host_rewrite = from.host_rewrite_literal();
  to.host_rewrite_header = lower(from.host_rewrite_header());
  to.auto_host_rewrite = from.auto_host_rewrite().value();
  to.append_x_forwarded_host = from.append_x_forwarded_host();
  compile_times(from, to);
  if (from.has_retry_policy()) {
    MIZZEN_TRY(to.retry, compile_retry(from.retry_policy(), context));
  }
  for (const auto& policy : from.hash_policy()) {
    MIZZEN_TRY(auto made, compile_hash(policy));
    to.hash.push_back(std::move(made));
  }
  for (const auto& mirror : from.request_mirror_policies()) {
    route::Mirror made{mirror.cluster(), {}, !mirror.disable_shadow_host_suffix_append()};
    if (mirror.has_runtime_fraction()) {
      MIZZEN_TRY(made.fraction, compile_fraction(mirror.runtime_fraction().default_value()));
    }
    to.mirrors.push_back(std::move(made));
  }
  for (const auto& upgrade : from.upgrade_configs()) {
    to.upgrades.emplace_back(lower(upgrade.upgrade_type()),
                             !upgrade.has_enabled() || upgrade.enabled().value());
    if (!upgrade.has_connect_config() || to.upgrades.back().first != "connect") continue;
    to.terminate_connect = true;
  }
  to.high_priority = from.priority() == envoy::config::core::v3::HIGH;
  return {};
}

Status compile_redirect(const rds::RedirectAction& from, route::Redirect& to) {
  if (from.https_redirect()) to.scheme = "https";
  if (!from.scheme_redirect().empty()) to.scheme = from.scheme_redirect();
  to.host = from.host_redirect();
  if (from.port_redirect() > 65535) {
    return fail(Code::kInvalid, "redirect.port_redirect: is above 65535");
  }
  to.port = static_cast<std::uint16_t>(from.port_redirect());
  to.path = from.path_redirect();
  to.prefix_rewrite = from.prefix_rewrite();
  if (from.has_regex_rewrite()) {
    MIZZEN_TRY(to.regex_rewrite, compile_rewrite(from.regex_rewrite()));
  }
  static constexpr std::uint16_t kStatuses[] = {301, 302, 303, 307, 308};
  auto code = static_cast<std::size_t>(from.response_code());
  if (code >= std::size(kStatuses)) {
    return fail(Code::kInvalid, "redirect.response_code: unknown value");
  }
  to.status = kStatuses[code];
  to.strip_query = from.strip_query();
  return {};
}

Result<route::Route> compile_route(const rds::Route& from, const CompileContext& context) {
  route::Route route;
  route.name = from.name();
  route.operation = from.decorator().operation();
  route.stat_prefix = from.stat_prefix();
  route.source = metadata_text(from.metadata(), api::kIstioMetadata, "config");
  MIZZEN_CHECKED(compile_match(from.match(), route.match));
  switch (from.action_case()) {
    case rds::Route::kRoute:
      route.action = route::Route::Action::kForward;
      MIZZEN_CHECKED(compile_forward(from.route(), context, route.forward));
      break;
    case rds::Route::kRedirect:
      route.action = route::Route::Action::kRedirect;
      MIZZEN_CHECKED(compile_redirect(from.redirect(), route.redirect));
      break;
    case rds::Route::kDirectResponse: {
      route.action = route::Route::Action::kDirectResponse;
      if (from.direct_response().status() < 100 || from.direct_response().status() > 599) {
        return fail(Code::kInvalid, "direct_response.status: must be 100 to 599");
      }
      route.direct.status = static_cast<std::uint16_t>(from.direct_response().status());
      MIZZEN_TRY(route.direct.body, data_of(from.direct_response().body()));
      break;
    }
    case rds::Route::kNonForwardingAction:
      route.action = route::Route::Action::kNone;
      break;
    default:
      return fail(Code::kInvalid, "no action is set: write route, redirect or direct_response");
  }
  MIZZEN_CHECKED(compile_mutations(from, route.headers));
  MIZZEN_CHECKED(compile_filters(from, context, route.per_filter));
  return route;
}

Result<route::VirtualHost> compile_host(const rds::VirtualHost& from,
                                        const CompileContext& context) {
  route::VirtualHost host;
  host.name = from.name();
  host.domains.assign(from.domains().begin(), from.domains().end());
  if (host.domains.empty()) return fail(Code::kInvalid, "domains: must not be empty");
  host.require_tls = static_cast<route::VirtualHost::RequireTls>(from.require_tls());
  host.include_attempt_count = from.include_request_attempt_count();
  host.include_attempt_count_in_response = from.include_attempt_count_in_response();
  MIZZEN_CHECKED(compile_mutations(from, host.headers));
  MIZZEN_CHECKED(compile_filters(from, context, host.per_filter));
  if (from.has_retry_policy()) {
    MIZZEN_TRY(host.retry, compile_retry(from.retry_policy(), context));
  }
  host.routes.reserve(static_cast<std::size_t>(from.routes_size()));
  for (int i = 0; i < from.routes_size(); ++i) {
    auto route = compile_route(from.routes(i), context);
    if (!route) return std::unexpected(route.error().in(fmt::format("routes[{}]", i)));
    host.routes.push_back(std::move(*route));
  }
  return host;
}

}  // namespace

Result<route::TableRef> compile_table(const rds::RouteConfiguration& config,
                                      const CompileContext& context) {
  auto table = std::make_shared<route::Table>();
  table->name = config.name();
  table->ignore_port = config.ignore_port_in_host_matching();
  table->most_specific_mutations_win = config.most_specific_header_mutations_wins();
  table->source = metadata_text(config.metadata(), api::kIstioMetadata, "config");
  MIZZEN_CHECKED(compile_mutations(config, table->headers));
  MIZZEN_CHECKED(compile_filters(config, context, table->per_filter));
  table->hosts.reserve(static_cast<std::size_t>(config.virtual_hosts_size()));
  for (int i = 0; i < config.virtual_hosts_size(); ++i) {
    auto host = compile_host(config.virtual_hosts(i), context);
    if (!host) {
      return std::unexpected(host.error().in(
          fmt::format("virtual_hosts[{}] '{}'", i, config.virtual_hosts(i).name())));
    }
    table->hosts.push_back(std::move(*host));
  }
  MIZZEN_CHECKED(table->index());
  return table;
}

Result<route::TableRef> compile_routes(std::string_view bytes, Warnings* warnings) {
  rds::RouteConfiguration config;
  if (!config.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(Code::kInvalid, "not a RouteConfiguration message");
  }
  MIZZEN_CHECKED(check_fields(api::kRouteType, bytes, warnings));
  return compile_table(config, CompileContext{warnings, nullptr});
}

}  // namespace mizzen::proxy
