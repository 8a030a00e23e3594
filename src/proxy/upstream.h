// What a stream (or a TCP connection) asks of the upstream half: choose a host, take or make a
// connection, carry one request. The stream decides everything about the request first; below this
// line nobody looks at routes. Everything here belongs to one worker and its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/message.h"
#include "io/stream.h"
#include "io/tls.h"
#include "proxy/config/snapshot.h"

namespace mizzen::proxy {

// Between two Mizzen proxies, on ALPN `mizzen-h2` only, the first request of a connection carries
// the sender's metadata in kPeerMetadataHeader (base64 of a google.protobuf.Struct, as Istio's HTTP
// metadata exchange has it), and every request that came as HTTP/1 says so in
// kOriginalProtocolHeader ("1.1" or "1.0"). The upstream connection adds both, the downstream
// connection removes both before routing and believes the second on that ALPN alone.
inline constexpr std::string_view kMizzenAlpn = "mizzen-h2";
inline constexpr std::string_view kOriginalProtocolHeader = "x-mizzen-protocol";
inline constexpr std::string_view kPeerMetadataHeader = "x-envoy-peer-metadata";
inline constexpr std::string_view kPeerMetadataIdHeader = "x-envoy-peer-metadata-id";

// Why there is no answer, or no more of it. One function (local_reply.h) maps these to status, gRPC
// status, body, response flag and details.
enum class UpstreamFault : std::uint8_t {
  kNoHealthyUpstream,      // UH: no host to choose
  kOverflow,               // UO: a circuit breaker is open
  kConnectFailure,         // UF: refused, unreachable, TLS handshake failed
  kConnectTimeout,         // UF: Cluster.connect_timeout passed
  kConnectionTermination,  // UC: the peer closed after the connection was made
  kRemoteReset,            // UR: RST_STREAM
  kRemoteRefused,          // UR: RST_STREAM REFUSED_STREAM, or above the last id of a GOAWAY
  kProtocolError,          // UPE: what the peer sent does not parse
};

struct UpstreamFailure {
  UpstreamFault fault = UpstreamFault::kConnectFailure;
  // Envoy's words for the transport's part, e.g. "delayed connect error: Connection refused" or
  // "TLS_error:|268435581:...": %UPSTREAM_TRANSPORT_FAILURE_REASON%. Empty if the transport was
  // fine.
  std::string transport_reason;
  // No byte of this request was sent: a retry cannot do it twice.
  bool unsent = false;
};

// Where a request went; pointers live as long as the call's snapshot (`UpstreamAsk::snapshot`).
struct UpstreamInfo {
  const Cluster* cluster = nullptr;
  const Endpoint* endpoint = nullptr;  // null for original-destination hosts: use `remote`
  io::Address remote;                  // the host
  io::Address local;                   // our end; unset until connected
  std::shared_ptr<const io::PeerCertificate> peer;  // of the server, once connected over TLS
  std::optional<http::Protocol> protocol;           // on this hop; unset for TCP
  bool mutual_tls = false;                          // both ends showed certificates
};

// What the request needs. Plain values, copied where they are kept; what is pointed
// to lives as long as the call.
struct UpstreamAsk {
  SnapshotRef snapshot;  // keeps `entry` alive as long as the call lives
  const ClusterEntry* entry = nullptr;
  io::Address original_dst;            // for ORIGINAL_DST clusters
  std::optional<std::uint64_t> hash;   // for ring hash and maglev
  std::span<const io::Address> avoid;  // hosts tried before (retry policy: previous hosts)
  std::uint32_t host_tries = 1;        // host_selection_retry_max_attempts, the first included
  // Not 0: after so many tries the priorities that they went to are left out (retry_priority).
  std::uint32_t leave_priority_after = 0;
  http::Protocol downstream_protocol = http::Protocol::kHttp11;
  bool upgrade = false;  // a connection of its own, HTTP/1.1, never pooled afterwards
  std::string_view sni;  // auto_sni: the authority; empty: the transport socket's own
  bool high_priority = false;
  // The client's connection, for a PROXY header: null where there is none.
  const io::Address* client = nullptr;
  const io::Address* meant = nullptr;
};

class UpstreamEvents {
 public:
  virtual ~UpstreamEvents() = default;
  // A host was chosen; called again with `local` and the peer's identity set once the request has a
  // connection, before its head is written. The reference is valid while the call lives.
  virtual void on_upstream_host(const UpstreamInfo& info) = 0;
  virtual void on_upstream_informational(http::ResponseHead&& head) = 0;  // 100, 103; not 101
  virtual void on_upstream_head(http::ResponseHead&& head, bool end) = 0;
  // `data` may be empty when only `end` is news.
  // Held against the sender until UpstreamCall::consumed().
  virtual void on_upstream_data(std::string_view data, bool end) = 0;
  virtual void on_upstream_trailers(http::Headers&& trailers) = 0;
  // Once, instead of the end. Nothing follows.
  virtual void on_upstream_failed(const UpstreamFailure& failure) = 0;
  // buffered() fell below the low watermark after having been above the high one.
  virtual void on_upstream_writable() = 0;
};

// One request on its way. Destroying it before the end resets the stream (h2) or closes the
// connection (h1); after both ends it gives the connection back to its pool.
// May be destroyed inside one of its own events.
class UpstreamCall {
 public:
  virtual ~UpstreamCall() = default;
  // Copies what the socket does not take at once. Legal before the connection is made.
  virtual void send_data(std::string_view data, bool end) = 0;
  virtual void send_trailers(const http::Headers& trailers) = 0;  // ends the request
  virtual std::size_t buffered() const = 0;      // bytes of the body accepted and not yet written
  virtual void consumed(std::size_t bytes) = 0;  // of on_upstream_data()
  // The caller gives up for want of an answer: that counts against the host.
  virtual void timed_out() = 0;
};

// A place among a cluster's retries, given back when it is destroyed.
class RetryPlace {
 public:
  virtual ~RetryPlace() = default;
};

// A connection for TCP proxying, or for an upgraded protocol without HTTP in between.
class TcpEvents {
 public:
  virtual ~TcpEvents() = default;
  virtual void on_tcp_connected(std::unique_ptr<io::Stream> stream, const UpstreamInfo& info) = 0;
  virtual void on_tcp_failed(const UpstreamFailure& failure) = 0;
};

// Keeps a dial, and afterwards its connection's place in the cluster's limits; destroy to cancel or
// to give the place back.
class TcpCall {
 public:
  virtual ~TcpCall() = default;
};

// The upstream half of one worker: balancers, pools, outlier detection, upstream TLS. Its state is
// keyed by cluster name and host address and outlives snapshots.
class Upstream {
 public:
  virtual ~Upstream() = default;
  // Starts a request. `end`: it has neither body nor trailers. `head` must outlive the call (it is
  // written when there is a connection); the two headers above may be added for the moment of
  // writing and are taken out again. A failure known at once is returned, not reported by event;
  // but for on_upstream_host(), no event fires from inside open() or from inside a method of the
  // call.
  virtual std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> open(
      const UpstreamAsk& ask, http::RequestHead& head, bool end, UpstreamEvents& events) = 0;
  virtual std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> dial(const UpstreamAsk& ask,
                                                                        TcpEvents& events) = 0;
  // Taken before a retry is planned and kept until its outcome is known; null when the cluster's
  // limit of retries or its budget has no room.
  virtual std::unique_ptr<RetryPlace> retry_place(const UpstreamAsk& ask) = 0;
  // A new snapshot: hosts and clusters that are gone drain, changed TLS contexts serve new
  // connections only.
  virtual void set_snapshot(SnapshotRef snapshot) = 0;
  // The base64 text for kPeerMetadataHeader and the node id for kPeerMetadataIdHeader.
  virtual void set_own_metadata(std::string metadata, std::string node_id) = 0;
  virtual void drain() = 0;  // closes idle connections, makes no new pooled ones
};

// Made by src/proxy/upstream/. `limits` are one object for all workers.
class SharedLimits;
std::shared_ptr<SharedLimits> make_shared_limits();
// `contexts` is shared by all workers and outlives them.
class TlsContexts;
std::unique_ptr<Upstream> make_upstream(io::Loop& loop, std::shared_ptr<SharedLimits> limits,
                                        TlsContexts& contexts);

}  // namespace mizzen::proxy
