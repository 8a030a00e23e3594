// Between the protobufs of the protocol and this folder's plain structs; internal to it.
#pragma once

#include "xds/resource.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace mizzen::xds {

NodeInfo node_info(const envoy::config::core::v3::Node& node);

}  // namespace mizzen::xds
