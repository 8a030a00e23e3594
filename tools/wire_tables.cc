// wire-tables FILES OUT: writes the tables that api/wire_table.h declares, as C++, of the schemas
// that FILES lists (one .proto a line) and of all that these use.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "api/wire_table.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr int kMostFields = mizzen::api::kMostWireFields;

class Tables {
 public:
  void add(const FileDescriptor& file) {
    for (int i = 0; i < file.message_type_count(); ++i) add(*file.message_type(i));
  }

  void write(std::ostream& out) {
    // By name: the reader searches by halves.
    int message_index = 0;
    for (auto& [name, message] : messages_) message.index = message_index++;
    int enum_index = 0;
    for (auto& [name, one] : enums_) one.index = enum_index++;
    std::string fields;
    std::string messages;
    int field_count = 0;
    for (const auto& [name, message] : messages_) {
      messages += row({text(name), field_count, message.type->field_count()});
      for (const auto& [number, field] : by_number(*message.type)) {
        fields += row(of(*field));
        ++field_count;
      }
    }
    std::string values;
    std::string enums;
    int value_count = 0;
    for (const auto& [name, one] : enums_) {
      enums += row({text(name), value_count, one.type->value_count()});
      for (int i = 0; i < one.type->value_count(); ++i, ++value_count) {
        values += row({text(one.type->value(i)->name()), one.type->value(i)->number()});
      }
    }
    out << "#include \"api/wire_table.h\"\n\nnamespace mizzen::api::table {\n"
        << "const WireField kFields[] = {\n"
        << fields << "};\n"
        << "const WireMessage kMessages[] = {\n"
        << messages << "};\n"
        << "const WireEnum kEnums[] = {\n"
        << enums << "};\n"
        << "const WireEnumValue kValues[] = {\n"
        << values << "};\n"
        << "const std::uint32_t kMessageCount = " << messages_.size() << ";\n"
        << "const std::uint32_t kFieldCount = " << field_count << ";\n"
        << "const char kTexts[] =\n"
        << texts_ << "    \"\";\n"
        << "}  // namespace mizzen::api::table\n";
  }

 private:
  template <class T>
  struct Numbered {
    const T* type = nullptr;
    int index = 0;
  };

  void add(const Descriptor& type) {
    if (!messages_.try_emplace(type.full_name(), Numbered<Descriptor>{&type}).second) return;
    if (type.field_count() > kMostFields) {
      std::cerr << type.full_name() << " has more than " << kMostFields << " fields\n";
      std::exit(1);
    }
    for (int i = 0; i < type.nested_type_count(); ++i) add(*type.nested_type(i));
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (field.message_type() != nullptr) add(*field.message_type());
      if (field.enum_type() == nullptr) continue;
      enums_.try_emplace(field.enum_type()->full_name(),
                         Numbered<EnumDescriptor>{field.enum_type()});
    }
  }

  static std::map<int, const FieldDescriptor*> by_number(const Descriptor& type) {
    std::map<int, const FieldDescriptor*> fields;
    for (int i = 0; i < type.field_count(); ++i) fields[type.field(i)->number()] = type.field(i);
    return fields;
  }

  std::vector<int> of(const FieldDescriptor& field) {
    int type = 0;
    if (field.message_type() != nullptr) type = messages_[field.message_type()->full_name()].index;
    if (field.enum_type() != nullptr) type = enums_[field.enum_type()->full_name()].index;
    const auto* oneof = field.real_containing_oneof();
    return {text(field.name()),   text(field.json_name()),
            field.number(),       type,
            field.type(),         field.is_repeated() && !field.is_map(),
            field.is_map(),       field.is_packed(),
            field.has_presence(), oneof == nullptr ? 0 : oneof->index() + 1};
  }

  static std::string row(const std::vector<int>& numbers) {
    std::string line = "    {";
    for (const int number : numbers) line += std::to_string(number) + ",";
    line.back() = '}';
    return line + ",\n";
  }

  int text(const std::string& one) {
    const auto [at, added] = offsets_.try_emplace(one, size_);
    if (added) {
      texts_ += "    \"" + one + "\\0\"\n";
      size_ += static_cast<int>(one.size()) + 1;
    }
    return at->second;
  }

  std::map<std::string, Numbered<Descriptor>> messages_;
  std::map<std::string, Numbered<EnumDescriptor>> enums_;
  std::map<std::string, int> offsets_;
  std::string texts_;
  int size_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  Tables tables;
  tables.add(*google::protobuf::Struct::descriptor()->file());
  tables.add(*google::protobuf::Empty::descriptor()->file());
  tables.add(*google::protobuf::Timestamp::descriptor()->file());
  tables.add(*google::protobuf::UInt32Value::descriptor()->file());
  std::ifstream list(argv[1]);
  for (std::string name; std::getline(list, name);) {
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    if (file == nullptr) {
      std::cerr << name << " is not linked in\n";
      return 1;
    }
    tables.add(*file);
  }
  std::ofstream out(argv[2]);
  tables.write(out);
  return out.good() ? 0 : 1;
}
