// What Envoy's messages look like on the wire, in constant tables that are made of the schemas at
// build time (tools/wire_tables.cc). Protobuf's own descriptors say the same and more, but are
// built when first asked for: a start of the proxy would pay 23 million instructions and 1.3 MB for
// them. Everything here may be called from any thread; what is returned lives as long as the
// program.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mizzen::api {

// Of one message.
inline constexpr std::size_t kMostWireFields = 128;

// google.protobuf.FieldDescriptorProto.Type, by its numbers.
enum class WireType : std::uint8_t {
  kDouble = 1,
  kFloat,
  kInt64,
  kUint64,
  kInt32,
  kFixed64,
  kFixed32,
  kBool,
  kString,
  kGroup,
  kMessage,
  kBytes,
  kUint32,
  kEnum,
  kSfixed32,
  kSfixed64,
  kSint32,
  kSint64,
};

struct WireField {
  std::uint32_t name;       // in the schema: see wire_text()
  std::uint32_t json_name;  // likewise
  std::uint32_t number;
  std::uint16_t of;  // which message or enum, where the type is one
  std::uint8_t type;
  bool repeated;  // a list; false for a map
  bool map;       // `of` is its entry, with fields 1 (key) and 2 (value)
  bool packed;
  bool presence;       // a default that is said differs from nothing said
  std::uint8_t oneof;  // 0: of none; numbers count within the message
};

struct WireMessage {
  std::uint32_t name;
  std::uint32_t first;
  std::uint32_t count;
};

struct WireEnum {
  std::uint32_t name;
  std::uint32_t first;
  std::uint32_t count;
};

struct WireEnumValue {
  std::uint32_t name;
  std::int32_t number;
};

namespace table {
extern const WireField kFields[];
extern const WireMessage kMessages[];
extern const WireEnum kEnums[];
extern const WireEnumValue kValues[];
extern const std::uint32_t kMessageCount;
extern const std::uint32_t kFieldCount;
extern const char kTexts[];
}  // namespace table

inline std::string_view wire_text(std::uint32_t offset) { return table::kTexts + offset; }
inline WireType type_of(const WireField& field) { return static_cast<WireType>(field.type); }

// By number, ascending.
inline std::span<const WireField> fields_of(const WireMessage& message) {
  return {table::kFields + message.first, message.count};
}
inline std::size_t index_of(const WireField& field) {
  return static_cast<std::size_t>(&field - table::kFields);
}
// `field` is of a message's type.
inline const WireMessage& message_of(const WireField& field) { return table::kMessages[field.of]; }
// `field` is of an enum's type.
inline std::span<const WireEnumValue> values_of(const WireField& field) {
  const WireEnum& one = table::kEnums[field.of];
  return {table::kValues + one.first, one.count};
}

// By full name ("envoy.config.cluster.v3.Cluster") or type URL; null when the schemas have none.
const WireMessage* find_message(std::string_view name);
const WireField* find_field(const WireMessage& message, std::uint32_t number);
// By the schema's name or the JSON name.
const WireField* find_field(const WireMessage& message, std::string_view name);

}  // namespace mizzen::api
