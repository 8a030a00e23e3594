#include "proxy/upstream/balancer.h"

#include <algorithm>
#include <cmath>

#include "proxy/upstream/host.h"

namespace mizzen::proxy::upstream {

namespace {

std::uint64_t mix(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

bool hashes(const Cluster& cluster) {
  return cluster.lb == LbPolicy::kRingHash || cluster.lb == LbPolicy::kMaglev;
}

bool is_avoided(const PickAsk& ask, const Candidate& candidate) {
  return std::ranges::find(ask.avoid, candidate.host->address) != ask.avoid.end();
}

std::string hash_key(const Cluster& cluster, const Candidate& candidate) {
  const bool by_name = cluster.hash_hostnames && candidate.endpoint != nullptr &&
                       !candidate.endpoint->hostname.empty();
  return by_name ? candidate.endpoint->hostname : candidate.host->address.to_string();
}

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

// --- What each priority and locality can carry ---------------------------------------------------

void HostSet::refresh(const Cluster& cluster) {
  std::ranges::stable_sort(groups_, {}, &Group::priority);
  measure();
  share_out(cluster);
  warm_from_ = {};
  if (cluster.slow_start_window) {
    for_each([&](const Candidate& c) {
      warm_from_ = std::max(warm_from_, c.host->since + *cluster.slow_start_window);
    });
  }
  for (Level& level : levels_) fill(cluster, level);
}

// A priority can carry the overprovisioning factor (1.4) times its healthy share.
void HostSet::measure() {
  levels_.clear();
  for (std::size_t begin = 0; begin < groups_.size();) {
    Level& level = levels_.emplace_back();
    level.begin = begin;
    std::array<std::uint64_t, 2> good{};
    for (; begin < groups_.size() && groups_[begin].priority == groups_[level.begin].priority;
         ++begin) {
      const Group& group = groups_[begin];
      level.hosts += group.all.size();
      for (const Candidate& c : group.all) {
        if (!c.host->usable()) continue;
        ++good[c.host->health == Health::kDegraded ? kDegraded : kHealthy];
      }
    }
    level.end = begin;
    for (Kind kind : {kHealthy, kDegraded}) {
      if (level.hosts == 0) continue;
      level.available[kind] = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(100, overprovisioning_ * good[kind] / level.hosts));
    }
  }
}

// What a priority cannot carry goes on to the next; degraded hosts come after all healthy ones.
// Health of a priority below the panic threshold is not looked at, unless the others make up for
// it.
void HostSet::share_out(const Cluster& cluster) {
  std::uint32_t total = 0;
  for (const Level& level : levels_)
    total += level.available[kHealthy] + level.available[kDegraded];
  total = std::min(total, 100U);
  bool all_panic = true;
  for (Level& level : levels_) {
    std::size_t good = 0;
    for (std::size_t i = level.begin; i < level.end; ++i) {
      good += static_cast<std::size_t>(std::ranges::count_if(
          groups_[i].all, [](const Candidate& c) { return c.host->usable(); }));
    }
    const double percent =
        level.hosts == 0 ? 0 : 100.0 * static_cast<double>(good) / static_cast<double>(level.hosts);
    level.panic = total < 100 && percent < cluster.panic_threshold_percent;
    all_panic = all_panic && level.panic;
  }
  if (total == 0 && cluster.panic_threshold_percent <= 0) return;  // nobody
  if (all_panic) return share_out_in_panic();
  if (total == 0) return;
  std::uint32_t left = 100;
  Level* first = nullptr;
  std::uint32_t* first_load = nullptr;
  for (Kind kind : {kHealthy, kDegraded}) {
    for (Level& level : levels_) {
      level.load[kind] = std::min(left, level.available[kind] * 100 / total);
      left -= level.load[kind];
      if (first == nullptr && level.available[kind] > 0) {
        first = &level;
        first_load = &level.load[kind];
      }
    }
  }
  if (first_load != nullptr) *first_load += left;  // of rounding
}

void HostSet::share_out_in_panic() {
  const std::size_t all = size();
  if (all == 0) return;
  std::uint32_t left = 100;
  Level* first = nullptr;
  for (Level& level : levels_) {
    level.load[kHealthy] = std::min(left, static_cast<std::uint32_t>(100 * level.hosts / all));
    left -= level.load[kHealthy];
    if (first == nullptr && level.hosts > 0) first = &level;
  }
  if (first != nullptr) first->load[kHealthy] += left;
}

void HostSet::fill(const Cluster& cluster, Level& level) {
  const double factor = overprovisioning_ / 100.0;
  for (Kind kind : {kHealthy, kDegraded}) {
    double by_locality = 0;
    double by_hosts = 0;
    for (std::size_t i = level.begin; i < level.end; ++i) {
      Group& group = groups_[i];
      fill_choices(cluster, group, kind, level.panic);
      Choices& choices = group.of[kind];
      const auto count = static_cast<double>(choices.hosts.size());
      choices.share = 0;
      if (choices.hosts.empty()) continue;
      const double able = std::min(1.0, factor * count / static_cast<double>(group.all.size()));
      if (cluster.locality_weighted) choices.share = group.weight * able;
      by_locality += choices.share;
      by_hosts += count;
    }
    level.shares[kind] = by_locality;
    if (by_locality > 0) continue;
    // No locality has a weight: each counts by its hosts.
    level.shares[kind] = by_hosts;
    for (std::size_t i = level.begin; i < level.end; ++i) {
      Choices& choices = groups_[i].of[kind];
      choices.share = static_cast<double>(choices.hosts.size());
    }
  }
}

void HostSet::fill_choices(const Cluster& cluster, Group& group, Kind kind, bool panic) {
  Choices& choices = group.of[kind];
  choices.hosts.clear();
  choices.order.clear();
  for (Candidate& c : group.all) {
    const bool wanted =
        panic ? kind == kHealthy && c.host->health != Health::kDraining
              : c.host->usable() && (c.host->health == Health::kDegraded) == (kind == kDegraded);
    if (wanted) choices.hosts.push_back(&c);
  }
  const auto& hosts = choices.hosts;
  choices.same_weights =
      std::ranges::all_of(hosts, [&](const Candidate* c) { return c->weight == hosts[0]->weight; });
  if (hashes(cluster) || cluster.lb == LbPolicy::kRandom) return;
  if (choices.same_weights && !cluster.slow_start_window) return;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    choices.order.add(static_cast<std::uint32_t>(i), hosts[i]->weight);
  }
  // Not always the same one comes first after a change.
  for (std::uint64_t i = 0; !hosts.empty() && i < seed_ % hosts.size(); ++i) {
    choices.order.next([&](std::uint32_t item) { return double{1.0} * hosts[item]->weight; });
  }
}

// --- One choice ----------------------------------------------------------------------------------

// A retry that is to leave the priorities of the tries before: which levels remain.
std::vector<bool> HostSet::levels_left(const PickAsk& ask) const {
  std::vector<bool> left(levels_.size(), true);
  const std::size_t counted = ask.avoid.size() - ask.avoid.size() % ask.leave_priority_after;
  for (const io::Address& address : ask.avoid.first(counted)) {
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      for (std::size_t j = levels_[i].begin; j < levels_[i].end; ++j) {
        const bool here = std::ranges::any_of(
            groups_[j].all, [&](const Candidate& c) { return c.host->address == address; });
        if (here) left[i] = false;
      }
    }
    // All have been tried: it begins anew.
    if (std::ranges::find(left, true) == left.end()) left.assign(levels_.size(), true);
  }
  return left;
}

HostSet::Draw HostSet::draw_level(const PickAsk& ask, std::uint64_t random) {
  if (levels_.size() == 1 && levels_[0].load[kDegraded] == 0) {
    return levels_[0].load[kHealthy] > 0 ? Draw{&levels_[0], kHealthy} : Draw{};
  }
  std::uint64_t draw = random % 100;
  const bool leave = ask.leave_priority_after > 0 && ask.avoid.size() >= ask.leave_priority_after;
  if (leave) {
    const std::vector<bool> left = levels_left(ask);
    // The first that can carry anything, as what it could not carry has failed before.
    for (Kind kind : {kHealthy, kDegraded}) {
      for (std::size_t i = 0; i < levels_.size(); ++i) {
        if (left[i] && !levels_[i].panic && levels_[i].available[kind] > 0) {
          return {&levels_[i], kind};
        }
      }
    }
  }
  for (Kind kind : {kHealthy, kDegraded}) {
    for (Level& level : levels_) {
      if (draw < level.load[kind]) return {&level, kind};
      draw -= level.load[kind];
    }
  }
  return {};
}

HostSet::Choices* HostSet::choose_group(Draw draw, std::uint64_t random) {
  Level& level = *draw.level;
  if (level.end - level.begin == 1) return &groups_[level.begin].of[draw.kind];
  double point = static_cast<double>(mix(random) >> 11) * 0x1.0p-53 * level.shares[draw.kind];
  Choices* last = nullptr;
  for (std::size_t i = level.begin; i < level.end; ++i) {
    Choices& choices = groups_[i].of[draw.kind];
    if (choices.share <= 0) continue;
    last = &choices;
    point -= choices.share;
    if (point < 0) break;
  }
  return last;
}

// Slow start: the part of its weight that a host has by its age.
double HostSet::warmth(const Cluster& cluster, const Candidate& candidate, MonoTime now) const {
  const Duration age = now - candidate.host->since;
  if (age >= *cluster.slow_start_window) return 1.0;
  const double grown = std::max(std::chrono::duration<double>(age).count(), 0.001) /
                       std::chrono::duration<double>(*cluster.slow_start_window).count();
  return std::max(std::pow(grown, 1.0 / cluster.slow_start_aggression),
                  cluster.slow_start_min_percent / 100.0);
}

const Candidate* HostSet::choose(const Cluster& cluster, Choices& choices, const PickAsk& ask,
                                 std::uint64_t random) {
  const auto& hosts = choices.hosts;
  if (cluster.lb == LbPolicy::kRandom) return hosts[random % hosts.size()];
  const bool warming = ask.now < warm_from_;
  if (!choices.same_weights || warming) {
    const bool by_load = cluster.lb == LbPolicy::kLeastRequest;
    return hosts[choices.order.next([&](std::uint32_t i) {
      double weight = hosts[i]->weight;
      if (warming) weight *= warmth(cluster, *hosts[i], ask.now);
      if (!by_load) return weight;
      const double load = hosts[i]->host->active + 1.0;
      return weight / (cluster.active_request_bias == 1.0
                           ? load
                           : std::pow(load, cluster.active_request_bias));
    })];
  }
  if (cluster.lb == LbPolicy::kLeastRequest) {
    const Candidate* best = nullptr;
    for (std::uint32_t i = 0; i < cluster.least_request_choices; ++i) {
      const Candidate* c = hosts[mix(random + i) % hosts.size()];
      if (best == nullptr || c->host->active < best->host->active) best = c;
    }
    return best;
  }
  if (choices.turn == 0) choices.turn = random | 1;  // workers begin at different hosts
  return hosts[choices.turn++ % hosts.size()];
}

void HostSet::make_table(const Cluster& cluster, Level& level, Kind kind) {
  auto table = std::make_unique<Table>();
  std::vector<HashEntry> entries;
  for (std::size_t i = level.begin; i < level.end; ++i) {
    const Choices& choices = groups_[i].of[kind];
    if (choices.share <= 0) continue;
    double sum = 0;
    for (const Candidate* c : choices.hosts) sum += c->weight;
    const double share = choices.share / level.shares[kind];
    for (Candidate* c : choices.hosts) {
      table->hosts.push_back(c);
      entries.push_back({hash_key(cluster, *c), share * c->weight / sum});
    }
  }
  if (cluster.lb == LbPolicy::kMaglev) {
    table->maglev = MaglevTable(entries, cluster);
  } else {
    table->ring = HashRing(entries, cluster);
  }
  level.tables[kind] = std::move(table);
}

const Candidate* HostSet::by_hash(const Cluster& cluster, Draw draw, std::uint64_t hash,
                                  std::uint32_t attempt) {
  if (draw.level->tables[draw.kind] == nullptr) make_table(cluster, *draw.level, draw.kind);
  const Table& table = *draw.level->tables[draw.kind];
  if (table.hosts.empty()) return nullptr;
  const bool maglev = cluster.lb == LbPolicy::kMaglev;
  return table.hosts[maglev ? table.maglev.find(hash, attempt) : table.ring.find(hash, attempt)];
}

// The draws all fell on hosts that have been tried: any other one is better than those.
const Candidate* HostSet::other_than(Draw draw, const PickAsk& ask) const {
  for (std::size_t i = draw.level->begin; i < draw.level->end; ++i) {
    const auto& hosts = groups_[i].of[draw.kind].hosts;
    for (std::size_t j = 0; j < hosts.size(); ++j) {
      const Candidate* c = hosts[(ask.random + j) % hosts.size()];
      if (!is_avoided(ask, *c)) return c;
    }
  }
  return nullptr;
}

const Candidate* HostSet::pick(const Cluster& cluster, const PickAsk& ask) {
  std::uint64_t random = ask.random;
  seed_ = random;
  const Candidate* picked = nullptr;
  Draw draw;
  for (std::uint32_t attempt = 0; attempt < std::max(ask.tries, 1U); ++attempt) {
    const std::uint64_t hash = ask.hash.value_or(random);
    draw = draw_level(ask, hashes(cluster) ? hash : random);
    if (draw.level == nullptr) return nullptr;
    if (hashes(cluster)) {
      picked = by_hash(cluster, draw, hash, ask.hash ? attempt : 0);
    } else {
      Choices* choices = choose_group(draw, random);
      if (choices == nullptr || choices->hosts.empty()) return nullptr;
      picked = choose(cluster, *choices, ask, random);
    }
    if (picked == nullptr || ask.avoid.empty() || !is_avoided(ask, *picked)) return picked;
    random = mix(random);
  }
  const Candidate* other = other_than(draw, ask);
  return other != nullptr ? other : picked;
}

}  // namespace mizzen::proxy::upstream
