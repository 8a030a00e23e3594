// google.protobuf.Struct as JSON, without descriptors.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace google::protobuf {
class Struct;
class Value;
}  // namespace google::protobuf

namespace mizzen::api {

// Any thread. A number without a fraction becomes an integer. At most as deep as protobuf's parser
// lets a message be.
nlohmann::json struct_to_json(const google::protobuf::Struct& from);
nlohmann::json value_to_json(const google::protobuf::Value& from);

}  // namespace mizzen::api
