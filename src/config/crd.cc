#include "config/crd.h"

#include <google/protobuf/descriptor.h>

#include "object/walker_types.h"
#include "options.pb.h"

namespace mizzen::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using object::Json;
using object::Special;

// One structural schema (no references, as definitions want it), or one message with a `$ref` for
// each message in it.
class SchemaWriter {
 public:
  explicit SchemaWriter(const SchemaRef* ref) : ref_(ref) {}

  Json message(const Descriptor& type, int depth) const;

 private:
  Json value(const FieldDescriptor& field, int depth) const;
  Json member(const FieldDescriptor& field, int depth) const;
  Json special(const Descriptor& type, Special kind, int depth) const;

  const SchemaRef* ref_;
};

Json SchemaWriter::value(const FieldDescriptor& field, int depth) const {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Descriptor& type = *field.message_type();
      if (ref_ != nullptr && object::type_info(type).special == Special::kNone) {
        return {{"$ref", (*ref_)(type)}};
      }
      return message(type, depth + 1);
    }
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

Json SchemaWriter::member(const FieldDescriptor& field, int depth) const {
  Json out;
  if (field.is_map()) {
    out = {{"type", "object"},
           {"additionalProperties", value(*field.message_type()->map_value(), depth)}};
  } else if (field.is_repeated()) {
    out = {{"type", "array"}, {"items", value(field, depth)}};
  } else {
    out = value(field, depth);
  }
  if (const std::string& doc = field.options().GetExtension(schema::doc); !doc.empty()) {
    out["description"] = doc;
  }
  return out;
}

Json free_form() { return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}; }

Json SchemaWriter::special(const Descriptor& type, Special kind, int depth) const {
  switch (kind) {
    case Special::kStruct:
      return free_form();
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
      // Kubernetes says string of its own kinds, and means numbers too.
      if (ref_ == nullptr) return {{"x-kubernetes-int-or-string", true}};
      if (kind == Special::kQuantity) return {{"type", "string"}};
      return {{"type", "string"}, {"format", "int-or-string"}};
    case Special::kList:
      return member(*type.field(0), depth);
    case Special::kValue:
    case Special::kRaw:
    case Special::kNone:
      break;
  }
  return {{"x-kubernetes-preserve-unknown-fields", true}};
}

Json SchemaWriter::message(const Descriptor& type, int depth) const {
  constexpr int kMaxDepth = 24;  // recursive types end in free form
  const object::TypeInfo& info = object::type_info(type);
  if (info.special != Special::kNone) return special(type, info.special, depth);
  if (depth > kMaxDepth) return free_form();
  Json properties = Json::object();
  for (const std::string& name : info.names) {
    const FieldDescriptor& one = *info.fields.at(name).field;
    properties[name] = member(one, depth);
    // Istio's own definitions keep this old spelling; manifests of that time are still about.
    if (one.name() == "mirror_percent") properties["mirror_percent"] = properties[name];
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  for (const FieldDescriptor* one : info.required) schema["required"].push_back(one->json_name());
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
  Json schema = {
      {"type", "object"},
      {"properties", {{"spec", openapi_schema(*spec->message_type())}, {"status", free_form()}}}};
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

Json openapi_schema(const Descriptor& type) { return SchemaWriter(nullptr).message(type, 0); }

Json openapi_definition(const Descriptor& type, const SchemaRef& ref) {
  return SchemaWriter(&ref).message(type, 0);
}

std::vector<Json> crds() {
  std::vector<Json> out;
  for (const Kind& kind : kinds()) {
    if (kind.custom) out.push_back(crd(kind));
  }
  return out;
}

}  // namespace mizzen::config
