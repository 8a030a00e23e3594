// Makes one upstream connection: TCP, then TLS when the endpoint wants it, within one time limit.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "proxy/config/snapshot.h"
#include "proxy/upstream.h"
#include "proxy/upstream/hbone.h"

namespace mizzen::proxy::upstream {

struct Host;

struct ConnectPlan {
  io::Address to;
  io::Address source;  // bind before connect; unset: the system's choice
  Duration timeout{};
  std::optional<io::ConnectOptions::Keepalive> keepalive;
  io::TlsContextRef tls;       // null: plaintext
  io::TlsClientTarget target;  // of TLS
  std::string preamble;        // written ahead of TLS: a PROXY header
  std::string tunnel;          // HBONE: the authority to ask for once TLS is open
};

// Destroying it abandons the attempt.
class Connector final : private io::StreamHandler {
 public:
  using Done = std::function<void(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure>)>;
  // Calls `done` once, never from inside the constructor. `done` must not destroy the connector but
  // have the loop dispose of it.
  Connector(io::Loop& loop, ConnectPlan plan, Done done);
  ~Connector();

 private:
  void on_open() override;
  void on_readable() override {}
  void on_writable() override {}
  void on_error(const Error& error) override;
  void on_connected(Result<std::unique_ptr<io::Stream>> stream);
  void on_timeout();
  void finish(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result);

  io::Loop& loop_;
  ConnectPlan plan_;
  Done done_;
  std::unique_ptr<io::Connecting> connecting_;
  std::unique_ptr<io::Stream> stream_;  // while TLS shakes hands
  std::unique_ptr<HboneDial> hbone_;
  io::Timer timer_;
};

// What every connection to a host asks for: its address and limits, the cluster's PROXY header,
// the tunnel. TLS to the host itself is the caller's. Fails where a tunnel cannot be.
std::expected<ConnectPlan, UpstreamFailure> plan_for(Host& host, std::string preamble);

// The PROXY header that the cluster wants for this request; empty: none.
std::string preamble_of(const Cluster& cluster, const UpstreamAsk& ask);

// The part of an error's message behind what was tried: "Connection refused".
std::string_view cause_of(const Error& error);

// ALPN to offer. `mizzen`: the peer may be one of us, and the request may ride on mizzen-h2.
std::vector<std::string> alpn_for_http(const UpstreamTls& tls, bool http2,
                                       http::Protocol downstream, bool mizzen);
std::vector<std::string> alpn_for_tcp(const UpstreamTls& tls);
// Whether the peer may be a Mizzen: mutual TLS as Istio configures it.
bool is_mesh_tls(const UpstreamTls& tls);

// Of the endpoint's transport (transport_socket_matches); null: plaintext.
std::shared_ptr<const UpstreamTls> transport_of(const Cluster& cluster, const Endpoint* endpoint);

}  // namespace mizzen::proxy::upstream
