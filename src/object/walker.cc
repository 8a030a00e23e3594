#include "object/walker.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <cmath>
#include <limits>
#include <memory>

#include "base/strings.h"
#include "object/meta.h"
#include "object/walker_types.h"

namespace mizzen::object {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Problem = FieldError::Problem;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string_view type_word(const Json& value) {
  if (value.is_string()) return "text";
  if (value.is_boolean()) return "true or false";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list";
  return value.is_object() ? "an object" : "null";
}

void fill_value(const Json& json, google::protobuf::Value* out) {
  switch (json.type()) {
    case Json::value_t::boolean:
      out->set_bool_value(json.get<bool>());
      break;
    case Json::value_t::string:
      out->set_string_value(json.get<std::string>());
      break;
    case Json::value_t::array:
      out->mutable_list_value();
      for (const Json& item : json) fill_value(item, out->mutable_list_value()->add_values());
      break;
    case Json::value_t::object:
      out->mutable_struct_value();
      for (const auto& [key, item] : json.items()) {
        fill_value(item, &(*out->mutable_struct_value()->mutable_fields())[key]);
      }
      break;
    default:
      if (json.is_number()) {
        out->set_number_value(json.get<double>());
      } else {
        out->set_null_value(google::protobuf::NULL_VALUE);
      }
  }
}

int depth_of(const Json& json, int limit) {
  if (!json.is_structured() || limit <= 0) return 0;
  int deepest = 0;
  for (const Json& item : json) deepest = std::max(deepest, depth_of(item, limit - 1));
  return deepest + 1;
}

class Decoder {
 public:
  explicit Decoder(const DecodeOptions& options) : options_(options) {}

  std::vector<FieldError> take() { return std::move(errors_); }

  void message(const Json& json, Message* out, const std::string& path, int depth) {
    const Descriptor& type = *out->GetDescriptor();
    const TypeInfo& info = type_info(type);
    if (depth > options_.max_depth) {
      add(path, Problem::kLimit, fmt::format("nested deeper than {} levels", options_.max_depth));
      return;
    }
    if (info.special != Special::kNone) return special(json, info.special, out, path, depth);
    if (!json.is_object()) {
      return wrong_type(path, json, "an object with fields");
    }
    for (const auto& [key, value] : json.items()) {
      if (errors_.size() >= options_.max_errors) return;
      auto it = info.fields.find(key);
      if (it == info.fields.end()) {
        unknown(key, value, info, path);
        continue;
      }
      if (value.is_null()) continue;
      Message* holder = out;
      for (const FieldDescriptor* step : it->second.through) {
        holder = holder->GetReflection()->MutableMessage(holder, step);
      }
      field(value, *it->second.field, holder, path.empty() ? key : path + "." + key, depth);
    }
    for (const FieldDescriptor* needed : info.required) {
      const Json* value = find(json, {needed->json_name()});
      if (!value) value = find(json, {needed->name()});
      if (!value || value->is_null()) {
        add(path.empty() ? needed->json_name() : path + "." + needed->json_name(),
            Problem::kRequired, "required, but missing");
      }
    }
  }

 private:
  void add(std::string path, Problem problem, std::string text) {
    if (errors_.size() < options_.max_errors) {
      errors_.push_back({std::move(path), std::move(text), problem});
    }
  }
  void wrong_type(const std::string& path, const Json& value, std::string_view wanted) {
    std::string hint;
    if (value.is_string() && wanted.find("number") != wanted.npos &&
        parse_int<std::int64_t>(value.get_ref<const std::string&>())) {
      hint = ": write it without quotes";
    } else if (wanted == "text" && (value.is_number() || value.is_boolean())) {
      hint = fmt::format(": write \"{}\" in quotes", shown(value));
    } else if (wanted == "a list" && !value.is_array()) {
      hint = ": put `- ` before it";
    }
    add(path, Problem::kType,
        fmt::format("must be {}, but is {} ({}){}", wanted, type_word(value), shown(value), hint));
  }
  void unknown(const std::string& key, const Json& value, const TypeInfo& info,
               const std::string& path) {
    if (info.type_meta && (key == "apiVersion" || key == "kind") && value.is_string()) return;
    std::string full = path.empty() ? key : path + "." + key;
    std::string guess = nearest(key, info.names);
    add(std::move(full), Problem::kUnknown,
        guess.empty() ? "unknown field"
                      : fmt::format("unknown field; did you mean \"{}\"?", guess));
  }

  void field(const Json& value, const FieldDescriptor& field, Message* out, const std::string& path,
             int depth) {
    const Reflection& reflection = *out->GetReflection();
    if (field.is_map()) return map(value, field, out, path, depth);
    if (field.is_repeated()) {
      if (!value.is_array()) return wrong_type(path, value, "a list");
      for (std::size_t i = 0; i < value.size(); ++i) {
        std::string item_path = fmt::format("{}[{}]", path, i);
        if (value[i].is_null()) {
          add(item_path, Problem::kType, "an empty list item: give it a value or remove it");
        } else if (field.message_type()) {
          message(value[i], reflection.AddMessage(out, &field), item_path, depth + 1);
        } else {
          scalar(value[i], field, out, item_path);
        }
      }
      return;
    }
    if (const auto* oneof = field.real_containing_oneof();
        oneof && reflection.HasOneof(*out, oneof)) {
      const FieldDescriptor* other = reflection.GetOneofFieldDescriptor(*out, oneof);
      return add(
          path, Problem::kConflict,
          fmt::format("cannot stand together with \"{}\": keep one of them", other->json_name()));
    }
    if (field.message_type()) {
      message(value, reflection.MutableMessage(out, &field), path, depth + 1);
    } else {
      scalar(value, field, out, path);
    }
  }

  void map(const Json& value, const FieldDescriptor& field, Message* out, const std::string& path,
           int depth) {
    if (!value.is_object()) return wrong_type(path, value, "an object of keys and values");
    const Reflection& reflection = *out->GetReflection();
    const FieldDescriptor* key_field = field.message_type()->map_key();
    const FieldDescriptor* value_field = field.message_type()->map_value();
    for (const auto& [key, item] : value.items()) {
      std::string item_path = fmt::format("{}[{}]", path, key);
      if (item.is_null()) continue;
      Message* entry = reflection.AddMessage(out, &field);
      Json key_json = key;
      if (key_field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
        auto number = parse_int<std::int64_t>(key);
        if (!number) {
          reflection.RemoveLast(out, &field);
          add(item_path, Problem::kType, fmt::format("the key \"{}\" must be a number", key));
          continue;
        }
        key_json = *number;
      }
      scalar(key_json, *key_field, entry, item_path);
      if (value_field->message_type()) {
        message(item, entry->GetReflection()->MutableMessage(entry, value_field), item_path,
                depth + 1);
      } else {
        scalar(item, *value_field, entry, item_path);
      }
    }
  }

  // The integer in `value`, when it is one within the bounds of T.
  template <class T>
  bool integer(const Json& value, const std::string& path, T* out) {
    constexpr bool kSigned = std::numeric_limits<T>::is_signed;
    auto range = [&] {
      add(path, Problem::kValue,
          fmt::format("{} is out of range: must lie between {} and {}", shown(value),
                      std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
      return false;
    };
    if (value.is_number_unsigned()) {
      auto number = value.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return range();
      *out = static_cast<T>(number);
      return true;
    }
    std::int64_t number = 0;
    if (value.is_number_integer()) {
      number = value.get<std::int64_t>();
    } else if (value.is_number_float() && std::abs(value.get<double>()) < 9e15 &&
               std::trunc(value.get<double>()) == value.get<double>()) {
      number = static_cast<std::int64_t>(value.get<double>());
    } else {
      wrong_type(path, value, "a whole number");
      return false;
    }
    if (number < 0 && !kSigned) return range();
    if (number < static_cast<std::int64_t>(std::numeric_limits<T>::min()) ||
        (number > 0 && static_cast<std::uint64_t>(number) >
                           static_cast<std::uint64_t>(std::numeric_limits<T>::max()))) {
      return range();
    }
    *out = static_cast<T>(number);
    return true;
  }

  void scalar(const Json& value, const FieldDescriptor& field, Message* out,
              const std::string& path) {
    const Reflection& r = *out->GetReflection();
    auto put = [&](auto set, auto add_one, auto item) {
      field.is_repeated() ? (r.*add_one)(out, &field, item) : (r.*set)(out, &field, item);
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        if (std::int32_t v = 0; integer(value, path, &v))
          put(&Reflection::SetInt32, &Reflection::AddInt32, v);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        if (std::int64_t v = 0; integer(value, path, &v))
          put(&Reflection::SetInt64, &Reflection::AddInt64, v);
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        if (std::uint32_t v = 0; integer(value, path, &v))
          put(&Reflection::SetUInt32, &Reflection::AddUInt32, v);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        if (std::uint64_t v = 0; integer(value, path, &v))
          put(&Reflection::SetUInt64, &Reflection::AddUInt64, v);
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (!value.is_number()) return wrong_type(path, value, "a number");
        put(&Reflection::SetDouble, &Reflection::AddDouble, value.get<double>());
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        if (!value.is_number()) return wrong_type(path, value, "a number");
        put(&Reflection::SetFloat, &Reflection::AddFloat, value.get<float>());
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!value.is_boolean()) return wrong_type(path, value, "true or false");
        put(&Reflection::SetBool, &Reflection::AddBool, value.get<bool>());
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        enumeration(value, field, out, path);
        break;
      default:
        text(value, field, out, path);
    }
  }
  void text(const Json& value, const FieldDescriptor& field, Message* out,
            const std::string& path) {
    if (!value.is_string()) return wrong_type(path, value, "text");
    std::string content = value.get<std::string>();
    if (field.type() == FieldDescriptor::TYPE_BYTES) {
      auto bytes = base64_decode(content);
      if (!bytes) return add(path, Problem::kType, "must be base64, but does not decode");
      content = std::move(*bytes);
    }
    const Reflection& r = *out->GetReflection();
    field.is_repeated() ? r.AddString(out, &field, std::move(content))
                        : r.SetString(out, &field, std::move(content));
  }
  void enumeration(const Json& value, const FieldDescriptor& field, Message* out,
                   const std::string& path) {
    const auto& type = *field.enum_type();
    const google::protobuf::EnumValueDescriptor* found = nullptr;
    if (value.is_string()) found = type.FindValueByName(value.get_ref<const std::string&>());
    if (!found) {
      std::vector<std::string> names;
      for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
      std::string guess =
          value.is_string() ? nearest(value.get_ref<const std::string&>(), names) : "";
      return add(path, Problem::kType,
                 fmt::format("{} is not one of {}{}", shown(value), join(names, ", "),
                             guess.empty() ? "" : fmt::format("; did you mean {}?", guess)));
    }
    const Reflection& r = *out->GetReflection();
    field.is_repeated() ? r.AddEnum(out, &field, found) : r.SetEnum(out, &field, found);
  }

  void special(const Json& json, Special kind, Message* out, const std::string& path, int depth) {
    switch (kind) {
      case Special::kStruct:
      case Special::kValue:
      case Special::kListValue:
        return free_form(json, kind, out, path, depth);
      case Special::kDuration:
      case Special::kGoDuration:
        return duration(json, kind, out, path);
      case Special::kTimestamp:
      case Special::kMicroTime:
        return time(json, out, path);
      case Special::kIntOrString:
        return int_or_string(json, out, path);
      case Special::kQuantity:
        return quantity(json, out, path);
      case Special::kRaw:
        out->GetReflection()->SetString(out, out->GetDescriptor()->field(0), json.dump());
        return;
      default:
        return field(json, *out->GetDescriptor()->field(0), out, path, depth);
    }
  }
  void free_form(const Json& json, Special kind, Message* out, const std::string& path, int depth) {
    if (depth_of(json, options_.max_depth) + depth > options_.max_depth) {
      return add(path, Problem::kLimit,
                 fmt::format("nested deeper than {} levels", options_.max_depth));
    }
    if (kind == Special::kStruct && !json.is_object()) return wrong_type(path, json, "an object");
    if (kind == Special::kListValue && !json.is_array()) return wrong_type(path, json, "a list");
    google::protobuf::Value value;
    fill_value(json, &value);
    const Message* source = &value;
    if (kind == Special::kStruct) source = &value.struct_value();
    if (kind == Special::kListValue) source = &value.list_value();
    if (source->GetDescriptor() == out->GetDescriptor()) {
      out->CopyFrom(*source);
    } else {
      out->ParseFromString(source->SerializeAsString());
    }
  }
  void duration(const Json& json, Special kind, Message* out, const std::string& path) {
    std::int64_t nanos = 0;
    if (!json.is_string()) {
      return add(
          path, Problem::kType,
          fmt::format(
              "must be a duration such as \"5s\" or \"200ms\", but is {}{}", shown(json),
              json.is_number() ? fmt::format(": write \"{}s\" for seconds", shown(json)) : ""));
    }
    if (!parse_go_duration(json.get_ref<const std::string&>(), &nanos)) {
      return add(
          path, Problem::kType,
          fmt::format("{} is not a duration: write a number with a unit h, m, s, ms, us or ns, "
                      "such as \"5s\", \"200ms\" or \"1h30m\"",
                      shown(json)));
    }
    const Reflection& r = *out->GetReflection();
    const Descriptor& type = *out->GetDescriptor();
    if (kind == Special::kGoDuration) return r.SetInt64(out, type.field(0), nanos);
    r.SetInt64(out, type.field(0), nanos / 1'000'000'000);
    r.SetInt32(out, type.field(1), static_cast<std::int32_t>(nanos % 1'000'000'000));
  }
  void time(const Json& json, Message* out, const std::string& path) {
    auto parsed = json.is_string() ? parse_time(json.get_ref<const std::string&>()) : std::nullopt;
    if (!parsed) {
      return add(
          path, Problem::kType,
          fmt::format("{} is not a time: write it as \"2026-01-31T12:00:00Z\"", shown(json)));
    }
    std::int64_t nanos = parsed->time_since_epoch().count();
    std::int64_t seconds = nanos / 1'000'000'000 - (nanos % 1'000'000'000 < 0 ? 1 : 0);
    const Reflection& r = *out->GetReflection();
    r.SetInt64(out, out->GetDescriptor()->field(0), seconds);
    r.SetInt32(out, out->GetDescriptor()->field(1),
               static_cast<std::int32_t>(nanos - seconds * 1'000'000'000));
  }
  void int_or_string(const Json& json, Message* out, const std::string& path) {
    const Reflection& r = *out->GetReflection();
    const Descriptor& type = *out->GetDescriptor();
    if (json.is_string()) {
      r.SetInt64(out, type.field(0), 1);
      return r.SetString(out, type.field(2), json.get<std::string>());
    }
    if (!json.is_number()) return wrong_type(path, json, "a number or a name");
    if (std::int32_t v = 0; integer(json, path, &v)) r.SetInt32(out, type.field(1), v);
  }
  void quantity(const Json& json, Message* out, const std::string& path) {
    std::string content = json.is_string() ? json.get<std::string>() : shown(json);
    std::int64_t thousandths = 0;
    if ((!json.is_string() && !json.is_number()) || !parse_quantity(content, &thousandths)) {
      return add(
          path, Problem::kType,
          fmt::format("{} is not a quantity: write a number such as \"100m\", 2 or \"128Mi\"",
                      shown(json)));
    }
    out->GetReflection()->SetString(out, out->GetDescriptor()->field(0), std::move(content));
  }

  const DecodeOptions& options_;
  std::vector<FieldError> errors_;
};

}  // namespace

std::vector<FieldError> decode(const Json& json, Message* message, const DecodeOptions& options) {
  message->Clear();
  Decoder decoder(options);
  decoder.message(json, message, std::string(options.root), 0);
  return decoder.take();
}

std::vector<FieldError> check(const Json& json, const Descriptor& type,
                              const DecodeOptions& options) {
  google::protobuf::DynamicMessageFactory factory;
  if (const Message* known =
          google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)) {
    std::unique_ptr<Message> message(known->New());
    return decode(json, message.get(), options);
  }
  std::unique_ptr<Message> message(factory.GetPrototype(&type)->New());
  return decode(json, message.get(), options);
}

}  // namespace mizzen::object
