// A snapshot with the look-ups that accepting needs, made once on the main thread and shared.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/address.h"
#include "proxy/config/snapshot.h"
#include "proxy/facts.h"

namespace mizzen::proxy {

struct ListenerIndex {
  ByName<std::shared_ptr<const Listener>> by_name;
  std::unordered_map<io::Address, std::shared_ptr<const Listener>> by_address;
};

struct LiveConfig {
  SnapshotRef snapshot;
  std::shared_ptr<const ListenerIndex> index;

  std::shared_ptr<const Listener> listener(std::string_view name) const;
  // Where a captured connection goes: the listener of exactly this address, else of any address
  // on this port, else null.
  std::shared_ptr<const Listener> hand_off(const io::Address& destination) const;
  // Whether there is one of exactly this address.
  bool listens_at(const io::Address& destination) const {
    return index->by_address.contains(destination);
  }
};
using LiveConfigRef = std::shared_ptr<const LiveConfig>;

// Keeps the index of `before` (may be null) when no listener changed.
LiveConfigRef make_live_config(SnapshotRef snapshot, const LiveConfigRef& before = nullptr);

// An address of the configuration as a socket address; nothing for a host name.
io::Address to_io(const SocketAddr& address);

// The chain for this connection in `listener`, or null.
const FilterChain* chain_for(const Listener& listener, const ConnectionInfo& info);

}  // namespace mizzen::proxy
