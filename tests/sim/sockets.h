// The same rows over real sockets: the proxy's data plane between a client and backends that say
// which cluster they are.
#pragma once

#include <memory>
#include <optional>

#include "mesh.h"
#include "outcome.h"

namespace mizzen::sim {

// Whether the listener tells connections apart by their destination, which loopback does not have.
bool looks_at_destination(const proxy::Listener& listener);
// The PROXY header of a connection to `destination`, for those listeners.
std::string proxy_header(const io::Address& destination);

class Sockets {
 public:
  Sockets();
  ~Sockets();

  // Makes the data plane serve the case's configuration, with its listeners on free ports of
  // loopback and backends in the place of all endpoints. An error says what could not be bound.
  Status serve(const Mesh& mesh);

  // Sends the row's request or opens its connection. Nothing: a request whose listener tells
  // connections apart by an address that loopback does not have; a connection says it ahead of its
  // bytes, by the PROXY protocol.
  std::optional<Outcome> send(const Mesh& mesh, const Row& row, const Ask& ask);

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace mizzen::sim
