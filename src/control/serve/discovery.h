// ADS: streams of proxies, and the pushes to them. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/mesh/store.h"
#include "control/serve/generator.h"
#include "control/serve/identity.h"
#include "control/serve/registrar.h"
#include "control/serve/stream_protocol.h"
#include "net/grpc.h"

namespace mizzen::control {

struct DiscoveryOptions {
  Duration quiet = std::chrono::milliseconds(20);  // config changes wait for this long a pause
  Duration longest_wait = std::chrono::milliseconds(500);  // but no longer in all
  Duration turn_budget = std::chrono::milliseconds(16);    // of pushing, before others get the loop
  std::size_t high_water = 4 << 20;  // bytes unsent on a stream: nothing is added
  std::size_t max_streams = 20'000;
};

// For /debug/syncz and metrics.
struct ProxyStatus {
  std::string name;  // "pod.namespace"
  std::string kind;  // "sidecar" or "router"
  std::string cluster_id;
  std::string version;
  std::string identity;  // empty: not proven (15010)
  WallTime connected{};
  std::vector<xds::TypeStatus> types;
};

struct DiscoveryCounters {
  std::uint64_t streams = 0;  // ever opened
  std::uint64_t refused = 0;
  std::uint64_t pushes = 0;  // worlds offered
  std::uint64_t responses = 0;
  std::uint64_t nacks = 0;
};

class Discovery {
 public:
  // Streams without credentials are served only through mount(server, true): the plain port of a
  // trusted network. They get no secrets.
  Discovery(io::Loop& loop, Store& store, Authenticator& authenticator,
            DiscoveryOptions options = {});
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // Who makes WorkloadEntries of proxies that name a group; without one they are proxies like
  // others. Must outlive this.
  void register_with(Registrar& registrar) { registrar_ = &registrar; }

  // Delta and state-of-the-world ADS on `server`, which must not outlive this.
  void mount(net::GrpcServer& server, bool allow_anonymous);

  // The store has changed; `workloads` false: no pod nor node has. Until start() nothing is pushed.
  void changed(Change change, bool workloads = true);
  // The store holds the whole cluster from now on.
  void start();

  std::vector<ProxyStatus> proxies() const;
  // The world that a proxy ("pod.namespace") was given last; null when it is not connected.
  std::shared_ptr<const xds::World> world_of(std::string_view name) const;
  const DiscoveryCounters& counters() const { return counters_; }

 private:
  struct Stream;
  void open(std::shared_ptr<net::GrpcStream> call, bool delta, bool allow_anonymous);
  void begin(const std::shared_ptr<Stream>& stream);
  void receive(const std::shared_ptr<Stream>& held, std::string_view message);
  Status greet(Stream& stream);
  Status enrol(Stream& stream);
  void refuse(Stream& stream, const Error& why);
  void close(std::uint64_t id);
  void enqueue_all();
  void enqueue(const std::shared_ptr<Stream>& stream);
  void schedule_turn();
  void schedule_endpoints();
  void turn();
  void follow_pod(Stream& stream);
  void push(Stream& stream);
  void pump(Stream& stream);

  io::Loop& loop_;
  Store& store_;
  Authenticator& authenticator_;
  Registrar* registrar_ = nullptr;
  DiscoveryOptions options_;
  Generator generator_;
  std::shared_ptr<const Snapshot> target_;  // what streams are brought to
  bool started_ = false;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Stream>> streams_;
  std::deque<std::shared_ptr<Stream>> queue_;  // with a push pending, each once
  bool turn_scheduled_ = false;
  bool endpoints_scheduled_ = false;
  io::TimerId quiet_timer_ = 0;
  MonoTime first_change_{};
  std::uint64_t workloads_ = 1;  // grows when a pod may be another
  DiscoveryCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// A proxy as its node and its pod describe it. Labels are the pod's where it is known, else the
// node's own word.
Proxy make_proxy(const xds::NodeInfo& node, const Store& store);

}  // namespace mizzen::control
