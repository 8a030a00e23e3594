#include "proxy/upstream/host.h"

#include <algorithm>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/pool.h"

namespace mizzen::proxy::upstream {

namespace {

constexpr Duration kAskAgain = std::chrono::seconds(30);
constexpr Duration kAskAgainAtMost = std::chrono::hours(1);

}  // namespace

Host::Host(ClusterState& its_cluster, io::Address its_address)
    : cluster(its_cluster),
      address(std::move(its_address)),
      shared(its_cluster.shared_health().host(address)),
      since(its_cluster.context().loop.now()) {}

Host::~Host() = default;

bool Host::usable() const {
  return !shared->ejected() && health != Health::kUnhealthy && health != Health::kTimeout &&
         health != Health::kDraining;
}

bool Host::wanted() const {
  return listed || cluster.cluster().type == Cluster::Type::kOriginalDst;
}

void Host::learn(bool mizzen, MonoTime now) {
  speaks = mizzen ? Speaks::kMizzen : Speaks::kOther;
  ask_after = mizzen ? Duration{} : std::clamp(ask_after * 2, kAskAgain, kAskAgainAtMost);
  ask_again = now + ask_after;
}

void Host::forget_peer() {
  speaks = Speaks::kUnknown;
  ask_after = Duration{};
}

}  // namespace mizzen::proxy::upstream
