// Options of the HTTP codecs, the same messages for listeners and clusters.
#include <algorithm>

#include "envoy/config/core/v3/protocol.pb.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace core = envoy::config::core::v3;

}  // namespace

http::HeaderCase header_case_of(const core::Http1ProtocolOptions& options) {
  const auto& format = options.header_key_format();
  if (format.has_proper_case_words()) return http::HeaderCase::kProper;
  return format.has_stateful_formatter() ? http::HeaderCase::kAsReceived : http::HeaderCase::kLower;
}

void apply_http2_options(const core::Http2ProtocolOptions& options, http::Limits& to) {
  if (options.has_hpack_table_size()) to.hpack_table = options.hpack_table_size().value();
  if (options.has_max_concurrent_streams()) {
    to.concurrent_streams = options.max_concurrent_streams().value();
  }
  if (options.has_initial_stream_window_size()) {
    to.stream_window = options.initial_stream_window_size().value();
  }
  if (options.has_initial_connection_window_size()) {
    to.connection_window = options.initial_connection_window_size().value();
  }
  if (options.has_max_outbound_frames()) {
    to.outbound_frames = options.max_outbound_frames().value();
  }
  if (options.has_max_outbound_control_frames()) {
    to.control_frames = options.max_outbound_control_frames().value();
  }
  if (options.has_max_consecutive_inbound_frames_with_empty_payload()) {
    to.empty_frames = options.max_consecutive_inbound_frames_with_empty_payload().value();
  }
  if (options.has_max_inbound_priority_frames_per_stream()) {
    to.priority_frames = options.max_inbound_priority_frames_per_stream().value();
  }
  if (options.has_max_inbound_window_update_frames_per_data_frame_sent()) {
    to.window_updates = options.max_inbound_window_update_frames_per_data_frame_sent().value();
  }
}

std::optional<KeepAliveSettings> keep_alive_of(const core::KeepaliveSettings& settings) {
  const Duration interval = duration_of(settings.interval());
  if (interval <= Duration::zero()) return std::nullopt;
  KeepAliveSettings made;
  made.interval = interval;
  made.timeout = std::max(duration_of(settings.timeout()), Duration(std::chrono::milliseconds(1)));
  if (settings.has_interval_jitter()) made.jitter_percent = settings.interval_jitter().value();
  return made;
}

}  // namespace mizzen::proxy
