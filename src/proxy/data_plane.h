// The data plane as the main thread sees it: workers, started and fed with snapshots.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/unique_fd.h"
#include "proxy/facts.h"
#include "proxy/observe/stats.h"
#include "proxy/overload.h"

namespace mizzen::proxy {

struct LiveConfig;
struct ListenSocket;
struct WorkerShared;

// Listening sockets by listener name and address.
using SocketsByKey = std::map<std::string, std::vector<io::UniqueFd>>;

struct DataPlaneOptions {
  unsigned concurrency = 2;
  SelfFacts self;
  Duration drain_time = std::chrono::seconds(45);
  // While draining, connections are still accepted until none has been open for this long: callers
  // learn late that an endpoint goes. 0: the listening sockets close at once.
  Duration drain_quiet{0};
  Duration drain_least{0};  // how long draining lasts at least
  ConnectionLimits connection_limits;
};

// Lives on the main thread; every method is called there.
class DataPlane {
 public:
  DataPlane(io::Loop& main, DataPlaneOptions options);
  ~DataPlane();  // stops the workers and joins them
  DataPlane(const DataPlane&) = delete;

  // Opens the sockets of new listeners (bind_to_port) and gives every worker the snapshot for its
  // next turn; connections and streams that are under way keep what they hold. Errors name the
  // listeners whose address cannot be bound; all others serve.
  Status set_snapshot(SnapshotRef snapshot);
  SnapshotRef snapshot() const { return snapshot_; }

  // `ask` is called on the main loop with destinations that a request waits for. Before the first
  // snapshot; without it such requests are refused.
  void on_asked(std::function<void(std::vector<std::string>)> ask);

  // True once every worker has taken the first snapshot.
  bool listening() const;
  // The bound address of a listener (with the port that the kernel chose for port 0).
  io::Address address_of(std::string_view listener) const;

  // Sums all workers' statistics; `done` is called on the main loop, never from inside.
  void collect(std::function<void(StatsReport)> done);

  // Tells open connections to finish (GOAWAY, "connection: close"); one that cannot be told gets
  // half a second for one more request. `done` is called when none is left (for
  // DataPlaneOptions::drain_quiet) or the drain time has passed.
  void drain(std::function<void()> done);

  // Replacing this process by another one. Takes the listening sockets of the one before: listeners
  // of the snapshots to come find theirs there instead of binding. drop_adopted() closes the rest.
  void adopt(SocketsByKey sockets) { adopted_ = std::move(sockets); }
  void drop_adopted() { adopted_.clear(); }
  // Copies of all listening sockets; `done` is called on the main loop, never from inside.
  void collect_sockets(std::function<void(SocketsByKey)> done);
  // As drain(), but nothing is accepted any more, what is open has `limit` to end, and who cannot
  // be told has the drain time for one more request. drain() after it shortens both.
  void hand_over(Duration limit, std::function<void()> done);
  std::size_t connections() const;  // downstream, over all workers, about
  // What the workers share of each cluster. Lives as long as this.
  const SharedLimits& limits() const;

 private:
  struct Thread;
  void check_drained();
  void start_draining(Duration limit, Duration idle, bool keep_accepting,
                      std::function<void()> done);
  Status open_sockets(const std::string& key, const Listener& listener,
                      const SocketAddr& configured,
                      std::vector<std::vector<ListenSocket>>& sockets);
  void measure_load();
  io::Loop& main_;
  DataPlaneOptions options_;
  std::unique_ptr<WorkerShared> shared_;
  SnapshotRef snapshot_;
  std::shared_ptr<const LiveConfig> live_;
  std::map<std::string, io::Address> bound_;  // by listener name and address
  SocketsByKey adopted_;                      // not yet in use
  bool accepting_ = true;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::function<void()> drained_;
  MonoTime drain_from_{};
  MonoTime drain_until_{};
  MonoTime quiet_since_{};
  io::Timer drain_timer_;
  io::Timer load_timer_;
};

}  // namespace mizzen::proxy
