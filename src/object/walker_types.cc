#include "object/walker_types.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/strings.h"
#include "object/field_error.h"

namespace mizzen::object {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Numbers of the extensions in schema/options.proto. They are looked up by number because this
// folder must not know the schemas: linked in, they are extensions; else unknown fields.
constexpr int kInlinedOption = 50100;
constexpr int kRequiredOption = 50101;
constexpr int kAliasOption = 50103;

std::string option_of(const FieldDescriptor& field, int number) {
  const auto& options = field.options();
  std::vector<const FieldDescriptor*> set;
  options.GetReflection()->ListFields(options, &set);
  for (const FieldDescriptor* one : set) {
    if (!one->is_extension() || one->number() != number) continue;
    if (one->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      return options.GetReflection()->GetString(options, one);
    }
    return options.GetReflection()->GetBool(options, one) ? "true" : "";
  }
  const auto& unknown = options.GetReflection()->GetUnknownFields(options);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const auto& one = unknown.field(i);
    if (one.number() != number) continue;
    if (one.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      return one.length_delimited();
    }
    return one.type() == google::protobuf::UnknownField::TYPE_VARINT && one.varint() ? "true" : "";
  }
  return {};
}

Special special_of(const Descriptor& type) {
  static const std::unordered_map<std::string, Special> kSpecial = {
      {"google.protobuf.Struct", Special::kStruct},
      {"google.protobuf.Value", Special::kValue},
      {"google.protobuf.ListValue", Special::kListValue},
      {"google.protobuf.Duration", Special::kDuration},
      {"google.protobuf.Timestamp", Special::kTimestamp},
      {"mizzen.schema.meta.Duration", Special::kGoDuration},
      {"mizzen.schema.meta.MicroTime", Special::kMicroTime},
      {"mizzen.schema.meta.IntOrString", Special::kIntOrString},
      {"mizzen.schema.meta.Quantity", Special::kQuantity},
      {"mizzen.schema.meta.Raw", Special::kRaw},
  };
  if (auto it = kSpecial.find(type.full_name()); it != kSpecial.end()) return it->second;
  if (type.field_count() == 1 && type.field(0)->is_repeated() && is_inlined(*type.field(0))) {
    return Special::kList;
  }
  return Special::kNone;
}

void add_fields(const Descriptor& type, std::vector<const FieldDescriptor*> through,
                TypeInfo* info) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (is_inlined(*field) && field->message_type() && !field->is_repeated()) {
      auto deeper = through;
      deeper.push_back(field);
      add_fields(*field->message_type(), std::move(deeper), info);
      continue;
    }
    info->fields.try_emplace(field->json_name(), NamedField{field, through});
    info->fields.try_emplace(field->name(), NamedField{field, through});
    if (auto alias = option_of(*field, kAliasOption); !alias.empty()) {
      info->fields.try_emplace(alias, NamedField{field, through});
    }
    info->names.push_back(field->json_name());
    if (is_required(*field)) info->required.push_back(field);
    if (field->name() == "metadata" && field->message_type() && through.empty() &&
        (field->message_type()->name() == "ObjectMeta" ||
         field->message_type()->name() == "ListMeta")) {
      info->type_meta = true;
    }
  }
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = std::exchange(row[j], next);
    }
  }
  return row[b.size()];
}

}  // namespace

bool is_inlined(const FieldDescriptor& field) { return !option_of(field, kInlinedOption).empty(); }
bool is_required(const FieldDescriptor& field) {
  return !option_of(field, kRequiredOption).empty();
}

const TypeInfo& type_info(const Descriptor& type) {
  static std::mutex mutex;
  static std::unordered_map<const Descriptor*, std::unique_ptr<TypeInfo>> known;
  std::lock_guard lock(mutex);
  auto& slot = known[&type];
  if (!slot) {
    slot = std::make_unique<TypeInfo>();
    slot->special = special_of(type);
    add_fields(type, {}, slot.get());
    if (type.name() == "DeleteOptions" || type.name().ends_with("Options")) slot->type_meta = true;
  }
  return *slot;
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  if (word.size() > 64) return {};
  std::string low = lower(word);
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    std::size_t d = distance(low, lower(name));
    if (d < best_distance) {
      best_distance = d;
      best = name;
    }
  }
  return best;
}

}  // namespace mizzen::object
