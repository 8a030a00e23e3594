// Which host a request goes to: priorities, localities, health, panic, and the policies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/address.h"
#include "proxy/config.h"

namespace mizzen::proxy::upstream {

struct Host;

// A host with its place in the endpoints.
struct Candidate {
  Host* host = nullptr;
  const Endpoint* endpoint = nullptr;
  std::uint32_t weight = 1;
  std::int64_t current = 0;  // of smooth weighted round robin
};

// The hosts of one cluster as its endpoints give them. One worker.
class HostSet {
 public:
  // A locality to be filled with add().
  void clear();
  void add_locality(const LocalityEndpoints& locality);
  void add(Candidate candidate);
  void set_overprovisioning(std::uint32_t percent) { overprovisioning_ = percent; }
  // Health or ejection of a host changed, or all hosts were added.
  void refresh(const Cluster& cluster);

  // Null when there is nobody to go to. `avoid` is obeyed while there are others.
  const Candidate* pick(const Cluster& cluster, std::optional<std::uint64_t> hash,
                        std::uint64_t random, std::span<const io::Address> avoid);
  bool empty() const;
  std::size_t size() const;
  std::size_t ejected() const;
  template <class Fn>
  void for_each(Fn fn) {
    for (Group& group : groups_) {
      for (Candidate& candidate : group.all) fn(candidate);
    }
  }

 private:
  struct Group {  // a locality; or a whole priority, when localities have no weight of their own
    std::uint32_t priority = 0;
    std::uint32_t weight = 0;
    std::vector<Candidate> all;
    std::vector<Candidate*> usable;
    std::uint64_t turn = 0;
    bool same_weights = true;
  };
  struct Level {
    std::uint32_t priority = 0;
    std::uint32_t load = 0;  // percent of the requests
    double weight = 0;       // of its groups together
  };

  Group* choose_group(const Cluster& cluster, std::uint64_t random);
  const Candidate* choose(const Cluster& cluster, Group& group, std::optional<std::uint64_t> hash,
                          std::uint64_t random);
  static double group_weight(const Cluster& cluster, const Group& group, double factor);

  std::vector<Group> groups_;
  std::vector<Level> levels_;
  std::uint32_t overprovisioning_ = 140;
};

}  // namespace mizzen::proxy::upstream
