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

Host::Host(ClusterState& its_cluster, io::Address its_address)
    : cluster(its_cluster), address(std::move(its_address)) {}

Host::~Host() = default;

bool Host::usable() const {
  return !ejected && health != Health::kUnhealthy && health != Health::kTimeout &&
         health != Health::kDraining;
}

bool Host::wanted() const {
  return listed || cluster.cluster().type == Cluster::Type::kOriginalDst;
}

ClusterState::ClusterState(Context& context, std::string name)
    : context_(context),
      name_(std::move(name)),
      counters_(context.limits->of(name_)),
      ejection_timer_(io::Timer::of<&ClusterState::end_ejections>(context.loop, this)),
      dns_timer_(io::Timer::of<&ClusterState::resolve>(context.loop, this)),
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
  if (changed) {
    for (auto& [address, host] : hosts_) {
      host->speaks = Speaks::kUnknown;
      host->tls = transport_of(*cluster_, nullptr);  // listed ones get their own in rebuild()
      for (auto& pool : host->pools) pool->drain();
    }
  }
  if (is_dns() && endpoints_ != nullptr) {
    dns_timer_.cancel();
    resolve();
  }
  rebuild();
}

void ClusterState::retire() {
  retired_ = true;
  dns_timer_.cancel();
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
    host->speaks = Speaks::kUnknown;
    for (auto& pool : host->pools) pool->drain();
  }
  host->tls = std::move(tls);
  host->health = endpoint.health;
  host->listed = true;
  set_.add({host, &endpoint, std::max(endpoint.weight, 1U)});
}

void ClusterState::add_endpoint(const Endpoint& endpoint) {
  if (auto address = address_of(endpoint.address)) return list_host(*address, endpoint);
  if (!is_dns()) {
    log::warning("upstream", "cluster {}: {} is no address", name_, to_string(endpoint.address));
    return;
  }
  auto found = resolved_.find(to_string(endpoint.address));
  if (found == resolved_.end()) return;
  for (const io::Address& address : found->second) {
    list_host(address, endpoint);
    if (cluster_->type == Cluster::Type::kLogicalDns) break;
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
    set_.refresh(*cluster_);
  }
  if (cluster_->type == Cluster::Type::kOriginalDst) return;
  for (auto& [address, host] : hosts_) {
    if (host->listed) continue;
    for (auto& pool : host->pools) pool->drain();
  }
  tidy_later();
}

ClusterState::Choice ClusterState::choose(const UpstreamAsk& ask) {
  if (cluster_->type == Cluster::Type::kOriginalDst) {
    if (!ask.original_dst) return {};
    return {host_at(ask.original_dst), nullptr, false};
  }
  used_ = true;
  if (is_dns()) {
    if (!dns_timer_.armed() && asked_ == 0) resolve();
    if (!resolved_once_ && set_.empty() && asked_ > 0) return {nullptr, nullptr, true};
  }
  const Candidate* picked = set_.pick(*cluster_, ask.hash, context_.random(), ask.avoid);
  if (picked == nullptr) return {};
  const Endpoint* endpoint = picked->endpoint;
  // The request's own snapshot may be an older one.
  if (ask.entry->endpoints != endpoints_) {
    endpoint = find_endpoint(ask.entry->endpoints.get(), picked->host->address);
  }
  return {picked->host, endpoint, false};
}

// --- DNS -----------------------------------------------------------------------------------------

void ClusterState::resolve() {
  if (endpoints_ == nullptr || asked_ > 0) return;
  if (!used_ && resolved_once_) return;  // asked again when it is used again
  used_ = false;
  for (const LocalityEndpoints& locality : endpoints_->localities) {
    for (const Endpoint& endpoint : locality.endpoints) {
      if (!address_of(endpoint.address)) resolve_one(endpoint.address.host, endpoint.address.port);
    }
  }
  if (asked_ == 0) resolved_once_ = true;  // nothing but IP addresses
}

void ClusterState::resolve_one(const std::string& name, std::uint16_t port) {
  if (!context_.resolver) {
    auto made = io::Resolver::make(context_.loop);
    if (!made) {
      log::error("upstream", "no resolver: {}", made.error().message);
      return;
    }
    context_.resolver = std::move(*made);
  }
  ++asked_;
  const std::string key = to_string(SocketAddr{name, port, false});
  // A cluster that still waits for an answer is never destroyed before the resolver (unused()).
  context_.resolver->resolve(
      name, port, io::ResolveFamily::kAny,
      [this, key](Result<io::Resolved> result) { on_resolved(key, std::move(result)); });
}

void ClusterState::on_resolved(const std::string& key, Result<io::Resolved> result) {
  --asked_;
  Duration again = std::max<Duration>(cluster_->dns_refresh, std::chrono::milliseconds(100));
  if (result) {
    std::ranges::sort(result->addresses);
    if (cluster_->dns_respect_ttl && result->ttl.count() > 0) again = result->ttl;
    auto& known = resolved_[key];
    if (known != result->addresses) {
      known = std::move(result->addresses);
      if (!retired_) rebuild();
    }
  } else {
    log::debug("upstream", "cluster {}: {}: {}", name_, key, result.error().message);
  }
  if (asked_ > 0) return;
  resolved_once_ = true;
  if (!retired_) dns_timer_.arm(again);
  auto waiters = std::exchange(waiters_, {});
  while (!waiters.empty()) {
    Waiter* waiter = waiters.back();
    waiters.pop_back();
    waiter->on_hosts();
  }
  if (retired_) tidy_later();
}

// --- Outlier detection ---------------------------------------------------------------------------

void ClusterState::report(Host& host, Outcome outcome) {
  if (!cluster_->outlier || !host.listed) return;
  const OutlierDetection& rules = *cluster_->outlier;
  const auto passed = [this](std::uint32_t& count, std::uint32_t most, std::uint32_t enforcing) {
    ++count;
    if (most == 0 || count < most) return false;
    count = 0;
    return context_.random() % 100 < enforcing;
  };
  bool out = false;
  switch (outcome) {
    case Outcome::kSuccess:
      host.consecutive_5xx = host.consecutive_gateway = host.consecutive_local = 0;
      return;
    case Outcome::kLocalFailure:
      if (rules.split_local_origin) {
        out = passed(host.consecutive_local, rules.consecutive_local_origin_failure,
                     rules.enforcing_consecutive_local_origin_failure);
        break;
      }
      [[fallthrough]];  // counts as a 503 otherwise
    case Outcome::kGatewayError:
      out = passed(host.consecutive_gateway, rules.consecutive_gateway_failure,
                   rules.enforcing_consecutive_gateway_failure);
      [[fallthrough]];
    case Outcome::k5xx:
      if (outcome == Outcome::k5xx) host.consecutive_gateway = 0;
      out = passed(host.consecutive_5xx, rules.consecutive_5xx, rules.enforcing_consecutive_5xx) ||
            out;
      break;
  }
  if (out) eject(host);
}

void ClusterState::eject(Host& host) {
  if (host.ejected) return;
  const OutlierDetection& rules = *cluster_->outlier;
  const std::size_t out = set_.ejected();
  // At least one may go, as with Envoy.
  if (out > 0 && 100 * (out + 1) > rules.max_ejection_percent * set_.size()) return;
  host.ejected = true;
  ++host.ejections;
  const Duration time = std::min(rules.base_ejection * host.ejections,
                                 std::max(rules.max_ejection, rules.base_ejection));
  host.ejected_until = context_.loop.now() + time;
  set_.refresh(*cluster_);
  if (!ejection_timer_.armed()) ejection_timer_.arm(time);
  log::info("upstream", "cluster {}: {} is ejected for {} ms", name_, host.address.to_string(),
            std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

void ClusterState::end_ejections() {
  const MonoTime now = context_.loop.now();
  std::optional<MonoTime> next;
  for (auto& [address, host] : hosts_) {
    if (!host->ejected) continue;
    if (host->ejected_until <= now) {
      host->ejected = false;
    } else {
      next = std::min(next.value_or(host->ejected_until), host->ejected_until);
    }
  }
  set_.refresh(*cluster_);
  if (next) ejection_timer_.arm(*next - now);
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
