// JSON to protobuf's bytes by the tables of wire_table.h: no descriptor is built. The mapping is
// protobuf's own (protobuf.dev, "ProtoJSON Format").
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::api {

// The serialized message of type `message` (full name) that `json` says. Any thread. Errors:
// kInvalid, naming the path and what would be right there; kLimit beyond 64 levels.
Result<std::string> json_to_wire(const nlohmann::json& json, std::string_view message);

}  // namespace mizzen::api
