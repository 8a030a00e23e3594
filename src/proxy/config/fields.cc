#include "proxy/config/fields.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "api/wire_table.h"
#include "base/strings.h"

namespace mizzen::proxy {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// `acted`: fields that do here what they do in Envoy, or that mean nothing to any proxy's traffic.
// `harmless`: fields without effect here that change no request; they are reported.
struct Entry {
  std::string_view message;
  std::string_view acted;
  std::string_view harmless = {};
};

constexpr Entry kListenerEntries[] = {
    {"envoy.config.listener.v3.Listener",
     "name address additional_addresses internal_listener filter_chains default_filter_chain "
     "use_original_dst "
     "listener_filters listener_filters_timeout "
     "continue_on_listener_filters_timeout transparent bind_to_port traffic_direction access_log "
     "metadata stat_prefix deprecated_v1 reuse_port enable_reuse_port "
     "max_connections_to_accept_per_socket_event bypass_overload_manager ignore_global_conn_limit "
     "connection_balance_config",
     "per_connection_buffer_limit_bytes tcp_backlog_size drain_type freebind "
     "tcp_fast_open_queue_length socket_options enable_mptcp"},
    {"envoy.config.listener.v3.FilterChain",
     "filter_chain_match filters transport_socket metadata name transport_socket_connect_timeout"},
    {"envoy.config.listener.v3.FilterChainMatch",
     "destination_port prefix_ranges server_names transport_protocol application_protocols "
     "source_type source_prefix_ranges source_ports"},
    {"envoy.config.listener.v3.ListenerFilter", "name typed_config filter_disabled"},
    {"envoy.config.listener.v3.ListenerFilterChainMatchPredicate",
     "or_match destination_port_range any_match"},
    {"envoy.config.listener.v3.Filter", "name typed_config"},
    {"envoy.config.listener.v3.AdditionalAddress", "address", "socket_options"},
    {"envoy.config.core.v3.Address", "socket_address pipe envoy_internal_address"},
    {"envoy.config.core.v3.EnvoyInternalAddress", "server_listener_name endpoint_id"},
    {"envoy.config.core.v3.SocketAddress", "protocol address port_value ipv4_compat"},
    {"envoy.config.core.v3.TransportSocket", "name typed_config"},
    {"envoy.config.accesslog.v3.AccessLog", "name filter typed_config"},
    {"envoy.config.accesslog.v3.AccessLogFilter",
     "status_code_filter not_health_check_filter response_flag_filter"},
    {"envoy.extensions.access_loggers.file.v3.FileAccessLog",
     "path format json_format log_format typed_json_format"},
    {"envoy.config.core.v3.SubstitutionFormatString", "text_format json_format text_format_source",
     "omit_empty_values content_type formatters json_format_options"},
    {"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
     "allow_requests_without_proxy_protocol", "rules pass_through_tlvs"},
    {"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
     "initial_read_buffer_size enable_ja3_fingerprinting"},
};

constexpr Entry kFilterEntries[] = {
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
     "codec_type stat_prefix rds route_config http_filters tracing common_http_protocol_options "
     "http_protocol_options http2_protocol_options server_name server_header_transformation "
     "max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout "
     "drain_timeout delayed_close_timeout access_log use_remote_address xff_num_trusted_hops "
     "skip_xff_append via generate_request_id preserve_external_request_id "
     "always_set_request_id_in_response forward_client_cert_details "
     "set_current_client_cert_details proxy_100_continue upgrade_configs normalize_path "
     "merge_slashes path_with_escaped_slashes_action request_id_extension "
     "strip_matching_host_port strip_any_host_port strip_trailing_host_dot "
     "internal_address_config",
     "http3_protocol_options access_log_flush_interval flush_access_log_on_new_request "
     "access_log_options stream_error_on_invalid_http_message typed_header_validation_config "
     "proxy_status_config add_user_agent append_x_forwarded_port"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
     "name typed_config is_optional disabled"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.Rds",
     "config_source route_config_name"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing",
     "client_sampling random_sampling overall_sampling custom_tags max_path_tag_length",
     "verbose provider spawn_upstream_span"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager."
     "UpgradeConfig",
     "upgrade_type enabled"},
    {"envoy.config.core.v3.HttpProtocolOptions",
     "idle_timeout max_connection_duration max_headers_count max_stream_duration "
     "max_requests_per_connection",
     "headers_with_underscores_action"},
    {"envoy.config.core.v3.Http1ProtocolOptions",
     "allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format",
     "enable_trailers allow_chunked_length override_stream_error_on_invalid_http_message "
     "use_balsa_parser "
     "allow_custom_methods send_fully_qualified_url"},
    {"envoy.config.core.v3.Http2ProtocolOptions",
     "max_concurrent_streams initial_stream_window_size initial_connection_window_size "
     "allow_connect hpack_table_size max_outbound_frames max_outbound_control_frames "
     "max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream "
     "max_inbound_window_update_frames_per_data_frame_sent connection_keepalive",
     "stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message "
     "use_oghttp2_codec allow_metadata custom_settings_parameters"},
    {"envoy.config.core.v3.KeepaliveSettings", "interval timeout interval_jitter",
     "connection_idle_interval"},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
     "stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts "
     "hash_policy max_downstream_connection_duration tunneling_config",
     "access_log_flush_interval flush_access_log_on_connected access_log_options"},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig", "hostname use_post"},
    {"envoy.extensions.filters.network.rbac.v3.RBAC",
     "rules shadow_rules shadow_rules_stat_prefix stat_prefix enforcement_type"},
    {"envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers",
     "dynamic_stats start_child_span upstream_log upstream_log_options strict_check_headers "
     "respect_expected_rq_timeout suppress_grpc_request_failure_code_stats"},
};

constexpr Entry kHttpFilterEntries[] = {
    {"envoy.extensions.filters.http.fault.v3.HTTPFault",
     "delay abort upstream_cluster headers max_active_faults delay_percent_runtime "
     "abort_percent_runtime delay_duration_runtime abort_http_status_runtime "
     "max_active_faults_runtime abort_grpc_status_runtime disable_downstream_cluster_stats "
     "response_rate_limit_percent_runtime filter_metadata"},
    {"envoy.extensions.filters.common.fault.v3.FaultDelay", "fixed_delay percentage"},
    {"envoy.extensions.filters.http.fault.v3.FaultAbort", "http_status grpc_status percentage"},
    {"envoy.extensions.filters.http.cors.v3.CorsPolicy",
     "allow_origin_string_match allow_methods allow_headers expose_headers max_age "
     "allow_credentials filter_enabled forward_not_matching_preflights",
     "shadow_enabled allow_private_network_access"},
    {"envoy.extensions.filters.http.rbac.v3.RBAC",
     "rules rules_stat_prefix shadow_rules shadow_rules_stat_prefix track_per_rule_stats"},
    {"envoy.config.rbac.v3.RBAC", "action policies", "audit_logging_options"},
    {"envoy.config.rbac.v3.Policy", "permissions principals"},
    {"envoy.config.rbac.v3.Permission",
     "and_rules or_rules any header url_path destination_ip destination_port "
     "destination_port_range metadata not_rule requested_server_name"},
    {"envoy.config.rbac.v3.Principal",
     "and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path "
     "metadata not_id"},
    {"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
     "stat_prefix status token_bucket filter_enabled filter_enforced "
     "local_rate_limit_per_downstream_connection",
     "enable_x_ratelimit_headers"},
};

constexpr Entry kRouteEntries[] = {
    {"envoy.config.route.v3.RouteConfiguration",
     "name virtual_hosts response_headers_to_add response_headers_to_remove request_headers_to_add "
     "request_headers_to_remove most_specific_header_mutations_wins validate_clusters "
     "ignore_port_in_host_matching max_direct_response_body_size_bytes metadata "
     "typed_per_filter_config",
     "internal_only_headers"},
    {"envoy.config.route.v3.VirtualHost",
     "name domains routes require_tls request_headers_to_add request_headers_to_remove "
     "response_headers_to_add response_headers_to_remove typed_per_filter_config retry_policy "
     "include_request_attempt_count include_attempt_count_in_response metadata",
     "virtual_clusters per_request_buffer_limit_bytes include_is_timeout_retry_header"},
    {"envoy.config.route.v3.Route",
     "name match route redirect direct_response non_forwarding_action metadata decorator "
     "typed_per_filter_config request_headers_to_add request_headers_to_remove "
     "response_headers_to_add response_headers_to_remove stat_prefix",
     "tracing per_request_buffer_limit_bytes"},
    {"envoy.config.route.v3.RouteMatch",
     "prefix path safe_regex connect_matcher path_separated_prefix case_sensitive "
     "runtime_fraction headers query_parameters grpc"},
    {"envoy.config.route.v3.HeaderMatcher",
     "name exact_match safe_regex_match range_match present_match prefix_match suffix_match "
     "contains_match string_match invert_match treat_missing_header_as_empty"},
    {"envoy.config.route.v3.QueryParameterMatcher", "name string_match present_match"},
    {"envoy.config.route.v3.RouteAction",
     "cluster cluster_header weighted_clusters cluster_not_found_response_code prefix_rewrite "
     "regex_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header "
     "append_x_forwarded_host timeout idle_timeout retry_policy request_mirror_policies priority "
     "hash_policy max_grpc_timeout upgrade_configs max_stream_duration",
     "early_data_policy grpc_timeout_offset"},
    {"envoy.config.route.v3.RouteAction.MaxStreamDuration",
     "max_stream_duration grpc_timeout_header_max", "grpc_timeout_header_offset"},
    {"envoy.config.route.v3.RouteAction.HashPolicy",
     "header cookie connection_properties query_parameter terminal"},
    {"envoy.config.route.v3.RouteAction.UpgradeConfig", "upgrade_type enabled connect_config"},
    {"envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig", ""},
    {"envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
     "cluster runtime_fraction trace_sampled disable_shadow_host_suffix_append"},
    {"envoy.config.route.v3.WeightedCluster", "clusters total_weight runtime_key_prefix"},
    {"envoy.config.route.v3.WeightedCluster.ClusterWeight",
     "name weight request_headers_to_add request_headers_to_remove response_headers_to_add "
     "response_headers_to_remove typed_per_filter_config host_rewrite_literal"},
    {"envoy.config.route.v3.RetryPolicy",
     "retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate "
     "host_selection_retry_max_attempts retriable_status_codes retry_back_off retriable_headers "
     "retriable_request_headers retry_priority rate_limited_retry_back_off"},
    {"envoy.config.route.v3.DirectResponseAction", "status body"},
    {"envoy.type.matcher.v3.StringMatcher", "exact prefix suffix safe_regex contains ignore_case"},
};

constexpr Entry kClusterEntries[] = {
    {"envoy.config.cluster.v3.Cluster",
     "name alt_stat_name type eds_cluster_config connect_timeout "
     "lb_policy load_assignment max_requests_per_connection circuit_breakers "
     "common_http_protocol_options http_protocol_options http2_protocol_options "
     "upstream_http_protocol_options typed_extension_protocol_options dns_refresh_rate "
     "respect_dns_ttl dns_failure_refresh_rate dns_lookup_family outlier_detection "
     "cleanup_interval upstream_bind_config ring_hash_lb_config "
     "maglev_lb_config original_dst_lb_config least_request_lb_config round_robin_lb_config "
     "common_lb_config transport_socket transport_socket_matches metadata "
     "upstream_connection_options wait_for_warm_on_init protocol_selection "
     "close_connections_on_host_health_failure ignore_health_on_host_removal",
     "per_connection_buffer_limit_bytes use_tcp_for_dns_lookups dns_resolution_config "
     "typed_dns_resolver_config dns_resolvers track_timeout_budgets track_cluster_stats "
     "preconnect_policy lrs_server"},
    {"envoy.config.cluster.v3.Cluster.CommonLbConfig",
     "healthy_panic_threshold locality_weighted_lb_config zone_aware_lb_config "
     "consistent_hashing_lb_config",
     "update_merge_window ignore_new_hosts_until_first_hc close_connections_on_host_set_change"},
    {"envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
     "use_hostname_for_hashing"},
    {"envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
     "use_http_header http_header_name upstream_port_override"},
    {"envoy.config.cluster.v3.Cluster.RingHashLbConfig",
     "minimum_ring_size maximum_ring_size hash_function"},
    {"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
     "choice_count slow_start_config active_request_bias"},
    {"envoy.config.cluster.v3.UpstreamConnectionOptions", "tcp_keepalive",
     "set_local_interface_name_on_upstream_connections happy_eyeballs_config"},
    {"envoy.config.cluster.v3.CircuitBreakers", "thresholds", "per_host_thresholds"},
    {"envoy.config.cluster.v3.CircuitBreakers.Thresholds",
     "priority max_connections max_pending_requests max_requests max_retries track_remaining "
     "retry_budget",
     "max_connection_pools"},
    {"envoy.config.cluster.v3.OutlierDetection",
     "consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx "
     "consecutive_gateway_failure enforcing_consecutive_gateway_failure "
     "split_external_local_origin_errors consecutive_local_origin_failure "
     "enforcing_consecutive_local_origin_failure max_ejection_time enforcing_success_rate "
     "success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor "
     "enforcing_local_origin_success_rate failure_percentage_threshold "
     "enforcing_failure_percentage enforcing_failure_percentage_local_origin "
     "failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time_jitter "
     "always_eject_one_host",
     "successful_active_health_check_uneject_host monitors"},
    {"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
     "config transport_socket"},
    {"envoy.config.core.v3.ProxyProtocolConfig", "version"},
    {"envoy.config.core.v3.BindConfig", "source_address",
     "freebind socket_options extra_source_addresses additional_source_addresses "
     "local_address_selector"},
    {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
     "common_http_protocol_options upstream_http_protocol_options explicit_http_config "
     "use_downstream_protocol_config auto_config",
     "header_validation_config"},
    {"envoy.config.core.v3.UpstreamHttpProtocolOptions", "auto_sni auto_san_validation"},
    {"envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name endpoints policy"},
    {"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy", "overprovisioning_factor",
     "endpoint_stale_after weighted_priority_health"},
    {"envoy.config.endpoint.v3.LocalityLbEndpoints",
     "locality metadata lb_endpoints load_balancing_weight priority", "proximity"},
    {"envoy.config.endpoint.v3.LbEndpoint",
     "endpoint health_status metadata load_balancing_weight"},
    {"envoy.config.endpoint.v3.Endpoint", "address hostname",
     "health_check_config additional_addresses"},
};

constexpr Entry kTlsEntries[] = {
    {"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context sni",
     "allow_renegotiation max_session_keys enforce_rsa_key_usage"},
    {"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
     "common_tls_context require_client_certificate disable_stateless_session_resumption "
     "disable_stateful_session_resumption",
     "session_timeout ocsp_staple_policy full_scan_certs_on_sni_mismatch session_ticket_keys"},
    {"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
     "tls_params tls_certificates tls_certificate_sds_secret_configs validation_context "
     "validation_context_sds_secret_config combined_validation_context alpn_protocols",
     "key_log"},
    {"envoy.extensions.transport_sockets.tls.v3.TlsParameters",
     "tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves",
     "signature_algorithms"},
    {"envoy.extensions.transport_sockets.tls.v3.TlsCertificate", "certificate_chain private_key",
     "watched_directory ocsp_staple signed_certificate_timestamp"},
    {"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
     "trusted_ca verify_certificate_hash verify_certificate_spki match_typed_subject_alt_names "
     "match_subject_alt_names crl "
     "trust_chain_verification system_root_certs",
     "watched_directory allow_expired_certificate only_verify_leaf_cert_crl"},
    {"envoy.extensions.transport_sockets.tls.v3.Secret", "name tls_certificate validation_context"},
};

constexpr std::span<const Entry> kEntries[] = {kListenerEntries,   kFilterEntries,
                                               kHttpFilterEntries, kRouteEntries,
                                               kClusterEntries,    kTlsEntries};

enum class Support : std::uint8_t { kActed, kUnknown, kHarmless };

// Visits every word of the tables; `field` is null when the schema has none of that name.
template <class Visit>
void for_each_word(Visit visit) {
  for (const auto& entries : kEntries) {
    for (const Entry& entry : entries) {
      const api::WireMessage* message = api::find_message(entry.message);
      const auto words = [&](std::string_view text, Support support) {
        for (std::string_view word : split(text, ' ')) {
          visit(entry.message, word, message ? api::find_field(*message, word) : nullptr, support);
        }
      };
      if (!entry.acted.empty()) words(entry.acted, Support::kActed);
      if (!entry.harmless.empty()) words(entry.harmless, Support::kHarmless);
    }
  }
}

// By index of the field. Messages without an entry are read as a whole, or stand below a field that
// was judged.
std::vector<Support> all_support() {
  std::vector<Support> support(api::table::kFieldCount, Support::kActed);
  for (const auto& entries : kEntries) {
    for (const Entry& entry : entries) {
      const api::WireMessage* message = api::find_message(entry.message);
      if (message == nullptr) continue;
      std::fill_n(support.begin() + message->first, message->count, Support::kUnknown);
    }
  }
  for_each_word([&](auto, auto, const api::WireField* field, Support said) {
    if (field != nullptr) support[api::index_of(*field)] = said;
  });
  return support;
}

Support support_of(const api::WireField& field) {
  static const std::vector<Support> kSupport = all_support();
  return kSupport[api::index_of(field)];
}

// Where a message stands; written out only when there is something to say of it.
struct Place {
  const Place* above = nullptr;
  std::string_view field = {};
  int index = -1;  // in a list

  std::string path() const {
    if (above == nullptr) return {};
    std::string text = above->path();
    if (!text.empty()) text += '.';
    text += field;
    return index < 0 ? text : fmt::format("{}[{}]", text, index);
  }
};

class Checker {
 public:
  explicit Checker(std::vector<std::string>* warnings) : warnings_(warnings) {}

  Status message(std::string_view bytes, const api::WireMessage& type, const Place& here,
                 int depth) {
    if (depth > kMostDepth) return fail(Code::kLimit, here.path() + ": nested too deep");
    CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                        static_cast<int>(bytes.size()));
    std::array<int, api::kMostWireFields> seen{};  // items of each list
    std::uint32_t last = 0;
    while (const std::uint32_t tag = in.ReadTag()) {
      const auto number = static_cast<std::uint32_t>(WireFormatLite::GetTagFieldNumber(tag));
      const std::uint32_t before = std::exchange(last, number);
      const auto* field = api::find_field(type, number);
      std::string_view inner;
      if (!take(in, bytes, tag, &inner)) return fail(Code::kProtocol, here.path() + ": malformed");
      if (field == nullptr) {
        if (before != number) say_newer(type, number, here);
        continue;
      }
      const bool list = field->repeated || field->map;
      const std::size_t slot = api::index_of(*field) - type.first;
      const Place there{&here, api::wire_text(field->name), list ? seen[slot]++ : -1};
      MIZZEN_CHECKED(judge(*field, type, there, before));
      const bool nested = api::type_of(*field) == api::WireType::kMessage &&
                          support_of(*field) == Support::kActed &&
                          api::wire_text(api::message_of(*field).name) != "google.protobuf.Any";
      if (nested) MIZZEN_CHECKED(message(inner, api::message_of(*field), there, depth + 1));
    }
    return {};
  }

 private:
  static constexpr int kMostDepth = 100;  // protobuf's parser has the same
  static constexpr std::size_t kMostWarnings = 1000;

  // Reads the field's value over; of one with a length, `inner` is what is in it.
  static bool take(CodedInputStream& in, std::string_view bytes, std::uint32_t tag,
                   std::string_view* inner) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      return WireFormatLite::SkipField(&in, tag);
    }
    int size = 0;
    if (!in.ReadVarintSizeAsInt(&size)) return false;
    const auto at = static_cast<std::size_t>(in.CurrentPosition());
    if (!in.Skip(size)) return false;
    *inner = bytes.substr(at, static_cast<std::size_t>(size));
    return true;
  }

  void say_newer(const api::WireMessage& type, std::uint32_t number, const Place& here) {
    if (!warnings_ || warnings_->size() >= kMostWarnings) return;
    warnings_->push_back(fmt::format("{}: field {} of {} is newer than this proxy: no effect",
                                     here.path(), number, api::wire_text(type.name)));
  }

  // Said once of a list, whose items follow each other.
  Status judge(const api::WireField& field, const api::WireMessage& type, Place place,
               std::uint32_t last) {
    const Support support = support_of(field);
    if (support == Support::kActed || last == field.number) return {};
    place.index = -1;
    if (support == Support::kUnknown) {
      std::string_view message = api::wire_text(type.name);
      message.remove_prefix(message.rfind('.') + 1);
      return fail(Code::kUnsupported, fmt::format("{}: {}.{} is not supported by this proxy",
                                                  place.path(), message, place.field));
    }
    if (warnings_) warnings_->push_back(place.path() + ": has no effect in this proxy");
    return {};
  }

  std::vector<std::string>* warnings_;
};

}  // namespace

Status check_fields(std::string_view type, std::string_view bytes,
                    std::vector<std::string>* warnings) {
  const api::WireMessage* message = api::find_message(type);
  if (message == nullptr) return {};
  return Checker(warnings).message(bytes, *message, {}, 0);
}

std::vector<std::string> misspelt_fields() {
  std::vector<std::string> wrong;
  for_each_word([&](std::string_view message, std::string_view word, const auto* field, Support) {
    if (field == nullptr) wrong.push_back(std::string(message) + "." + std::string(word));
  });
  return wrong;
}

}  // namespace mizzen::proxy
