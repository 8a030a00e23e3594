#include "api/wire_table.h"

#include <algorithm>

namespace mizzen::api {

const WireMessage* find_message(std::string_view name) {
  if (const auto slash = name.rfind('/'); slash != name.npos) name.remove_prefix(slash + 1);
  const std::span<const WireMessage> all(table::kMessages, table::kMessageCount);
  const auto at = std::ranges::lower_bound(
      all, name, {}, [](const WireMessage& one) { return wire_text(one.name); });
  return at == all.end() || wire_text(at->name) != name ? nullptr : &*at;
}

const WireField* find_field(const WireMessage& message, std::uint32_t number) {
  const auto fields = fields_of(message);
  const auto at = std::ranges::lower_bound(fields, number, {}, &WireField::number);
  return at == fields.end() || at->number != number ? nullptr : &*at;
}

const WireField* find_field(const WireMessage& message, std::string_view name) {
  for (const WireField& field : fields_of(message)) {
    if (wire_text(field.json_name) == name || wire_text(field.name) == name) return &field;
  }
  return nullptr;
}

}  // namespace mizzen::api
