#include "api/struct_json.h"

#include <google/protobuf/struct.pb.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace mizzen::api {

using nlohmann::json;

namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: integers up to here are exact

json number(double value) {
  if (std::trunc(value) != value || std::abs(value) > kExact) return value;
  return static_cast<std::int64_t>(value);
}

}  // namespace

json struct_to_json(const google::protobuf::Struct& from) {
  json made = json::object();
  for (const auto& [key, value] : from.fields()) made[key] = value_to_json(value);
  return made;
}

json value_to_json(const google::protobuf::Value& from) {
  switch (from.kind_case()) {
    case google::protobuf::Value::kNumberValue:
      return number(from.number_value());
    case google::protobuf::Value::kStringValue:
      return from.string_value();
    case google::protobuf::Value::kBoolValue:
      return from.bool_value();
    case google::protobuf::Value::kStructValue:
      return struct_to_json(from.struct_value());
    case google::protobuf::Value::kListValue: {
      json list = json::array();
      for (const auto& item : from.list_value().values()) list.push_back(value_to_json(item));
      return list;
    }
    default:
      return nullptr;
  }
}

}  // namespace mizzen::api
