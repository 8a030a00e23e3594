#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "proxy/config/compile.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace lds = envoy::config::listener::v3;
namespace filters = envoy::extensions::filters::listener;

Status collect_ports(const lds::ListenerFilterChainMatchPredicate& predicate, Inspector& to,
                     int depth) {
  if (predicate.has_destination_port_range()) {
    to.disabled_ports.push_back(
        {static_cast<std::uint32_t>(predicate.destination_port_range().start()),
         static_cast<std::uint32_t>(predicate.destination_port_range().end())});
    return {};
  }
  if (predicate.any_match()) {
    to.disabled_ports.push_back({0, 65536});
    return {};
  }
  if (!predicate.has_or_match() || depth > 8) {
    return fail(Code::kUnsupported,
                "filter_disabled: only port ranges, joined by or_match, are "
                "supported by this proxy");
  }
  for (const auto& rule : predicate.or_match().rules()) {
    MIZZEN_CHECKED(collect_ports(rule, to, depth + 1));
  }
  return {};
}

Status compile_inspector(const lds::ListenerFilter& filter, Inspector& to) {
  to.present = true;
  return filter.has_filter_disabled() ? collect_ports(filter.filter_disabled(), to, 0) : Status();
}

Status compile_listener_filter(const lds::ListenerFilter& filter, const CompileContext& context,
                               Listener& listener) {
  const auto& any = filter.typed_config();
  if (any.Is<filters::tls_inspector::v3::TlsInspector>() || filter.name() == api::kTlsInspector) {
    return compile_inspector(filter, listener.tls_inspector);
  }
  if (any.Is<filters::http_inspector::v3::HttpInspector>() ||
      filter.name() == api::kHttpInspector) {
    return compile_inspector(filter, listener.http_inspector);
  }
  if (any.Is<filters::original_dst::v3::OriginalDst>() ||
      filter.name() == api::kOriginalDstFilter) {
    listener.original_dst_filter = true;
    return {};
  }
  if (any.Is<filters::proxy_protocol::v3::ProxyProtocol>()) {
    MIZZEN_TRY(auto config, unpack<filters::proxy_protocol::v3::ProxyProtocol>(any, context));
    listener.proxy_protocol = true;
    listener.proxy_protocol_optional = config.allow_requests_without_proxy_protocol();
    return {};
  }
  return fail(Code::kUnsupported, fmt::format("listener filter '{}' ({}) is not supported by this "
                                              "proxy",
                                              filter.name(), any.type_url()));
}

Status compile_chain_match(const lds::FilterChainMatch& from, FilterChainMatch& to) {
  if (from.has_destination_port()) {
    to.destination_port = static_cast<std::uint16_t>(from.destination_port().value());
  }
  for (const auto& range : from.prefix_ranges()) {
    MIZZEN_TRY(auto cidr, compile_cidr(range));
    to.destination.push_back(std::move(cidr));
  }
  for (const auto& range : from.source_prefix_ranges()) {
    MIZZEN_TRY(auto cidr, compile_cidr(range));
    to.source.push_back(std::move(cidr));
  }
  for (const auto& name : from.server_names()) {
    if (name.find('*') != std::string::npos && (!name.starts_with("*.") || name.rfind('*') != 0)) {
      return fail(Code::kInvalid,
                  "server_names: '" + name + "': a star may only be the first label");
    }
    to.server_names.push_back(lower(name));
  }
  to.transport_protocol = from.transport_protocol();
  to.application_protocols.assign(from.application_protocols().begin(),
                                  from.application_protocols().end());
  to.source_type = static_cast<FilterChainMatch::Source>(from.source_type());
  for (auto port : from.source_ports()) {
    to.source_ports.push_back(static_cast<std::uint16_t>(port));
  }
  return {};
}

bool has_terminal(const FilterChain& chain) {
  return std::visit([](const auto& settings) { return settings != nullptr; }, chain.terminal);
}

Result<FilterChain> compile_chain(const lds::FilterChain& from, const CompileContext& context) {
  FilterChain chain;
  chain.name = from.name();
  auto match = compile_chain_match(from.filter_chain_match(), chain.match);
  if (!match) return std::unexpected(match.error().in("filter_chain_match"));
  if (from.has_transport_socket()) {
    MIZZEN_TRY(chain.tls, compile_downstream_tls(from.transport_socket(), context));
  }
  chain.transport_connect_timeout = duration_of(from.transport_socket_connect_timeout());
  for (int i = 0; i < from.filters_size(); ++i) {
    if (has_terminal(chain)) {
      return fail(Code::kInvalid, fmt::format("filters[{}]: stands behind the last one", i));
    }
    auto status = compile_network_filter(from.filters(i), context, chain);
    if (!status) return std::unexpected(status.error().in(fmt::format("filters[{}]", i)));
  }
  if (!has_terminal(chain)) {
    return fail(Code::kInvalid, "filters: none of them is a connection manager or a TCP proxy");
  }
  return chain;
}

Status compile_chains(const lds::Listener& from, const CompileContext& context, Listener& to) {
  for (int i = 0; i < from.filter_chains_size(); ++i) {
    auto chain = compile_chain(from.filter_chains(i), context);
    if (!chain) {
      return std::unexpected(
          chain.error().in(fmt::format("filter_chains[{}] '{}'", i, from.filter_chains(i).name())));
    }
    to.chains.push_back(std::move(*chain));
  }
  if (from.has_default_filter_chain()) {
    auto chain = compile_chain(from.default_filter_chain(), context);
    if (!chain) return std::unexpected(chain.error().in("default_filter_chain"));
    to.default_chain = std::move(*chain);
  }
  if (to.chains.empty() && !to.default_chain) {
    return fail(Code::kInvalid, "filter_chains: must not be empty");
  }
  return {};
}

Status compile_addresses(const lds::Listener& from, Listener& to) {
  if (from.has_internal_listener()) {
    to.bind = false;  // reached through clusters only
    return {};
  }
  MIZZEN_TRY(auto address, compile_address(from.address()));
  to.addresses.push_back(std::move(address));
  for (const auto& more : from.additional_addresses()) {
    MIZZEN_TRY(auto additional, compile_address(more.address()));
    to.addresses.push_back(std::move(additional));
  }
  for (const auto& each : to.addresses) {
    if (!each.pipe && pack_ip(each.host).empty()) {
      return fail(Code::kInvalid, "address: '" + each.host + "' is not an IP address");
    }
  }
  return {};
}

}  // namespace

Result<CompiledListener> compile_listener(std::string_view bytes, Warnings* warnings) {
  lds::Listener from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(Code::kInvalid, "not a Listener message");
  }
  MIZZEN_CHECKED(check_fields(api::kListenerType, bytes, warnings));
  CompiledListener compiled;
  CompileContext context{warnings, &compiled.needs};
  auto listener = std::make_shared<Listener>();
  listener->name = from.name();
  listener->version_hash = fnv1a(bytes);
  MIZZEN_CHECKED(compile_addresses(from, *listener));
  if (from.has_bind_to_port()) listener->bind = from.bind_to_port().value();
  if (from.deprecated_v1().has_bind_to_port()) {
    listener->bind = from.deprecated_v1().bind_to_port().value();
  }
  listener->use_original_dst = from.use_original_dst().value();
  listener->transparent = from.transparent().value();
  listener->on_demand = metadata_flag(from.metadata(), api::kMizzenMetadata, api::kOnDemandField);
  listener->direction = static_cast<Direction>(from.traffic_direction());
  if (from.has_listener_filters_timeout()) {
    Duration timeout = duration_of(from.listener_filters_timeout());
    listener->inspect_timeout = timeout == Duration::zero() ? std::nullopt : std::optional(timeout);
  }
  listener->continue_on_inspect_timeout = from.continue_on_listener_filters_timeout();
  listener->ignores_global_limit = from.ignore_global_conn_limit();
  listener->bypasses_overload = from.bypass_overload_manager();
  for (int i = 0; i < from.listener_filters_size(); ++i) {
    auto status = compile_listener_filter(from.listener_filters(i), context, *listener);
    if (!status) return std::unexpected(status.error().in(fmt::format("listener_filters[{}]", i)));
  }
  MIZZEN_CHECKED(compile_chains(from, context, *listener));
  MIZZEN_TRY(listener->access_logs, compile_access_logs(from.access_log(), context));
  compiled.listener = std::move(listener);
  return compiled;
}

}  // namespace mizzen::proxy
