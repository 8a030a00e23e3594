// One cluster as a worker sees it: hosts, balancing, limits, outlier detection. Lives on while
// snapshots come and go.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/upstream.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/context.h"
#include "proxy/upstream/dns.h"
#include "proxy/upstream/host.h"

namespace mizzen::proxy::upstream {

class Waiter {
 public:
  // The first DNS answer has come, good or bad: choose() decides now.
  virtual void on_hosts() = 0;

 protected:
  ~Waiter() = default;
};

class ClusterState {
 public:
  ClusterState(Context& context, std::string name);
  ~ClusterState();
  ClusterState(const ClusterState&) = delete;
  ClusterState& operator=(const ClusterState&) = delete;

  // Brings it to what a snapshot says; a changed cluster drains its connections.
  void update(const ClusterEntry& entry);
  // It is configured no more: connections end after their requests.
  void retire();

  struct Choice {
    Host* host = nullptr;
    const Endpoint* endpoint = nullptr;  // of the ask's own endpoints
    bool wait = false;                   // the addresses are being looked up: wait_for_hosts()
  };
  Choice choose(const UpstreamAsk& ask);
  void wait_for_hosts(Waiter& waiter) { waiters_.push_back(&waiter); }
  void stop_waiting(Waiter& waiter) { std::erase(waiters_, &waiter); }

  Context& context() { return context_; }
  const std::string& name() const { return name_; }
  const Cluster& cluster() const { return *cluster_; }
  Counters& counters(bool high_priority) { return counters_->by_priority[high_priority ? 1 : 0]; }
  const proxy::Limits& limits(bool high_priority) const {
    return high_priority ? cluster_->high_priority_limits : cluster_->limits;
  }
  ClusterHealth& shared_health() { return counters_->health; }
  // One more retry, if the limit or the budget (CircuitBreakers.RetryBudget) has room for it.
  Taken take_retry(bool high_priority);
  // For outlier detection. Nothing of it is looked at where reports_matter() is false.
  bool reports_matter() const { return cluster_->outlier.has_value(); }
  void report(Host& host, Outcome outcome);
  // No connection could be made to it.
  void report_unreachable(Host& host);
  // A host's pools changed: one that nobody lists and nobody uses goes away at the end of the turn.
  void tidy_later() { tidy_.schedule(); }
  // Nothing refers to it any more: it may be destroyed.
  bool unused() const { return retired_ && hosts_.empty() && waiters_.empty() && !names_.asking(); }

  // A place for one more connection, an idle one's if there is no other; none beyond the limit.
  Taken take_connection();
  // A connection could not be made under the limit: `pool` is told when one has come free.
  void starve(Pool& pool);
  void forget(Pool& pool) { std::erase(starving_, &pool); }
  void connection_gone();
  // Closes an idle connection, here or as soon as one falls idle; whether there was one.
  bool release_connection();
  bool release_wanted() const;
  void close_idle();

 private:
  Host* host_at(const io::Address& address);
  void rebuild();
  void add_endpoint(const Endpoint& endpoint);
  void list_host(const io::Address& address, const Endpoint& endpoint);
  bool is_dns() const;
  void on_names(bool changed);
  void look_at_health();
  void end_ejections();
  void sweep();
  Host* original(const UpstreamAsk& ask);
  void feed_starving();
  void tidy();

  Context& context_;
  const std::string name_;
  std::shared_ptr<const Cluster> cluster_;
  std::shared_ptr<const Endpoints> endpoints_;
  std::shared_ptr<ClusterCounters> counters_;
  std::vector<Waiter*> waiters_;
  std::vector<Pool*> starving_;
  std::unordered_map<io::Address, std::unique_ptr<Host>> hosts_;  // their pools know starving_
  HostSet set_;
  DnsNames names_;
  std::uint64_t health_seen_ = 0;  // ClusterHealth::version()
  bool retired_ = false;
  MonoTime release_until_{};
  io::Timer ejection_timer_;
  io::Timer sweep_timer_;
  io::Timer starve_timer_;
  io::Task tidy_;
  io::Task feed_;
};

}  // namespace mizzen::proxy::upstream
