// Requests to the API server that become WebSocket conversations: exec and port-forward.
#pragma once

#include <string>
#include <string_view>

#include "kube/config.h"
#include "net/http_client.h"

namespace mizzen::cli {

// `authorization` for a request, as the kubeconfig says; empty when a client certificate speaks.
net::HeaderList authorization(const kube::Config& config);

// GET `target` as a WebSocket handshake (RFC 6455) offering `protocols` ("a, b").
net::Request websocket_request(std::string target, std::string_view protocols,
                               const net::HeaderList& authorization);

}  // namespace mizzen::cli
