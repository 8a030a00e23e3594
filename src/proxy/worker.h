// One worker: a loop, its listening sockets, its connections, its half of the statistics. Nothing
// here is shared between workers but WorkerShared.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/listener.h"
#include "io/loop.h"
#include "proxy/config/live_config.h"
#include "proxy/http/rate_limit.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/stats.h"
#include "proxy/overload.h"
#include "proxy/session.h"
#include "proxy/tls_contexts.h"
#include "proxy/upstream.h"

namespace mizzen::proxy {

class Connection;
class Stream;
class Lookup;

struct WorkerShared {
  explicit WorkerShared(ConnectionLimits of_connections = {})
      : overload(std::move(of_connections)) {}
  SelfFacts self;
  TlsContexts contexts;
  std::shared_ptr<SharedLimits> limits;
  RateLimits rate_limits;
  Overload overload;
  std::atomic<std::uint64_t> last_connection{0};
  // Asks the control plane for destinations; any thread. Set before the first configuration.
  std::function<void(std::vector<std::string>)> ask;
};

// A socket that listens already, for a listener by name.
struct ListenSocket {
  std::string key;  // listener name and address: stays as long as both do
  std::string listener;
  io::UniqueFd fd;
};

class Worker {
 public:
  Worker(io::Loop& loop, WorkerShared& shared, std::unique_ptr<Upstream> upstream);
  ~Worker();
  Worker(const Worker&) = delete;

  // The next configuration. `sockets` are new ones; those whose key is not in `keep` are closed.
  void set_config(LiveConfigRef config, std::vector<ListenSocket> sockets,
                  const std::vector<std::string>& keep);
  // A connection that arrived at `listener`.
  void accept(std::string_view listener, std::unique_ptr<io::Stream> stream);
  // A connection from inside: a tunnel that ended here. `outer` says who comes, `meant` where to.
  // False when there is no such listener.
  bool accept_internal(std::string_view listener, std::unique_ptr<io::Stream> stream,
                       const ConnectionInfo& outer, const io::Address& meant);
  // Open sessions finish; what is accepted from now on ends after one request. A connection whose
  // client could not be told waits for one more request, `idle` long. Without `keep_accepting` the
  // listening sockets close. Again with a shorter `idle`: that is what holds.
  void drain(bool keep_accepting, Duration idle);
  // Copies of the listening sockets, to give to another process.
  std::vector<ListenSocket> copy_sockets() const;

  // For sessions.
  void add(std::unique_ptr<Session> session);
  void remove(Session& session);  // disposes of it at the end of the turn
  std::size_t sessions() const { return count_.load(std::memory_order_relaxed); }  // any thread
  // Is looked at with each configuration, as long as it points to something.
  void await_config(std::shared_ptr<Lookup*> lookup) { lookups_.push_back(std::move(lookup)); }
  // Has the connection's output written at the end of this turn.
  void flush_later(Connection& connection);
  void forget_flush(Connection& connection);
  // Requests that one connection has taken and not sent on yet, within one call.
  std::vector<Stream*>& fresh() { return fresh_; }

  io::Loop& loop() { return loop_; }
  WorkerShared& shared() { return shared_; }
  Upstream& upstream() { return *upstream_; }
  Stats& stats() { return stats_; }
  AccessLogFiles& access_log() { return access_log_; }
  const LiveConfigRef& config() const { return config_; }
  bool draining() const { return drain_idle_.has_value(); }
  std::optional<Duration> drain_idle() const { return drain_idle_; }  // set while draining
  // The same value for all who rest with it.
  std::shared_ptr<const CommonInfo> share(CommonInfo&& info);
  // For a resting connection to say what it is.
  ConnectionInfo& spare_info() { return spare_info_; }
  // One read's worth of bytes, for use within one call.
  std::span<std::byte> scratch() { return scratch_; }
  std::uint64_t random();
  // "Sat, 21 Nov 2026 06:23:40 GMT", made once a second.
  std::string_view http_date();

 private:
  void flush_all();
  void tell_sessions();
  void wake_lookups();
  bool admit(const Listener& listener, PlaceRef& place);

  io::Loop& loop_;
  WorkerShared& shared_;
  Stats stats_;
  AccessLogFiles access_log_;
  std::unique_ptr<Upstream> upstream_;
  LiveConfigRef config_;
  struct Open {
    std::string listener;
    std::unique_ptr<io::Listener> socket;
  };
  std::unordered_multimap<std::string, Open> listeners_;  // by key
  std::list<std::unique_ptr<Session>> sessions_;
  std::atomic<std::size_t> count_{0};
  std::vector<std::shared_ptr<Lookup*>> lookups_;
  std::vector<Connection*> to_flush_;
  std::vector<Connection*> flushing_;
  std::vector<Stream*> fresh_;
  bool flush_planned_ = false;
  std::optional<Duration> drain_idle_;
  std::uint64_t random_state_;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::vector<std::byte> scratch_;
  std::array<std::weak_ptr<const CommonInfo>, 32> shared_infos_;  // the latest
  std::size_t next_shared_info_ = 0;
  ConnectionInfo spare_info_;
};

}  // namespace mizzen::proxy
