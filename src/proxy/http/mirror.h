// Copies of requests for other clusters (request_mirror_policies): sent once the request is whole,
// answers dropped.
#pragma once

#include <string_view>

#include "proxy/worker.h"

namespace mizzen::proxy {

// Sends `head` and `body` to every mirror of `route` whose fraction draws. The route belongs to
// `snapshot`, which the copies keep.
void send_mirrors(Worker& worker, const SnapshotRef& snapshot, const route::Route& route,
                  const http::RequestHead& head, std::string_view body,
                  const ConnectionInfo& connection);

}  // namespace mizzen::proxy
