// From a kubeconfig to an HTTP client: address, trust, client certificate. Said once for the API
// client and for conversations that it does not cover (exec).
#pragma once

#include "kube/config.h"
#include "net/http_client.h"

namespace mizzen::kube {

// Errors: a server that is no URL, a certificate or key that does not load. Any thread.
Result<net::HttpClientOptions> http_options(const Config& config);

}  // namespace mizzen::kube
