// Which host a request goes to: priorities, localities, health, panic, slow start, and the
// policies, with Envoy's arithmetic (docs: "Load balancing", "Priority levels").
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "io/address.h"
#include "proxy/config/snapshot.h"
#include "proxy/upstream/hash_table.h"
#include "proxy/upstream/weighted_order.h"

namespace mizzen::proxy::upstream {

struct Host;

// A host with its place in the endpoints.
struct Candidate {
  Host* host = nullptr;
  const Endpoint* endpoint = nullptr;
  std::uint32_t weight = 1;
};

// What one choice depends on.
struct PickAsk {
  std::optional<std::uint64_t> hash;  // of the request, for ring hash and Maglev
  std::uint64_t random = 0;
  std::span<const io::Address> avoid{};  // hosts tried before; obeyed while there are others
  std::uint32_t tries = 5;               // of drawing another one than those
  // Not 0: after so many tries the priorities that they went to are left out (retry_priority).
  std::uint32_t leave_priority_after = 0;
  MonoTime now{};
};

// The hosts of one cluster as its endpoints give them. One worker.
class HostSet {
 public:
  void clear();
  // A locality to be filled with add().
  void add_locality(const LocalityEndpoints& locality);
  void add(Candidate candidate);
  void set_overprovisioning(std::uint32_t percent) { overprovisioning_ = percent; }
  // Health or ejection of a host changed, or all hosts were added.
  void refresh(const Cluster& cluster);

  // Null when there is nobody to go to.
  const Candidate* pick(const Cluster& cluster, const PickAsk& ask);
  bool empty() const;
  std::size_t size() const;
  template <class Fn>
  void for_each(Fn fn) const {
    for (const Group& group : groups_) {
      for (const Candidate& candidate : group.all) fn(candidate);
    }
  }

 private:
  enum Kind : std::uint8_t { kHealthy, kDegraded };
  // Hosts among which a policy chooses.
  struct Choices {
    std::vector<Candidate*> hosts;
    WeightedOrder order;  // when weights differ or hosts may be warming up
    std::uint64_t turn = 0;
    double share = 0;  // of what its level gets of this kind
    bool same_weights = true;
  };
  struct Group {  // a locality; or a whole priority, when localities have no weight of their own
    std::uint32_t priority = 0;
    std::uint32_t weight = 0;
    std::vector<Candidate> all;
    std::array<Choices, 2> of{};  // by Kind
  };
  struct Table {  // of consistent hashing, made when first needed
    std::vector<Candidate*> hosts;
    HashRing ring;
    MaglevTable maglev;
  };
  struct Level {  // a priority: groups_[begin, end)
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t hosts = 0;
    std::array<std::uint32_t, 2> available{};  // percent, by Kind
    std::array<std::uint32_t, 2> load{};       // percent of all requests, by Kind
    std::array<double, 2> shares{};            // sum over its groups
    std::array<std::unique_ptr<Table>, 2> tables{};
    bool panic = false;
  };
  struct Draw {
    Level* level = nullptr;
    Kind kind = kHealthy;
  };

  void measure();
  void share_out(const Cluster& cluster);
  void share_out_in_panic();
  void fill(const Cluster& cluster, Level& level);
  void fill_choices(const Cluster& cluster, Group& group, Kind kind, bool panic);
  Draw draw_level(const PickAsk& ask, std::uint64_t random);
  std::vector<bool> levels_left(const PickAsk& ask) const;
  Choices* choose_group(Draw draw, std::uint64_t random);
  const Candidate* choose(const Cluster& cluster, Choices& choices, const PickAsk& ask,
                          std::uint64_t random);
  const Candidate* by_hash(const Cluster& cluster, Draw draw, std::uint64_t hash,
                           std::uint32_t attempt);
  void make_table(const Cluster& cluster, Level& level, Kind kind);
  const Candidate* other_than(Draw draw, const PickAsk& ask) const;
  double warmth(const Cluster& cluster, const Candidate& candidate, MonoTime now) const;

  std::vector<Group> groups_;
  std::vector<Level> levels_;
  MonoTime warm_from_{};  // every host is warm then
  std::uint64_t seed_ = 0;
  std::uint32_t overprovisioning_ = 140;
};

}  // namespace mizzen::proxy::upstream
