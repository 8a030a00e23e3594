// Between the protobufs of the protocol and this folder's plain structs; internal to it.
#pragma once

#include <cstddef>

#include "xds/resource.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace mizzen::xds {

constexpr std::size_t kMaxResponseBytes = 256U << 20;
constexpr int kInvalidArgument = 3;  // google.rpc.Code

NodeInfo node_info(const envoy::config::core::v3::Node& node);

}  // namespace mizzen::xds
