#include "proxy/upstream/balancer.h"

#include <algorithm>

#include "proxy/upstream/host.h"

namespace mizzen::proxy::upstream {

namespace {

std::uint64_t mix(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// Rendezvous hashing: a host that comes or goes moves only its own share, as the ring and Maglev's
// table promise. The first 53 bits make a uniform number; the weight bends it.
double rendezvous(const Candidate& candidate, std::uint64_t hash) {
  const std::uint64_t bits = mix(hash ^ candidate.host->address.hash());
  const double uniform = (static_cast<double>(bits >> 11) + 1.0) * 0x1.0p-53;
  // -w / ln(u) without the logarithm's exactness mattering: order is all that counts.
  return static_cast<double>(candidate.weight) / -__builtin_log(uniform + 1e-18);
}

bool degraded(const Candidate& candidate) { return candidate.host->health == Health::kDegraded; }

}  // namespace

void HostSet::clear() {
  groups_.clear();
  levels_.clear();
}

void HostSet::add_locality(const LocalityEndpoints& locality) {
  Group& group = groups_.emplace_back();
  group.priority = locality.priority;
  group.weight = locality.weight;
}

void HostSet::add(Candidate candidate) { groups_.back().all.push_back(candidate); }

bool HostSet::empty() const {
  return std::ranges::all_of(groups_, [](const Group& group) { return group.all.empty(); });
}

std::size_t HostSet::size() const {
  std::size_t count = 0;
  for (const Group& group : groups_) count += group.all.size();
  return count;
}

std::size_t HostSet::ejected() const {
  std::size_t count = 0;
  for (const Group& group : groups_) {
    count += static_cast<std::size_t>(
        std::ranges::count_if(group.all, [](const Candidate& c) { return c.host->ejected; }));
  }
  return count;
}

// Envoy's arithmetic: a priority can carry 1.4 times its healthy share; what it cannot goes on to
// the next; below the panic threshold health is not looked at.
void HostSet::refresh(const Cluster& cluster) {
  levels_.clear();
  const double factor = overprovisioning_ / 100.0;
  std::ranges::stable_sort(groups_, {}, &Group::priority);
  std::uint32_t left = 100;
  for (std::size_t begin = 0; begin < groups_.size();) {
    std::size_t end = begin;
    std::size_t total = 0;
    std::size_t good = 0;
    for (; end < groups_.size() && groups_[end].priority == groups_[begin].priority; ++end) {
      Group& group = groups_[end];
      group.usable.clear();
      for (Candidate& c : group.all) {
        if (c.host->usable() && !degraded(c)) group.usable.push_back(&c);
      }
      if (group.usable.empty()) {
        for (Candidate& c : group.all) {
          if (c.host->usable()) group.usable.push_back(&c);
        }
      }
      total += group.all.size();
      good += group.usable.size();
    }
    const bool panic =
        total > 0 && 100.0 * static_cast<double>(good) <
                         cluster.panic_threshold_percent * static_cast<double>(total);
    double weight = 0;
    for (std::size_t i = begin; i < end; ++i) {
      Group& group = groups_[i];
      // Never those that the control plane itself calls draining.
      if (panic) {
        group.usable.clear();
        for (Candidate& c : group.all) {
          if (c.host->health != Health::kDraining) group.usable.push_back(&c);
        }
      }
      group.same_weights = std::ranges::all_of(
          group.usable, [&](const Candidate* c) { return c->weight == group.usable[0]->weight; });
      weight += group_weight(cluster, group, factor);
    }
    const double share =
        total == 0 ? 0 : factor * static_cast<double>(good) / static_cast<double>(total);
    const auto load = std::min(left, static_cast<std::uint32_t>(std::min(1.0, share) * 100));
    levels_.push_back({groups_[begin].priority, load, weight});
    left -= load;
    begin = end;
  }
  if (left > 0 && !levels_.empty()) {
    // Nobody is healthy enough to take it: the first priority that has hosts at all.
    auto first = std::ranges::find_if(levels_, [](const Level& level) { return level.weight > 0; });
    if (first != levels_.end()) first->load += left;
  }
}

double HostSet::group_weight(const Cluster& cluster, const Group& group, double factor) {
  if (group.usable.empty()) return 0;
  if (!cluster.locality_weighted) {
    double weight = 0;
    for (const Candidate* c : group.usable) weight += c->weight;
    return weight;
  }
  const double share =
      factor * static_cast<double>(group.usable.size()) / static_cast<double>(group.all.size());
  return group.weight * std::min(1.0, share);
}

HostSet::Group* HostSet::choose_group(const Cluster& cluster, std::uint64_t random) {
  if (groups_.size() == 1) return groups_[0].usable.empty() ? nullptr : &groups_[0];
  std::uint64_t draw = random % 100;
  const Level* chosen = nullptr;
  for (const Level& level : levels_) {
    if (draw < level.load) {
      chosen = &level;
      break;
    }
    draw -= level.load;
  }
  if (chosen == nullptr || chosen->weight <= 0) return nullptr;
  double point = static_cast<double>(mix(random) >> 11) * 0x1.0p-53 * chosen->weight;
  Group* last = nullptr;
  for (Group& group : groups_) {
    if (group.priority != chosen->priority || group.usable.empty()) continue;
    last = &group;
    point -= group_weight(cluster, group, overprovisioning_ / 100.0);
    if (point < 0) break;
  }
  return last;
}

const Candidate* HostSet::choose(const Cluster& cluster, Group& group,
                                 std::optional<std::uint64_t> hash, std::uint64_t random) {
  auto& hosts = group.usable;
  switch (cluster.lb) {
    case LbPolicy::kRingHash:
    case LbPolicy::kMaglev:
      if (hash) {
        return *std::ranges::max_element(hosts, {},
                                         [&](const Candidate* c) { return rendezvous(*c, *hash); });
      }
      return hosts[random % hosts.size()];
    case LbPolicy::kRandom: {
      if (group.same_weights) return hosts[random % hosts.size()];
      std::uint64_t total = 0;
      for (const Candidate* c : hosts) total += c->weight;
      std::uint64_t draw = random % std::max<std::uint64_t>(total, 1);
      for (const Candidate* c : hosts) {
        if (draw < c->weight) return c;
        draw -= c->weight;
      }
      return hosts.back();
    }
    case LbPolicy::kLeastRequest: {
      const Candidate* best = nullptr;
      const std::uint32_t choices = std::max(cluster.least_request_choices, 2U);
      for (std::uint32_t i = 0; i < choices; ++i) {
        const Candidate* c = hosts[mix(random + i) % hosts.size()];
        // (active + 1) / weight, without dividing.
        if (best == nullptr || std::uint64_t{c->host->active + 1} * best->weight <
                                   std::uint64_t{best->host->active + 1} * c->weight) {
          best = c;
        }
      }
      return best;
    }
    case LbPolicy::kRoundRobin:
    case LbPolicy::kClusterProvided:
      break;
  }
  if (group.turn == 0) group.turn = random | 1;  // workers begin at different hosts
  if (group.same_weights) return hosts[group.turn++ % hosts.size()];
  std::int64_t total = 0;
  Candidate* best = nullptr;
  for (Candidate* c : hosts) {
    c->current += c->weight;
    total += c->weight;
    if (best == nullptr || c->current > best->current) best = c;
  }
  best->current -= total;
  return best;
}

const Candidate* HostSet::pick(const Cluster& cluster, std::optional<std::uint64_t> hash,
                               std::uint64_t random, std::span<const io::Address> avoid) {
  constexpr int kTries = 5;
  const Candidate* picked = nullptr;
  for (int i = 0; i < kTries; ++i) {
    // A hash decides locality and host alike.
    Group* group = choose_group(cluster, hash ? mix(*hash) : random);
    if (group == nullptr || group->usable.empty()) return nullptr;
    picked = choose(cluster, *group, i == 0 ? hash : std::nullopt, random);
    if (std::ranges::find(avoid, picked->host->address) == avoid.end()) return picked;
    random = mix(random);
  }
  return picked;
}

}  // namespace mizzen::proxy::upstream
