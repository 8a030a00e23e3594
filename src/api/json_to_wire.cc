#include "api/json_to_wire.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "api/wire_table.h"
#include "base/strings.h"

namespace mizzen::api {
namespace {

using google::protobuf::internal::WireFormatLite;
using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr std::string_view kWellKnown = "google.protobuf.";
constexpr std::uint32_t kVarint = WireFormatLite::WIRETYPE_VARINT;
constexpr std::uint32_t kFixed64 = WireFormatLite::WIRETYPE_FIXED64;
constexpr std::uint32_t kFixed32 = WireFormatLite::WIRETYPE_FIXED32;
constexpr std::uint32_t kLength = WireFormatLite::WIRETYPE_LENGTH_DELIMITED;

// --- bytes ---

void put_varint(std::uint64_t value, std::string& out) {
  std::array<std::uint8_t, 10> bytes;
  const auto* end =
      google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(value, bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), end - bytes.data());
}

void put_tag(std::uint32_t number, std::uint32_t wire, std::string& out) {
  put_varint(number << 3 | wire, out);
}

void put_bytes(std::uint32_t number, std::string_view bytes, std::string& out) {
  put_tag(number, kLength, out);
  put_varint(bytes.size(), out);
  out += bytes;
}

template <class T>
void put_fixed(T value, std::string& out) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));  // little-endian, as is every machine we build for
  out.append(bytes.data(), bytes.size());
}

std::uint32_t wire_of(WireType type) {
  switch (type) {
    case WireType::kDouble:
    case WireType::kFixed64:
    case WireType::kSfixed64:
      return kFixed64;
    case WireType::kFloat:
    case WireType::kFixed32:
    case WireType::kSfixed32:
      return kFixed32;
    case WireType::kString:
    case WireType::kBytes:
    case WireType::kMessage:
    case WireType::kGroup:
      return kLength;
    default:
      return kVarint;
  }
}

// --- scalars ---

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

Error wrong(const json& value, std::string_view wanted) {
  return {.code = Code::kInvalid,
          .message = fmt::format("must be {}, but is {}", wanted, shown(value))};
}

Result<double> real(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  }
  return std::unexpected(wrong(value, "a number"));
}

// Whole numbers may be said as 5, 5.0 and "5".
template <class T>
Result<T> whole(const json& value) {
  const auto bad = [&] {
    return std::unexpected(
        wrong(value, fmt::format("a whole number between {} and {}", std::numeric_limits<T>::min(),
                                 std::numeric_limits<T>::max())));
  };
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return bad();
    return static_cast<T>(number);
  }
  if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (!std::in_range<T>(number)) return bad();
    return static_cast<T>(number);
  }
  if (value.is_string()) {
    const auto number = parse_int<T>(value.get_ref<const std::string&>());
    if (!number) return bad();
    return *number;
  }
  if (!value.is_number_float()) return bad();
  const auto number = value.get<double>();
  if (std::trunc(number) != number || std::abs(number) > 9e15 ||
      !std::in_range<T>(static_cast<std::int64_t>(number))) {
    return bad();
  }
  return static_cast<T>(number);
}

Result<bool> truth(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value == "true") return true;
  if (value == "false") return false;
  return std::unexpected(wrong(value, "true or false"));
}

Result<std::int32_t> enumerated(const json& value, const WireField& field) {
  if (value.is_number_integer()) return whole<std::int32_t>(value);
  std::vector<std::string_view> names;
  for (const WireEnumValue& one : values_of(field)) {
    names.push_back(wire_text(one.name));
    if (value == names.back()) return one.number;
  }
  return std::unexpected(wrong(value, fmt::format("one of {}", fmt::join(names, ", "))));
}

// The web's alphabet counts as well, and padding need not be there.
Result<std::string> bytes_of(const json& value) {
  if (!value.is_string()) return std::unexpected(wrong(value, "text in base64"));
  std::string text = value;
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  while (text.size() % 4 != 0) text += '=';
  auto bytes = base64_decode(text);
  if (!bytes) return std::unexpected(wrong(value, "text in base64"));
  return std::move(*bytes);
}

template <class T, class Encode>
Status put_whole(const json& value, Encode encode, std::string& out) {
  MIZZEN_TRY(const T number, whole<T>(value));
  put_varint(encode(number), out);
  return {};
}

template <class T>
Status put_fixed_whole(const json& value, std::string& out) {
  MIZZEN_TRY(const T number, whole<T>(value));
  put_fixed(number, out);
  return {};
}

// The value alone, without its tag.
Status put_scalar(const json& value, const WireField& field, std::string& out) {
  const auto widened = [](auto number) { return static_cast<std::uint64_t>(number); };
  switch (type_of(field)) {
    case WireType::kDouble: {
      MIZZEN_TRY(const double number, real(value));
      put_fixed(number, out);
      return {};
    }
    case WireType::kFloat: {
      MIZZEN_TRY(const double number, real(value));
      put_fixed(static_cast<float>(number), out);
      return {};
    }
    case WireType::kInt64:
      return put_whole<std::int64_t>(value, widened, out);
    case WireType::kUint64:
      return put_whole<std::uint64_t>(value, widened, out);
    case WireType::kInt32:
      return put_whole<std::int32_t>(value, widened, out);
    case WireType::kUint32:
      return put_whole<std::uint32_t>(value, widened, out);
    case WireType::kSint32:
      return put_whole<std::int32_t>(value, WireFormatLite::ZigZagEncode32, out);
    case WireType::kSint64:
      return put_whole<std::int64_t>(value, WireFormatLite::ZigZagEncode64, out);
    case WireType::kFixed64:
      return put_fixed_whole<std::uint64_t>(value, out);
    case WireType::kSfixed64:
      return put_fixed_whole<std::int64_t>(value, out);
    case WireType::kFixed32:
      return put_fixed_whole<std::uint32_t>(value, out);
    case WireType::kSfixed32:
      return put_fixed_whole<std::int32_t>(value, out);
    case WireType::kBool: {
      MIZZEN_TRY(const bool flag, truth(value));
      put_varint(flag ? 1 : 0, out);
      return {};
    }
    case WireType::kEnum: {
      MIZZEN_TRY(const auto number, enumerated(value, field));
      put_varint(static_cast<std::uint64_t>(number), out);
      return {};
    }
    case WireType::kBytes: {
      MIZZEN_TRY(const std::string bytes, bytes_of(value));
      put_varint(bytes.size(), out);
      out += bytes;
      return {};
    }
    default: {
      if (!value.is_string()) return std::unexpected(wrong(value, "text"));
      const auto& text = value.get_ref<const std::string&>();
      put_varint(text.size(), out);
      out += text;
      return {};
    }
  }
}

// --- messages ---

Result<std::string> encode(const json& value, const WireMessage& type, int depth);

// "1.5s": seconds, as protobuf writes durations (google/protobuf/duration.proto).
Result<std::string> duration(const json& value) {
  const auto bad = [&] { return std::unexpected(wrong(value, "a duration such as \"1.5s\"")); };
  if (!value.is_string()) return bad();
  std::string_view text = value.get_ref<const std::string&>();
  if (!text.ends_with('s')) return bad();
  text.remove_suffix(1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::string_view fraction =
      text.find('.') == text.npos ? "" : text.substr(text.find('.') + 1);
  const auto seconds = parse_int<std::int64_t>(text.substr(0, text.find('.')));
  const bool digits = fraction.find_first_not_of("0123456789") == fraction.npos;
  if (!seconds || *seconds < 0 || *seconds > 315'576'000'000 || fraction.size() > 9 || !digits) {
    return bad();
  }
  std::int64_t nanos = fraction.empty() ? 0 : *parse_int<std::int64_t>(fraction);
  for (std::size_t i = fraction.size(); i < 9 && nanos != 0; ++i) nanos *= 10;
  std::string out;
  const auto put = [&](std::uint32_t number, std::int64_t what) {
    if (what == 0) return;
    put_tag(number, kVarint, out);
    put_varint(static_cast<std::uint64_t>(negative ? -what : what), out);
  };
  put(1, *seconds);
  put(2, nanos);
  return out;
}

Result<std::string> value_of(const json& value, int depth);

// google.protobuf.Struct: its map's entries are key 1 and value 2.
Result<std::string> struct_of(const json& value, int depth) {
  if (!value.is_object()) return std::unexpected(wrong(value, "an object"));
  std::string out;
  for (const auto& [key, item] : value.items()) {
    std::string entry;
    put_bytes(1, key, entry);
    auto inner = value_of(item, depth + 1);
    if (!inner) return std::unexpected(inner.error().in(key));
    put_bytes(2, *inner, entry);
    put_bytes(1, entry, out);
  }
  return out;
}

Result<std::string> list_of(const json& value, int depth) {
  if (!value.is_array()) return std::unexpected(wrong(value, "a list"));
  std::string out;
  for (const json& item : value) {
    MIZZEN_TRY(const std::string inner, value_of(item, depth + 1));
    put_bytes(1, inner, out);
  }
  return out;
}

// google.protobuf.Value: one of null 1, number 2, text 3, truth 4, struct 5, list 6.
Result<std::string> value_of(const json& value, int depth) {
  if (depth > kMaxDepth) return fail(Code::kLimit, "nested too deep");
  std::string out;
  if (value.is_object()) {
    MIZZEN_TRY(const std::string inner, struct_of(value, depth));
    put_bytes(5, inner, out);
  } else if (value.is_array()) {
    MIZZEN_TRY(const std::string inner, list_of(value, depth));
    put_bytes(6, inner, out);
  } else if (value.is_string()) {
    put_bytes(3, value.get_ref<const std::string&>(), out);
  } else if (value.is_boolean()) {
    put_tag(4, kVarint, out);
    put_varint(value.get<bool>() ? 1 : 0, out);
  } else if (value.is_number()) {
    put_tag(2, kFixed64, out);
    put_fixed(value.get<double>(), out);
  } else {
    put_tag(1, kVarint, out);
    put_varint(0, out);
  }
  return out;
}

bool stands_for_itself(std::string_view name);

// google.protobuf.Any: type URL 1, bytes 2. A type whose JSON is no object of its fields stands in
// `value`.
Result<std::string> any_of(const json& value, int depth) {
  if (!value.is_object()) return std::unexpected(wrong(value, "an object"));
  if (value.empty()) return std::string();
  const auto url = value.find("@type");
  if (url == value.end() || !url->is_string()) {
    return fail(Code::kInvalid, "@type is missing: write what follows, by its type URL");
  }
  const std::string& name = url->get_ref<const std::string&>();
  const WireMessage* type = find_message(name);
  if (type == nullptr) return fail(Code::kInvalid, "@type: " + name + " is not known here");
  std::string out;
  put_bytes(1, name, out);
  std::string inner;
  if (stands_for_itself(wire_text(type->name))) {
    if (!value.contains("value")) return fail(Code::kInvalid, "value is missing beside @type");
    MIZZEN_TRY(inner, encode(value["value"], *type, depth + 1));
  } else {
    json fields = value;
    fields.erase("@type");
    MIZZEN_TRY(inner, encode(fields, *type, depth + 1));
  }
  if (!inner.empty()) put_bytes(2, inner, out);
  return out;
}

bool is_wrapper(std::string_view name) {
  return name.starts_with(kWellKnown) && name.ends_with("Value") &&
         name != "google.protobuf.Value" && name != "google.protobuf.ListValue";
}

// What is not written as an object of its fields.
bool stands_for_itself(std::string_view name) {
  if (!name.starts_with(kWellKnown)) return false;
  const std::string_view rest = name.substr(kWellKnown.size());
  return is_wrapper(name) || rest == "Duration" || rest == "Timestamp" || rest == "FieldMask" ||
         rest == "Struct" || rest == "Value" || rest == "ListValue" || rest == "Any";
}

Status put_field(const json& value, const WireField& field, int depth, std::string& out);

Result<std::string> wrapper(const json& value, const WireMessage& type, int depth) {
  std::string out;
  MIZZEN_CHECKED(put_field(value, fields_of(type)[0], depth, out));
  return out;
}

Result<std::string> itself(const json& value, const WireMessage& type, int depth) {
  const std::string_view name = wire_text(type.name);
  const std::string_view rest = name.substr(kWellKnown.size());
  if (is_wrapper(name)) return wrapper(value, type, depth);
  if (rest == "Duration") return duration(value);
  if (rest == "Struct") return struct_of(value, depth);
  if (rest == "Value") return value_of(value, depth);
  if (rest == "ListValue") return list_of(value, depth);
  if (rest == "Any") return any_of(value, depth);
  return fail(Code::kUnsupported, std::string(name) + " cannot be written as JSON here");
}

Status put_one(const json& value, const WireField& field, int depth, std::string& out) {
  if (type_of(field) == WireType::kMessage) {
    MIZZEN_TRY(const std::string inner, encode(value, message_of(field), depth + 1));
    put_bytes(field.number, inner, out);
    return {};
  }
  put_tag(field.number, wire_of(type_of(field)), out);
  return put_scalar(value, field, out);
}

Status put_list(const json& value, const WireField& field, int depth, std::string& out) {
  if (!value.is_array()) return std::unexpected(wrong(value, "a list"));
  std::string packed;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const Status put =
        field.packed ? put_scalar(value[i], field, packed) : put_one(value[i], field, depth, out);
    if (!put) return std::unexpected(put.error().in(std::to_string(i)));
  }
  if (!packed.empty()) put_bytes(field.number, packed, out);
  return {};
}

Status put_map(const json& value, const WireField& field, int depth, std::string& out) {
  if (!value.is_object()) return std::unexpected(wrong(value, "an object of keys and values"));
  const auto parts = fields_of(message_of(field));
  for (const auto& [key, item] : value.items()) {
    std::string entry;
    Status put = put_one(json(key), parts[0], depth, entry);
    if (put) put = put_one(item, parts[1], depth, entry);
    if (!put) return std::unexpected(put.error().in(key));
    put_bytes(field.number, entry, out);
  }
  return {};
}

// Of a field without presence its default is the same as nothing.
bool says_nothing(std::string_view bytes) { return bytes.find_first_not_of('\0') == bytes.npos; }

Status put_field(const json& value, const WireField& field, int depth, std::string& out) {
  if (field.map) return put_map(value, field, depth, out);
  if (field.repeated) return put_list(value, field, depth, out);
  if (field.presence) return put_one(value, field, depth, out);
  std::string scalar;
  MIZZEN_CHECKED(put_scalar(value, field, scalar));
  if (says_nothing(scalar)) return {};
  put_tag(field.number, wire_of(type_of(field)), out);
  out += scalar;
  return {};
}

Result<std::string> encode(const json& value, const WireMessage& type, int depth) {
  if (depth > kMaxDepth) return fail(Code::kLimit, "nested too deep");
  if (stands_for_itself(wire_text(type.name))) return itself(value, type, depth);
  if (!value.is_object()) return std::unexpected(wrong(value, "an object with fields"));
  std::string out;
  std::array<const WireField*, kMostWireFields> chosen{};  // by oneof
  for (const auto& [key, item] : value.items()) {
    const WireField* field = find_field(type, key);
    if (field == nullptr) {
      return fail(Code::kInvalid,
                  fmt::format("{}: {} has no such field", key, wire_text(type.name)));
    }
    // Null says nothing, but to a Value, which it is.
    const bool is_value = type_of(*field) == WireType::kMessage && !field->repeated &&
                          wire_text(message_of(*field).name) == "google.protobuf.Value";
    if (item.is_null() && !is_value) continue;
    if (field->oneof != 0 && std::exchange(chosen[field->oneof - 1], field) != nullptr) {
      return fail(Code::kInvalid, key + ": only one of its kind may be set");
    }
    if (Status put = put_field(item, *field, depth, out); !put) {
      return std::unexpected(put.error().in(key));
    }
  }
  return out;
}

}  // namespace

Result<std::string> json_to_wire(const json& value, std::string_view message) {
  const WireMessage* type = find_message(message);
  if (type == nullptr) return fail(Code::kInvalid, std::string(message) + " is not known here");
  return encode(value, *type, 0);
}

}  // namespace mizzen::api
