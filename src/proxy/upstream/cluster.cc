#include "proxy/upstream/cluster.h"

#include <algorithm>

#include "base/log.h"
#include "proxy/upstream/connector.h"
#include "proxy/upstream/pool.h"

namespace mizzen::proxy::upstream {

namespace {

// How long a worker that was asked for a connection gives the next idle one away, and how often a
// starving one asks.
constexpr Duration kReleaseFor = std::chrono::milliseconds(20);
constexpr Duration kAskAgain = std::chrono::milliseconds(5);

Result<io::Address> address_of(const SocketAddr& address) {
  if (address.pipe) return io::Address::unix_path(address.host);
  return io::Address::parse_ip(address.host, address.port);
}

const Endpoint* find_endpoint(const Endpoints* endpoints, const io::Address& address) {
  if (endpoints == nullptr) return nullptr;
  for (const LocalityEndpoints& locality : endpoints->localities) {
    for (const Endpoint& endpoint : locality.endpoints) {
      auto its = address_of(endpoint.address);
      if (its && *its == address) return &endpoint;
    }
  }
  return nullptr;
}

}  // namespace

ClusterState::ClusterState(Context& context, std::string name)
    : context_(context),
      name_(std::move(name)),
      counters_(context.limits->of(name_)),
      names_(context, name_, [this](bool changed) { on_names(changed); }),
      ejection_timer_(io::Timer::of<&ClusterState::end_ejections>(context.loop, this)),
      sweep_timer_(io::Timer::of<&ClusterState::sweep>(context.loop, this)),
      starve_timer_(io::Timer::of<&ClusterState::feed_starving>(context.loop, this)),
      tidy_(io::Task::of<&ClusterState::tidy>(context.loop, this)),
      feed_(io::Task::of<&ClusterState::feed_starving>(context.loop, this)) {}

ClusterState::~ClusterState() = default;

bool ClusterState::is_dns() const {
  return cluster_->type == Cluster::Type::kStrictDns ||
         cluster_->type == Cluster::Type::kLogicalDns;
}

void ClusterState::update(const ClusterEntry& entry) {
  const bool changed = cluster_ != nullptr && cluster_ != entry.cluster &&
                       cluster_->version_hash != entry.cluster->version_hash;
  const bool same = cluster_ == entry.cluster && endpoints_ == entry.endpoints && !retired_;
  if (same) return;
  cluster_ = entry.cluster;
  endpoints_ = entry.endpoints;
  retired_ = false;
  if (!cluster_->outlier && shared_health().counts().active > 0) shared_health().end_all();
  if (changed) {
    for (auto& [address, host] : hosts_) {
      host->forget_peer();
      host->tls = transport_of(*cluster_, nullptr);  // listed ones get their own in rebuild()
      for (auto& pool : host->pools) pool->drain();
    }
  }
  if (is_dns()) names_.set(cluster_, endpoints_);
  rebuild();
}

void ClusterState::retire() {
  retired_ = true;
  names_.stop();
  set_.clear();
  for (auto& [address, host] : hosts_) {
    host->listed = false;
    for (auto& pool : host->pools) pool->drain();
  }
  tidy_later();
}

Host* ClusterState::host_at(const io::Address& address) {
  auto& slot = hosts_[address];
  if (!slot) {
    slot = std::make_unique<Host>(*this, address);
    slot->tls = transport_of(*cluster_, nullptr);
  }
  return slot.get();
}

void ClusterState::list_host(const io::Address& address, const Endpoint& endpoint) {
  Host* host = host_at(address);
  auto tls = transport_of(*cluster_, &endpoint);
  const std::uint64_t before = host->tls ? host->tls->common.version_hash : 0;
  if ((host->tls == nullptr) != (tls == nullptr) || (tls && tls->common.version_hash != before)) {
    host->forget_peer();
    for (auto& pool : host->pools) pool->drain();
  }
  host->tls = std::move(tls);
  const bool was_usable = host->usable();
  host->health = endpoint.health;
  if (!was_usable && host->usable()) host->since = context_.loop.now();  // it warms up again
  host->tunnel_port = endpoint.tunnel_port;
  host->listed = true;
  set_.add({host, &endpoint, std::max(endpoint.weight, 1U)});
}

void ClusterState::add_endpoint(const Endpoint& endpoint) {
  if (auto address = address_of(endpoint.address)) return list_host(*address, endpoint);
  if (!is_dns()) {
    log::warning("upstream", "cluster {}: {} is no address", name_, to_string(endpoint.address));
    return;
  }
  if (const auto* addresses = names_.find(endpoint.address)) {
    for (const io::Address& address : *addresses) list_host(address, endpoint);
  }
}

void ClusterState::rebuild() {
  for (auto& [address, host] : hosts_) host->listed = false;
  set_.clear();
  if (endpoints_ != nullptr) {
    set_.set_overprovisioning(endpoints_->overprovisioning_percent);
    const LocalityEndpoints* last = nullptr;
    for (const LocalityEndpoints& locality : endpoints_->localities) {
      // Localities without weights of their own are one set of hosts.
      if (last == nullptr || cluster_->locality_weighted || last->priority != locality.priority) {
        set_.add_locality(locality);
      }
      last = &locality;
      for (const Endpoint& endpoint : locality.endpoints) add_endpoint(endpoint);
    }
    look_at_health();
  }
  if (cluster_->type == Cluster::Type::kOriginalDst) return;
  for (auto& [address, host] : hosts_) {
    if (host->listed) continue;
    for (auto& pool : host->pools) pool->drain();
  }
  tidy_later();
}

Host* ClusterState::original(const UpstreamAsk& ask) {
  if (!ask.original_dst) return nullptr;
  if (cluster_->original_dst_port == 0) return host_at(ask.original_dst);
  return host_at(ask.original_dst.with_port(cluster_->original_dst_port));
}

ClusterState::Choice ClusterState::choose(const UpstreamAsk& ask) {
  if (cluster_->type == Cluster::Type::kOriginalDst) return {original(ask), nullptr, false};
  if (is_dns()) {
    names_.use();
    if (!names_.answered() && set_.empty() && names_.asking()) return {nullptr, nullptr, true};
  }
  if (health_seen_ != shared_health().version()) look_at_health();
  PickAsk pick;
  pick.hash = ask.hash;
  pick.random = context_.random();
  pick.avoid = ask.avoid;
  pick.tries = ask.host_tries;
  pick.leave_priority_after = ask.leave_priority_after;
  pick.now = context_.loop.now();
  const Candidate* picked = set_.pick(*cluster_, pick);
  if (picked == nullptr) return {};
  const Endpoint* endpoint = picked->endpoint;
  // The request's own snapshot may be an older one.
  if (ask.entry->endpoints != endpoints_) {
    endpoint = find_endpoint(ask.entry->endpoints.get(), picked->host->address);
  }
  return {picked->host, endpoint, false};
}

void ClusterState::on_names(bool changed) {
  if (changed && !retired_) rebuild();
  auto waiters = std::exchange(waiters_, {});
  while (!waiters.empty()) {
    Waiter* waiter = waiters.back();
    waiters.pop_back();
    waiter->on_hosts();
  }
  if (retired_) tidy_later();
}

// --- Health --------------------------------------------------------------------------------------

Taken ClusterState::take_retry(bool high_priority) {
  Counters& now = counters(high_priority);
  std::uint32_t most = limits(high_priority).max_retries;
  if (const auto& budget = limits(high_priority).retry_budget) {
    const std::uint64_t busy = std::uint64_t{now.requests.load(std::memory_order_relaxed)} +
                               now.pending.load(std::memory_order_relaxed);
    most = std::max(budget->min_concurrency, static_cast<std::uint32_t>(budget->percent / 100.0 *
                                                                        static_cast<double>(busy)));
  }
  return Taken::from(now.retries, most, now.retries_refused);
}

void ClusterState::report(Host& host, Outcome outcome) {
  if (!cluster_->outlier || !host.listed) return;
  const OutlierDetection& rules = *cluster_->outlier;
  ClusterHealth& health = shared_health();
  if (auto cause = health.count(rules, *host.shared, outcome)) {
    if (health.eject(rules, *host.shared, *cause, set_.size(), context_.loop.now(),
                     context_.random())) {
      log::info("upstream", "cluster {}: {} is ejected", name_, host.address.to_string());
      look_at_health();
    }
  }
  if (!sweep_timer_.armed() && health.needs_sweep(rules)) sweep_timer_.arm(rules.interval);
}

void ClusterState::report_unreachable(Host& host) {
  report(host, Outcome::kLocalFailure);
  if (cluster_->type == Cluster::Type::kLogicalDns && names_.leave(host.address)) rebuild();
}

// Some worker saw a host go or come.
void ClusterState::look_at_health() {
  health_seen_ = shared_health().version();
  set_.refresh(*cluster_);
  if (cluster_->outlier && !ejection_timer_.armed()) end_ejections();
}

void ClusterState::end_ejections() {
  const MonoTime now = context_.loop.now();
  const auto next = shared_health().end_ejections(now);
  if (next) ejection_timer_.arm(*next - now);
  if (health_seen_ != shared_health().version()) {
    health_seen_ = shared_health().version();
    set_.refresh(*cluster_);
  }
}

void ClusterState::sweep() {
  if (!cluster_->outlier || retired_) return;
  const OutlierDetection& rules = *cluster_->outlier;
  shared_health().sweep(rules, set_.size(), context_.loop.now(), context_.random());
  if (health_seen_ != shared_health().version()) look_at_health();
  // Rates are measured only while there is traffic: report() starts it again.
  bool ejections = false;
  set_.for_each(
      [&](const Candidate& c) { ejections = ejections || c.host->shared->ejections > 0; });
  if (ejections) sweep_timer_.arm(rules.interval);
}

// --- Connections under a limit -------------------------------------------------------------------

void ClusterState::starve(Pool& pool) {
  if (std::ranges::find(starving_, &pool) == starving_.end()) starving_.push_back(&pool);
  context_.limits->ask_for_release(context_.worker, name_);
  if (!starve_timer_.armed()) starve_timer_.arm(kAskAgain);
}

void ClusterState::connection_gone() {
  if (!starving_.empty()) feed_.schedule();
}

void ClusterState::feed_starving() {
  auto hungry = std::exchange(starving_, {});
  for (Pool* pool : hungry) pool->grow();  // puts itself back when there is none
}

Taken ClusterState::take_connection() {
  const auto take = [this] {
    Counters& counted = counters(false);
    return Taken::from(counted.connections, limits(false).max_connections,
                       counted.connections_refused);
  };
  Taken place = take();
  return !place && release_connection() ? take() : std::move(place);
}

bool ClusterState::release_connection() {
  for (auto& [address, host] : hosts_) {
    for (auto& pool : host->pools) {
      if (pool->close_one_idle()) return true;
    }
  }
  release_until_ = context_.loop.now() + kReleaseFor;
  return false;
}

bool ClusterState::release_wanted() const {
  return !starving_.empty() || context_.loop.now() < release_until_;
}

void ClusterState::close_idle() {
  for (auto& [address, host] : hosts_) {
    for (auto& pool : host->pools) pool->drain();
  }
}

void ClusterState::tidy() {
  std::erase_if(hosts_, [](const auto& entry) {
    const Host& host = *entry.second;
    return !host.listed && host.active == 0 &&
           std::ranges::all_of(host.pools, [](const auto& pool) { return pool->empty(); });
  });
}

}  // namespace mizzen::proxy::upstream
