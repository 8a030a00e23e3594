// One upstream address as a worker sees it: its load, its health as seen from here, its pools.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "io/address.h"
#include "proxy/config.h"

namespace mizzen::proxy::upstream {

class ClusterState;
class Pool;

enum class Speaks : std::uint8_t { kUnknown, kMizzen, kOther };

struct Host {
  Host(ClusterState& its_cluster, io::Address its_address);
  ~Host();
  bool usable() const;
  bool wanted() const;  // the endpoints have it still, or nobody lists hosts (kOriginalDst)

  ClusterState& cluster;
  const io::Address address;
  std::shared_ptr<const UpstreamTls> tls;  // null: plaintext
  Health health = Health::kUnknown;
  Speaks speaks = Speaks::kUnknown;  // after the first handshake of mesh TLS
  std::uint32_t active = 0;          // requests and TCP connections
  bool listed = false;               // the endpoints have it still
  std::vector<std::unique_ptr<Pool>> pools;

  // Outlier detection.
  std::uint32_t consecutive_5xx = 0;
  std::uint32_t consecutive_gateway = 0;
  std::uint32_t consecutive_local = 0;
  std::uint32_t ejections = 0;
  bool ejected = false;
  MonoTime ejected_until{};
};

}  // namespace mizzen::proxy::upstream
