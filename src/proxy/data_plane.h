// The data plane as the main thread sees it: workers, started and fed with snapshots.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "proxy/facts.h"
#include "proxy/stats.h"

namespace mizzen::proxy {

class Worker;

struct DataPlaneOptions {
  unsigned concurrency = 2;
  SelfFacts self;
  Duration drain_time = std::chrono::seconds(45);
  // Binds listeners with bind_to_port on these hosts' behalf; off in tests that hand over streams.
  bool bind = true;
};

// Lives on the main thread; every method is called there.
class DataPlane {
 public:
  DataPlane(io::Loop& main, DataPlaneOptions options);
  ~DataPlane();  // stops the workers and joins them
  DataPlane(const DataPlane&) = delete;

  // Every worker takes the snapshot in its next turn; listeners are opened, kept or closed to match.
  // Errors (an address that cannot be bound) are logged and told by `listener_errors`.
  void set_snapshot(SnapshotRef snapshot);
  SnapshotRef snapshot() const { return snapshot_; }

  // True once every worker has taken a snapshot and listens.
  bool listening() const;

  // Sums all workers' statistics; `done` is called on the main loop.
  void collect(std::function<void(StatsReport)> done);

  // Stops accepting, tells open connections to finish (GOAWAY, "connection: close"); `done` is
  // called when none is left or the drain time has passed.
  void drain(std::function<void()> done);
  std::size_t connections() const;  // over all workers, about

 private:
  void on_drained_check();
  io::Loop& main_;
  DataPlaneOptions options_;
  SnapshotRef snapshot_;
  struct Shared;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace mizzen::proxy
