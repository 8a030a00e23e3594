// TLS contexts (SSL_CTX) made from compiled settings and the snapshot's secrets, shared by all
// workers. A rotated secret gives a new context for new connections; old connections keep theirs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "io/tls.h"
#include "proxy/config/snapshot.h"

namespace mizzen::proxy {

// Any thread.
class TlsContexts {
 public:
  // For a filter chain. `http`: the private ALPN is offered ahead of the configured ones.
  // kUnavailable while a secret is missing.
  Result<io::TlsContextRef> server(const Snapshot& snapshot, const DownstreamTls& tls, bool http);
  // For an endpoint. ALPN is left to io::TlsClientTarget.
  Result<io::TlsContextRef> client(const Snapshot& snapshot, const UpstreamTls& tls);

 private:
  struct Made {
    io::TlsContextRef context;
    std::uint64_t certificate = 0;  // version hashes of the secrets it was made from
    std::uint64_t validation = 0;
    std::shared_ptr<io::ServerSessions> sessions;
  };
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Made> servers_;  // by settings; guarded by mutex_
  std::unordered_map<std::uint64_t, Made> clients_;  // by settings; guarded by mutex_
};

}  // namespace mizzen::proxy
