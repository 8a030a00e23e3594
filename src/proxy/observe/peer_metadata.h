// The `x-envoy-peer-metadata` header: who calls, as Istio's HTTP metadata exchange says it.
#pragma once

#include <string>
#include <string_view>

#include "proxy/facts.h"

namespace mizzen::proxy {

// The workload in a header's value (base64 of google.protobuf.Struct with node metadata keys); null
// when it does not parse or is larger than 16 KiB.
PeerRef parse_peer_metadata(std::string_view base64);

// The reverse, for SelfFacts::peer_metadata; `name` is the pod's.
std::string make_peer_metadata(const PeerWorkload& workload, std::string_view name);

}  // namespace mizzen::proxy
