#include "proxy/upstream/worker_upstream.h"

#include <chrono>

#include "proxy/upstream/call.h"
#include "proxy/upstream/dial.h"

namespace mizzen::proxy::upstream {

WorkerUpstream::WorkerUpstream(io::Loop& loop, std::shared_ptr<SharedLimits> limits,
                               TlsContexts& contexts)
    : context_{loop, std::move(limits), contexts} {
  context_.worker = this;
  context_.random_state =
      (static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
       reinterpret_cast<std::uintptr_t>(this)) |
      1;
  context_.limits->add_worker(loop, this, [this](const std::string& name) { release(name); });
}

WorkerUpstream::~WorkerUpstream() {
  context_.limits->remove_worker(this);
  context_.resolver.reset();  // its answers go to clusters
  clusters_.clear();
}

void WorkerUpstream::release(const std::string& cluster) {
  auto found = clusters_.find(cluster);
  if (found != clusters_.end()) found->second->release_connection();
}

ClusterState& WorkerUpstream::state_of(const UpstreamAsk& ask) {
  const std::string& name = ask.entry->cluster->name;
  auto found = clusters_.find(name);
  if (found == clusters_.end()) {
    found = clusters_.emplace(name, std::make_unique<ClusterState>(context_, name)).first;
    // The newest there is; the ask's own when the cluster is gone meanwhile.
    const ClusterEntry* entry = context_.snapshot ? context_.snapshot->cluster(name) : nullptr;
    if (!context_.snapshot) context_.snapshot = ask.snapshot;
    found->second->update(entry != nullptr ? *entry : *ask.entry);
  }
  return *found->second;
}

std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> WorkerUpstream::open(
    const UpstreamAsk& ask, http::RequestHead& head, bool end, UpstreamEvents& events) {
  auto call = std::make_unique<Call>(state_of(ask), ask, head, end, events);
  if (auto started = call->start(ask); !started) return std::unexpected(started.error());
  return call;
}

std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> WorkerUpstream::dial(
    const UpstreamAsk& ask, TcpEvents& events) {
  auto dial = std::make_unique<Dial>(state_of(ask), ask, events);
  if (auto started = dial->start(ask); !started) return std::unexpected(started.error());
  return dial;
}

std::unique_ptr<RetryPlace> WorkerUpstream::retry_place(const UpstreamAsk& ask) {
  struct Place final : RetryPlace {
    explicit Place(Taken its) : taken(std::move(its)) {}
    Taken taken;
  };
  ClusterState& state = state_of(ask);
  Taken taken = state.take_retry(ask.high_priority);
  return taken ? std::make_unique<Place>(std::move(taken)) : nullptr;
}

void WorkerUpstream::set_snapshot(SnapshotRef snapshot) {
  context_.snapshot = std::move(snapshot);
  for (auto at = clusters_.begin(); at != clusters_.end();) {
    const ClusterEntry* entry = context_.snapshot->cluster(at->first);
    if (entry != nullptr) {
      at->second->update(*entry);
    } else if (at->second->unused()) {
      at = clusters_.erase(at);
      continue;
    } else {
      at->second->retire();
    }
    ++at;
  }
}

void WorkerUpstream::set_own_metadata(std::string metadata, std::string node_id) {
  context_.metadata = std::move(metadata);
  context_.node_id = std::move(node_id);
}

void WorkerUpstream::drain() {
  context_.draining = true;
  for (auto& [name, state] : clusters_) state->close_idle();
}

}  // namespace mizzen::proxy::upstream

namespace mizzen::proxy {

std::unique_ptr<Upstream> make_upstream(io::Loop& loop, std::shared_ptr<SharedLimits> limits,
                                        TlsContexts& contexts) {
  return std::make_unique<upstream::WorkerUpstream>(loop, std::move(limits), contexts);
}

}  // namespace mizzen::proxy
