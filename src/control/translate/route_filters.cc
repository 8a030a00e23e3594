#include "control/translate/route_filters.h"

#include <fmt/core.h>

#include <cmath>

#include "api/names.h"
#include "base/strings.h"
#include "control/translate/http_match.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"

namespace mizzen::control {

namespace {

// google.rpc.Code by name, as `grpcStatus` has it ("UNAVAILABLE"); nothing for an unknown one.
std::optional<std::uint32_t> grpc_code(std::string_view name) {
  constexpr std::string_view kNames[] = {"OK",
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
  for (std::uint32_t code = 0; code < std::size(kNames); ++code) {
    if (equals_ignore_case(kNames[code], name)) return code;
  }
  return parse_int<std::uint32_t>(name);
}

void fill_percent(double percent, envoy::type::v3::FractionalPercent* out) {
  out->set_numerator(static_cast<std::uint32_t>(std::lround(percent * 10'000)));
  out->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
}

void fill_fault(const HttpRouteSpec& http, envoy::config::route::v3::Route* route) {
  if (!http.has_fault()) return;
  envoy::extensions::filters::http::fault::v3::HTTPFault fault;
  const auto& spec = http.fault();
  if (spec.delay().has_fixed_delay()) {
    *fault.mutable_delay()->mutable_fixed_delay() = spec.delay().fixed_delay();
    fill_percent(spec.delay().has_percentage() ? spec.delay().percentage().value()
                                               : static_cast<double>(spec.delay().percent()),
                 fault.mutable_delay()->mutable_percentage());
  }
  if (spec.has_abort()) {
    if (!spec.abort().grpc_status().empty()) {
      const auto code = grpc_code(spec.abort().grpc_status());
      if (code) fault.mutable_abort()->set_grpc_status(*code);
    } else {
      fault.mutable_abort()->set_http_status(
          static_cast<std::uint32_t>(spec.abort().http_status()));
    }
    fill_percent(spec.abort().has_percentage() ? spec.abort().percentage().value() : 0.0,
                 fault.mutable_abort()->mutable_percentage());
  }
  (*route->mutable_typed_per_filter_config())[std::string(api::kFaultFilter)].PackFrom(fault);
}

template <class List>
std::string comma_list(const List& list) {
  std::vector<std::string> copy(list.begin(), list.end());
  return join(copy, ",");
}

void fill_cors(const HttpRouteSpec& http, envoy::config::route::v3::Route* route) {
  if (!http.has_cors_policy()) return;
  envoy::extensions::filters::http::cors::v3::CorsPolicy cors;
  const auto& spec = http.cors_policy();
  for (const auto& origin : spec.allow_origins()) {
    fill_string(origin, cors.add_allow_origin_string_match());
  }
  cors.set_allow_methods(comma_list(spec.allow_methods()));
  cors.set_allow_headers(comma_list(spec.allow_headers()));
  cors.set_expose_headers(comma_list(spec.expose_headers()));
  if (spec.has_max_age()) cors.set_max_age(fmt::format("{}", spec.max_age().seconds()));
  if (spec.has_allow_credentials()) {
    cors.mutable_allow_credentials()->set_value(spec.allow_credentials());
  }
  cors.mutable_filter_enabled()->mutable_default_value()->set_numerator(100);
  cors.mutable_forward_not_matching_preflights()->set_value(spec.unmatched_preflights() !=
                                                            schema::CorsPolicy::IGNORE);
  (*route->mutable_typed_per_filter_config())[std::string(api::kCorsFilter)].PackFrom(cors);
}

}  // namespace

void fill_route_filters(const HttpRouteSpec& http, envoy::config::route::v3::Route* route) {
  fill_fault(http, route);
  fill_cors(http, route);
}

}  // namespace mizzen::control
