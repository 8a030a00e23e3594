// Protobuf to JSON as Envoy's admin pages write it; internal to them.
#pragma once

#include <string>

#include "base/clock.h"

namespace google::protobuf {
class Message;
class Timestamp;
}  // namespace google::protobuf

namespace mizzen::proxy {

// Proto field names, indented, ending in a newline. `with_defaults`: fields that hold their default
// value are written too.
std::string admin_json(const google::protobuf::Message& message, bool with_defaults = false);
// Whether the message, and all that is in its Anys, can be written as JSON here.
bool has_json(const google::protobuf::Message& message);
void set_timestamp(WallTime time, google::protobuf::Timestamp* to);

}  // namespace mizzen::proxy
