// What the walker knows about a message type, computed once per descriptor. Internal to object.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mizzen::object {

// Messages whose JSON is not an object with their fields.
enum class Special : std::uint8_t {
  kNone,
  kStruct,
  kValue,
  kListValue,
  kDuration,     // google.protobuf.Duration, Go's text
  kTimestamp,    // google.protobuf.Timestamp
  kGoDuration,   // meta.Duration
  kMicroTime,    // meta.MicroTime
  kIntOrString,  // meta.IntOrString
  kQuantity,     // meta.Quantity
  kRaw,          // meta.Raw
  kList,         // a message whose JSON is its only list
};

struct NamedField {
  const google::protobuf::FieldDescriptor* field = nullptr;
  // Inlined messages to step through first, outermost first.
  std::vector<const google::protobuf::FieldDescriptor*> through;
};

struct TypeInfo {
  Special special = Special::kNone;
  bool type_meta = false;                                 // takes apiVersion and kind
  std::map<std::string, NamedField, std::less<>> fields;  // by JSON name and by proto name
  std::vector<std::string> names;                         // JSON names only, in order
  std::vector<const google::protobuf::FieldDescriptor*> required;
};

// Any thread; the reference stays valid.
const TypeInfo& type_info(const google::protobuf::Descriptor& type);

bool is_inlined(const google::protobuf::FieldDescriptor& field);
bool is_required(const google::protobuf::FieldDescriptor& field);

}  // namespace mizzen::object
