#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <cmath>

#include "base/clock.h"
#include "base/strings.h"
#include "object/walker.h"
#include "object/walker_types.h"

namespace mizzen::object {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Json number(double value) {
  if (std::trunc(value) == value && std::abs(value) < 9e15) return static_cast<std::int64_t>(value);
  return value;
}

Json from_value(const google::protobuf::Value& value) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue:
      return number(value.number_value());
    case google::protobuf::Value::kStringValue:
      return value.string_value();
    case google::protobuf::Value::kBoolValue:
      return value.bool_value();
    case google::protobuf::Value::kListValue: {
      Json list = Json::array();
      for (const auto& item : value.list_value().values()) list.push_back(from_value(item));
      return list;
    }
    case google::protobuf::Value::kStructValue: {
      Json object = Json::object();
      for (const auto& [key, item] : value.struct_value().fields()) object[key] = from_value(item);
      return object;
    }
    default:
      return nullptr;
  }
}

Json from_free_form(const Message& message, Special kind) {
  google::protobuf::Value value;
  Message* target = &value;
  if (kind == Special::kStruct) target = value.mutable_struct_value();
  if (kind == Special::kListValue) target = value.mutable_list_value();
  target->ParseFromString(message.SerializeAsString());
  return from_value(value);
}

// Null for the zero time: Kubernetes has no such moment, its absence is meant.
Json from_time(std::int64_t seconds, std::int32_t nanos, bool micros) {
  if (seconds == 0 && nanos == 0) return nullptr;
  WallTime time{std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos)};
  std::string text = rfc3339(time);
  if (micros) text.insert(text.size() - 1, fmt::format(".{:06}", nanos / 1000));
  return text;
}

Json from_special(const Message& message, Special kind) {
  const Reflection& r = *message.GetReflection();
  const Descriptor& type = *message.GetDescriptor();
  switch (kind) {
    case Special::kDuration:
      return go_duration(r.GetInt64(message, type.field(0)) * 1'000'000'000 +
                         r.GetInt32(message, type.field(1)));
    case Special::kGoDuration:
      return go_duration(r.GetInt64(message, type.field(0)));
    case Special::kTimestamp:
    case Special::kMicroTime:
      return from_time(r.GetInt64(message, type.field(0)), r.GetInt32(message, type.field(1)),
                       kind == Special::kMicroTime);
    case Special::kIntOrString:
      if (r.GetInt64(message, type.field(0)) == 1) return r.GetString(message, type.field(2));
      return r.GetInt32(message, type.field(1));
    case Special::kQuantity:
      return r.GetString(message, type.field(0));
    case Special::kRaw: {
      auto value = parse_json(r.GetString(message, type.field(0)));
      return value ? std::move(*value) : Json(nullptr);
    }
    default:
      return from_free_form(message, kind);
  }
}

Json scalar(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? r.GetRepeatedInt32(message, &field, index) : r.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? r.GetRepeatedInt64(message, &field, index) : r.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? r.GetRepeatedUInt32(message, &field, index) : r.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? r.GetRepeatedUInt64(message, &field, index) : r.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return number(many ? r.GetRepeatedDouble(message, &field, index)
                         : r.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return number(many ? r.GetRepeatedFloat(message, &field, index)
                         : r.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return many ? r.GetRepeatedBool(message, &field, index) : r.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return (many ? r.GetRepeatedEnum(message, &field, index) : r.GetEnum(message, &field))
          ->name();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return encode(many ? r.GetRepeatedMessage(message, &field, index)
                         : r.GetMessage(message, &field));
    default: {
      std::string text =
          many ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
      return field.type() == FieldDescriptor::TYPE_BYTES ? base64_encode(text) : text;
    }
  }
}

Json repeated(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  int size = r.FieldSize(message, &field);
  if (!field.is_map()) {
    Json list = Json::array();
    for (int i = 0; i < size; ++i) list.push_back(scalar(message, field, i));
    return list;
  }
  Json map = Json::object();
  for (int i = 0; i < size; ++i) {
    const Message& entry = r.GetRepeatedMessage(message, &field, i);
    Json key = scalar(entry, *field.message_type()->map_key(), 0);
    map[key.is_string() ? key.get<std::string>() : key.dump()] =
        scalar(entry, *field.message_type()->map_value(), 0);
  }
  return map;
}

}  // namespace

Json encode(const Message& message) {
  const TypeInfo& info = type_info(*message.GetDescriptor());
  if (info.special == Special::kList) return repeated(message, *message.GetDescriptor()->field(0));
  if (info.special != Special::kNone) return from_special(message, info.special);
  Json object = Json::object();
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    if (field->is_repeated()) {
      object[field->json_name()] = repeated(message, *field);
      continue;
    }
    Json value = scalar(message, *field, 0);
    if (is_inlined(*field) && value.is_object()) {
      object.update(value);
    } else if (!value.is_null() || field->message_type() == nullptr) {
      object[field->json_name()] = std::move(value);
    } else if (type_info(*field->message_type()).special == Special::kValue) {
      object[field->json_name()] = nullptr;
    }
  }
  return object;
}

}  // namespace mizzen::object
