// One upstream address as a worker sees it: its load, its health as seen from here, its pools.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "io/address.h"
#include "proxy/config/snapshot.h"
#include "proxy/upstream/outlier.h"

namespace mizzen::proxy::upstream {

class ClusterState;
class Pool;

enum class Speaks : std::uint8_t { kUnknown, kMizzen, kOther };

struct Host {
  Host(ClusterState& its_cluster, io::Address its_address);
  ~Host();
  bool usable() const;
  bool wanted() const;  // the endpoints have it still, or nobody lists hosts (kOriginalDst)

  // What the peer of mesh TLS turned out to be. A foreign one may be replaced by one of us: it is
  // asked again, ever more rarely.
  void learn(bool mizzen, MonoTime now);
  void forget_peer();
  bool may_be_mizzen(MonoTime now) const { return speaks != Speaks::kOther || now >= ask_again; }

  ClusterState& cluster;
  const io::Address address;
  std::shared_ptr<const UpstreamTls> tls;  // null: plaintext
  const std::shared_ptr<HostHealth> shared;
  Health health = Health::kUnknown;
  Speaks speaks = Speaks::kUnknown;  // after the first handshake of mesh TLS
  std::uint16_t tunnel_port = 0;     // not 0: through HBONE
  bool listed = false;               // the endpoints have it still
  std::uint32_t active = 0;          // requests and TCP connections
  MonoTime since{};                  // slow start: when it came, or became healthy
  MonoTime ask_again{};
  Duration ask_after{};
  std::vector<std::unique_ptr<Pool>> pools;
};

}  // namespace mizzen::proxy::upstream
