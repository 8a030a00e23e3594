// One TCP connection for a session that proxies bytes.
#pragma once

#include <expected>
#include <memory>
#include <optional>

#include "proxy/upstream.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connector.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy::upstream {

class Dial final : public TcpCall, private Waiter {
 public:
  Dial(ClusterState& cluster, const UpstreamAsk& ask, TcpEvents& events);
  ~Dial() override;
  std::expected<void, UpstreamFailure> start(const UpstreamAsk& ask);

 private:
  void on_hosts() override;
  std::expected<void, UpstreamFailure> connect(Host& host);
  void on_dialled(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result);

  ClusterState& cluster_;
  TcpEvents& events_;
  SnapshotRef snapshot_;
  UpstreamInfo info_;
  std::optional<UpstreamAsk> lookup_;
  std::string sni_;
  std::string preamble_;
  Host* host_ = nullptr;  // counted in its load
  Taken place_;
  std::unique_ptr<Connector> connector_;
};

}  // namespace mizzen::proxy::upstream
