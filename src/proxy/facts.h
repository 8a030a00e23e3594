// What is known about a downstream connection and about one request: plain values that filters,
// access logs and statistics read. Filled by arrival, connection and stream; owned by them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "io/tls.h"
#include "proxy/config/snapshot.h"
#include "proxy/overload.h"
#include "proxy/upstream.h"
#include "route/match.h"

namespace mizzen::proxy {

// A workload as the labels of metrics name it; "unknown" fields are empty. Shared between the
// requests of a connection, and compared by pointer first.
struct PeerWorkload {
  std::string name;
  std::string name_space;
  std::string app;
  std::string version;
  std::string cluster;
  std::string canonical_name;
  std::string canonical_revision;
  bool operator==(const PeerWorkload&) const = default;
};
using PeerRef = std::shared_ptr<const PeerWorkload>;

// Who this proxy is. Set once at start.
struct SelfFacts {
  PeerWorkload workload;
  std::string principal;      // "spiffe://..." without a certificate yet: from the node
  std::string node_id;        // "sidecar~10.1.0.4~pod.ns~ns.svc.cluster.local"
  std::string peer_metadata;  // base64 Struct for x-envoy-peer-metadata
  bool is_gateway = false;
};

// What connections of one kind have in common, and share while they rest.
struct CommonInfo {
  io::Address local;               // where the client meant to go (original destination)
  io::Address direct_local;        // where it arrived
  std::string server_name;         // SNI, lower case
  std::string alpn;                // agreed
  std::string transport_protocol;  // "tls" or "raw_buffer"
  std::vector<std::string> application_protocols;  // found by inspection: "http/1.1", "h2c", ALPNs
  Direction direction = Direction::kUnspecified;
  std::shared_ptr<const Listener> listener;
  std::string chain_name;
  std::shared_ptr<const io::PeerCertificate> own;  // what we showed
  std::string_view tls_version;                    // "TLSv1.3"; empty without TLS. Static storage
  std::string_view tls_cipher;                     // "TLS_AES_128_GCM_SHA256"; likewise
  bool tls = false;
  bool mutual_tls = false;
  bool from_mizzen = false;  // ALPN mizzen-h2
  bool operator==(const CommonInfo&) const = default;
};

// What is a connection's own.
struct OwnInfo {
  std::uint64_t id = 0;
  WallTime started{};
  MonoTime started_mono{};
  io::Address remote;                               // the client
  std::shared_ptr<const io::PeerCertificate> peer;  // verified client certificate, or null
  PeerRef peer_workload;                            // the client's, when it told; null otherwise
  PlaceRef place;                                   // in the limits on connections
};

struct ConnectionInfo : CommonInfo, OwnInfo {};

// Envoy's response flags, in the order in which they print.
enum class Flag : std::uint32_t {
  kUH = 1u << 0,
  kUF = 1u << 1,
  kUO = 1u << 2,
  kNR = 1u << 3,
  kURX = 1u << 4,
  kDC = 1u << 5,
  kUT = 1u << 6,
  kLR = 1u << 7,
  kUR = 1u << 8,
  kUC = 1u << 9,
  kDI = 1u << 10,
  kFI = 1u << 11,
  kRL = 1u << 12,
  kUAEX = 1u << 13,
  kSI = 1u << 14,
  kIH = 1u << 15,
  kDPE = 1u << 16,
  kUMSDR = 1u << 17,
  kUPE = 1u << 18,
  kNC = 1u << 19,
  kDT = 1u << 20,
  kOM = 1u << 21,
  kSU = 1u << 22,  // ours: the control plane did not say in time what the destination is
};
std::string flags_text(std::uint32_t flags);       // "UF,URX", or "-"
std::string long_flags_text(std::uint32_t flags);  // "UpstreamConnectionFailure,...", or "-"

// One request (or, with `is_tcp`, one TCP connection), told when it is over. Pointers are valid for
// the duration of the call that is given it.
struct RequestInfo {
  const ConnectionInfo* connection = nullptr;
  const http::RequestHead* request = nullptr;    // null for TCP, and when the head was refused
  const http::ResponseHead* response = nullptr;  // null when none was sent
  const http::Headers* response_trailers = nullptr;
  std::optional<http::Protocol> protocol;  // as the client's own hop spoke it
  WallTime started{};
  Duration duration{};
  std::optional<Duration> request_duration;   // until its last byte had come
  std::optional<Duration> response_duration;  // until the first byte of the server's answer came
  int status = 0;                             // 0: none was sent
  std::uint32_t flags = 0;
  std::string details;               // %RESPONSE_CODE_DETAILS%
  std::string termination_details;   // %CONNECTION_TERMINATION_DETAILS%
  std::string transport_reason;      // %UPSTREAM_TRANSPORT_FAILURE_REASON%
  std::uint64_t bytes_received = 0;  // bodies
  std::uint64_t bytes_sent = 0;
  std::uint32_t attempts = 0;
  std::string_view route_name;
  std::string_view route_stat_prefix;  // not empty: the route is counted by itself
  std::string_view virtual_host;
  std::string_view cluster_name;  // empty: no cluster was chosen
  const Cluster* cluster = nullptr;
  const UpstreamInfo* upstream = nullptr;  // null: no host was chosen
  io::Address remote;                      // after x-forwarded-for
  std::optional<int> grpc_status;
  bool is_grpc = false;
  bool is_tcp = false;
};

}  // namespace mizzen::proxy
