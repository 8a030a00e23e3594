// A TCP connection through the proxy: bytes both ways, half closes kept, statistics and access log.
#pragma once

#include <memory>
#include <string>

#include "proxy/session.h"

namespace mizzen::proxy {

// Takes a downstream stream whose TLS handshake is over; the session is the worker's from here on
// and lives until both sides are done. `cluster_override`: the cluster that the SNI names, or
// empty.
void start_tcp_proxy(Worker& worker, std::unique_ptr<io::Stream> downstream, ConnectionInfo info,
                     std::shared_ptr<const TcpSettings> settings, std::string cluster_override);

}  // namespace mizzen::proxy
