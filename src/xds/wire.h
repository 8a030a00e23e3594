// Between the protobufs of the protocol and this folder's plain structs; internal to it. The
// messages that come and go for every change are read and written by hand, in the format of
// https://protobuf.dev/programming-guides/encoding.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "xds/resource.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace mizzen::xds {

constexpr std::size_t kMaxResponseBytes = 256U << 20;
constexpr int kInvalidArgument = 3;  // google.rpc.Code

NodeInfo node_info(const envoy::config::core::v3::Node& node);

// How many bytes a field of `content` bytes takes, number (below 16) and length included.
std::size_t field_size(std::size_t content);
void put_field_head(int number, std::size_t content, std::string* to);
void put_field(int number, std::string_view content, std::string* to);

// A DeltaDiscoveryRequest that says which response was accepted, and nothing else.
struct PlainAnswer {
  std::string_view type_url;
  std::string_view nonce;
};
std::string write_answer(const PlainAnswer& answer);
// Nothing for a request that says more, or that is broken. Shows parts of `message`.
std::optional<PlainAnswer> read_answer(std::string_view message);

}  // namespace mizzen::xds
