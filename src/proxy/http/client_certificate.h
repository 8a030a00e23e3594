// x-forwarded-client-cert, by which a server learns who its client proved to be.
#pragma once

#include "proxy/facts.h"

namespace mizzen::proxy {

// Sets, extends or removes the header by forward_client_cert_details and
// set_current_client_cert_details (envoy.extensions.filters.network.http_connection_manager.v3).
// Any thread; remembers what it wrote last there.
void forward_client_certificate(http::Headers& headers, const HttpSettings& settings,
                                const ConnectionInfo& connection);

}  // namespace mizzen::proxy
