#include "config/crd.h"

#include <google/protobuf/descriptor.h>

#include "object/walker_types.h"

namespace mizzen::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using object::Json;
using object::Special;

Json message_schema(const Descriptor& type, int depth);

Json value_schema(const FieldDescriptor& field, int depth) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_schema(*field.message_type(), depth + 1);
    case FieldDescriptor::CPPTYPE_BOOL:
      return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return {{"type", "number"}, {"format", "double"}};
    case FieldDescriptor::CPPTYPE_INT64:
      return {{"type", "integer"}, {"format", "int64"}};
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_UINT32:
      return {{"type", "integer"}, {"minimum", 0}};
    case FieldDescriptor::CPPTYPE_INT32:
      return {{"type", "integer"}, {"format", "int32"}};
    case FieldDescriptor::CPPTYPE_ENUM: {
      Json names = Json::array();
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        names.push_back(field.enum_type()->value(i)->name());
      }
      return {{"type", "string"}, {"enum", std::move(names)}};
    }
    default:
      if (field.type() == FieldDescriptor::TYPE_BYTES)
        return {{"type", "string"}, {"format", "byte"}};
      return {{"type", "string"}};
  }
}

Json field_schema(const FieldDescriptor& field, int depth) {
  if (field.is_map()) {
    return {{"type", "object"},
            {"additionalProperties", value_schema(*field.message_type()->map_value(), depth)}};
  }
  if (field.is_repeated()) return {{"type", "array"}, {"items", value_schema(field, depth)}};
  return value_schema(field, depth);
}

Json free_form() { return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}; }

Json message_schema(const Descriptor& type, int depth) {
  constexpr int kMaxDepth = 24;  // recursive types end in free form
  const object::TypeInfo& info = object::type_info(type);
  switch (info.special) {
    case Special::kStruct:
      return free_form();
    case Special::kValue:
    case Special::kRaw:
      return {{"x-kubernetes-preserve-unknown-fields", true}};
    case Special::kListValue:
      return {{"type", "array"}, {"items", {{"x-kubernetes-preserve-unknown-fields", true}}}};
    case Special::kDuration:
    case Special::kGoDuration:
      return {{"type", "string"}};
    case Special::kTimestamp:
    case Special::kMicroTime:
      return {{"type", "string"}, {"format", "date-time"}};
    case Special::kIntOrString:
    case Special::kQuantity:
      return {{"x-kubernetes-int-or-string", true}};
    case Special::kList:
      return field_schema(*type.field(0), depth);
    case Special::kNone:
      break;
  }
  if (depth > kMaxDepth) return free_form();
  Json properties = Json::object();
  for (const std::string& name : info.names) {
    const FieldDescriptor& field = *info.fields.at(name).field;
    properties[name] = field_schema(field, depth);
    // Istio's own definitions keep this old spelling; manifests of that time are still about.
    if (field.name() == "mirror_percent") properties["mirror_percent"] = properties[name];
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  for (const FieldDescriptor* field : info.required)
    schema["required"].push_back(field->json_name());
  return schema;
}

Json columns(const Kind& kind) {
  Json out = Json::array();
  for (const Column& column : kind.columns) {
    Json one = {{"name", column.name}, {"type", column.type}, {"jsonPath", column.json_path}};
    if (column.priority) one["priority"] = column.priority;
    out.push_back(std::move(one));
  }
  return out;
}

Json crd(const Kind& kind) {
  Json versions = Json::array();
  const FieldDescriptor* spec = kind.descriptor->FindFieldByName("spec");
  Json schema = {{"type", "object"},
                 {"properties",
                  {{"spec", message_schema(*spec->message_type(), 0)}, {"status", free_form()}}}};
  for (std::string_view version : kind.versions) {
    versions.push_back({{"name", version},
                        {"served", true},
                        {"storage", version == kind.storage_version()},
                        {"subresources", {{"status", Json::object()}}},
                        {"additionalPrinterColumns", columns(kind)},
                        {"schema", {{"openAPIV3Schema", schema}}}});
  }
  Json names = {{"kind", kind.kind},
                {"listKind", std::string(kind.kind) + "List"},
                {"plural", kind.plural},
                {"singular", kind.singular},
                {"categories", kind.categories}};
  if (!kind.short_names.empty()) names["shortNames"] = kind.short_names;
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata",
           {{"name", std::string(kind.plural) + "." + std::string(kind.group)},
            {"labels", {{"app", "istio-pilot"}, {"istio", "istio"}}}}},
          {"spec",
           {{"group", kind.group},
            {"names", std::move(names)},
            {"scope", kind.namespaced ? "Namespaced" : "Cluster"},
            {"versions", std::move(versions)}}}};
}

}  // namespace

Json openapi_schema(const Descriptor& type) { return message_schema(type, 0); }

std::vector<Json> crds() {
  std::vector<Json> out;
  for (const Kind& kind : kinds()) {
    if (kind.custom) out.push_back(crd(kind));
  }
  return out;
}

}  // namespace mizzen::config
