#include "proxy/upstream/hash_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/hash.h"

namespace mizzen::proxy::upstream {

HashRing::HashRing(const std::vector<HashEntry>& hosts, const Cluster& cluster) {
  if (hosts.empty()) return;
  double least = 1.0;
  for (const HashEntry& host : hosts) least = std::min(least, host.weight);
  const double scale =
      std::min(std::ceil(least * static_cast<double>(cluster.ring_min_size)) / least,
               static_cast<double>(cluster.ring_max_size));
  points_.reserve(static_cast<std::size_t>(std::ceil(scale)));
  std::string key;
  double wanted = 0;
  double placed = 0;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    key.assign(hosts[i].key).push_back('_');
    const std::size_t prefix = key.size();
    wanted += scale * hosts[i].weight;
    for (std::uint64_t copy = 0; placed < wanted; ++copy, ++placed) {
      char digits[20];
      auto [end, error] = std::to_chars(digits, digits + sizeof digits, copy);
      key.resize(prefix);
      key.append(digits, end);
      const std::uint64_t hash = cluster.ring_hash == RingHash::kXxHash ? xxh64(key) : murmur2(key);
      points_.push_back({hash, static_cast<std::uint32_t>(i)});
    }
  }
  std::ranges::sort(points_, {}, &Point::hash);
}

std::uint32_t HashRing::find(std::uint64_t hash, std::uint32_t attempt) const {
  auto found = std::ranges::lower_bound(points_, hash, {}, &Point::hash);
  auto at = static_cast<std::size_t>(found - points_.begin());
  return points_[(at + attempt) % points_.size()].host;
}

MaglevTable::MaglevTable(const std::vector<HashEntry>& hosts, const Cluster& cluster) {
  if (hosts.empty()) return;
  struct Filler {
    std::uint64_t offset;
    std::uint64_t skip;
    std::uint64_t next;
    double target;
  };
  const std::uint64_t size = cluster.maglev_table_size;
  constexpr auto kFree = std::numeric_limits<std::uint32_t>::max();
  slots_.assign(size, kFree);
  double most = 0;
  std::vector<Filler> fillers;
  fillers.reserve(hosts.size());
  for (const HashEntry& host : hosts) {
    most = std::max(most, host.weight);
    fillers.push_back(
        {xxh64(host.key) % size, size > 1 ? xxh64(host.key, 1) % (size - 1) + 1 : 1, 0, 0});
  }
  std::uint64_t filled = 0;
  for (std::uint64_t round = 1; filled < size; ++round) {
    for (std::size_t i = 0; i < hosts.size() && filled < size; ++i) {
      Filler& filler = fillers[i];
      // A host whose weight is half of the heaviest one's chooses in every second round.
      if (static_cast<double>(round) * hosts[i].weight < filler.target) continue;
      filler.target += most;
      std::uint64_t slot = 0;
      do {
        slot = (filler.offset + filler.skip * filler.next++) % size;
      } while (slots_[slot] != kFree);
      slots_[slot] = static_cast<std::uint32_t>(i);
      ++filled;
    }
  }
}

std::uint32_t MaglevTable::find(std::uint64_t hash, std::uint32_t attempt) const {
  if (attempt > 0) hash ^= ~std::uint64_t{0} - attempt + 1;
  return slots_[hash % slots_.size()];
}

}  // namespace mizzen::proxy::upstream
