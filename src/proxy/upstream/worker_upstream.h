// The upstream half of one worker, put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/upstream.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/context.h"

namespace mizzen::proxy::upstream {

class WorkerUpstream final : public Upstream {
 public:
  WorkerUpstream(io::Loop& loop, std::shared_ptr<SharedLimits> limits, TlsContexts& contexts);
  ~WorkerUpstream() override;

  std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> open(
      const UpstreamAsk& ask, http::RequestHead& head, bool end, UpstreamEvents& events) override;
  std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> dial(const UpstreamAsk& ask,
                                                                TcpEvents& events) override;
  std::unique_ptr<RetryPlace> retry_place(const UpstreamAsk& ask) override;
  void set_snapshot(SnapshotRef snapshot) override;
  void set_own_metadata(std::string metadata, std::string node_id) override;
  void drain() override;

 private:
  ClusterState& state_of(const UpstreamAsk& ask);
  void release(const std::string& cluster);

  Context context_;
  // Those that are configured no more stay until their last connection has ended.
  ByName<std::unique_ptr<ClusterState>> clusters_;
};

}  // namespace mizzen::proxy::upstream
