// The tables of consistent hashing, as Envoy builds them: the same hosts and the same hash lead to
// the same host here and there. Pure; built when a request first needs them, then only read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/config/cluster.h"

namespace mizzen::proxy::upstream {

struct HashEntry {
  std::string key;    // "10.0.0.1:80", or the host's name (use_hostname_for_hashing)
  double weight = 0;  // share of all, the sum is 1
};

// Ketama ring (Cluster.RingHashLbConfig): each host stands in it as often as its weight asks, the
// lightest at least minimum_ring_size times its share.
class HashRing {
 public:
  HashRing() = default;
  HashRing(const std::vector<HashEntry>& hosts, const Cluster& cluster);
  // The position in `hosts`; `attempt` counts from 0. The ring must not be empty.
  std::uint32_t find(std::uint64_t hash, std::uint32_t attempt) const;
  std::size_t size() const { return points_.size(); }

 private:
  struct Point {
    std::uint64_t hash;
    std::uint32_t host;
  };
  std::vector<Point> points_;
};

// Maglev's table (Eisenbud et al., NSDI 2016, 3.4), with weights.
class MaglevTable {
 public:
  MaglevTable() = default;
  MaglevTable(const std::vector<HashEntry>& hosts, const Cluster& cluster);
  std::uint32_t find(std::uint64_t hash, std::uint32_t attempt) const;
  std::size_t size() const { return slots_.size(); }
  const std::vector<std::uint32_t>& slots() const { return slots_; }

 private:
  std::vector<std::uint32_t> slots_;
};

}  // namespace mizzen::proxy::upstream
