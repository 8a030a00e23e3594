// The streaming subresources: log, exec, attach, portforward and proxy.
#pragma once

#include <memory>

#include "io/loop.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/pod_access.h"
#include "net/http_server.h"

namespace mizzen::local {

// Whether `target` is one of them.
bool is_stream(const Target& target);

// Serves `exchange`, which is kept until the stream is over. `pods` null: answered 503.
void serve_stream(io::Loop& loop, Store& store, PodAccess* pods, const Target& target,
                  std::shared_ptr<net::Exchange> exchange);

// Gives `response` to the exchange, with its warnings as headers.
void respond(net::Exchange& exchange, const ApiResponse& response);

}  // namespace mizzen::local
