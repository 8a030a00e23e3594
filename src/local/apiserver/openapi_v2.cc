// OpenAPI 2 as protobuf: messages and field numbers of openapi.v2 (github.com/google/gnostic,
// openapiv2/OpenAPIv2.proto), the only form that a kubectl before 1.27 asks for.
#include "local/apiserver/openapi.h"

namespace mizzen::local {

namespace {

class Writer {
 public:
  Writer& bytes(int number, std::string_view value) {
    varint(static_cast<std::uint64_t>(number) << 3 | 2);
    varint(value.size());
    out_.append(value);
    return *this;
  }
  Writer& text(int number, const Json& from, const char* member) {
    if (auto found = from.find(member); found != from.end() && found->is_string()) {
      bytes(number, found->get_ref<const std::string&>());
    }
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

// NamedSchema, NamedAny, NamedPathItem: a name and a value.
std::string named(std::string_view name, std::string_view value) {
  return Writer().bytes(1, name).bytes(2, value).take();
}

void add_extensions(Writer& out, int number, const Json& from) {
  for (const auto& [name, value] : from.items()) {
    // Any, with the value as YAML, which JSON is.
    if (name.starts_with("x-"))
      out.bytes(number, named(name, Writer().bytes(2, value.dump()).take()));
  }
}

std::string schema_bytes(const Json& schema) {
  Writer out;
  out.text(1, schema, "$ref").text(2, schema, "format").text(4, schema, "description");
  if (auto required = schema.find("required"); required != schema.end()) {
    for (const Json& name : *required) out.bytes(19, name.get_ref<const std::string&>());
  }
  if (auto more = schema.find("additionalProperties"); more != schema.end() && more->is_object()) {
    out.bytes(21, Writer().bytes(1, schema_bytes(*more)).take());
  }
  if (schema.contains("type")) out.bytes(22, Writer().text(1, schema, "type").take());
  if (auto items = schema.find("items"); items != schema.end()) {
    out.bytes(23, Writer().bytes(1, schema_bytes(*items)).take());
  }
  if (auto properties = schema.find("properties"); properties != schema.end()) {
    Writer all;
    for (const auto& [name, value] : properties->items()) {
      all.bytes(1, named(name, schema_bytes(value)));
    }
    out.bytes(25, all.take());
  }
  add_extensions(out, 31, schema);
  return out.take();
}

std::string operation_bytes(const Json& operation) {
  Writer out;
  if (auto consumes = operation.find("consumes"); consumes != operation.end()) {
    for (const Json& type : *consumes) out.bytes(7, type.get_ref<const std::string&>());
  }
  if (auto parameters = operation.find("parameters"); parameters != operation.end()) {
    for (const Json& parameter : *parameters) {
      std::string query = Writer()
                              .text(2, parameter, "in")
                              .text(4, parameter, "name")
                              .text(6, parameter, "type")
                              .take();
      // ParametersItem, Parameter, NonBodyParameter, QueryParameterSubSchema.
      std::string non_body = Writer().bytes(3, query).take();
      out.bytes(8, Writer().bytes(1, Writer().bytes(2, non_body).take()).take());
    }
  }
  add_extensions(out, 13, operation);
  return out.take();
}

std::string path_bytes(const Json& item) {
  Writer out;
  constexpr std::pair<const char*, int> kVerbs[] = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  for (const auto& [verb, number] : kVerbs) {
    if (auto found = item.find(verb); found != item.end()) {
      out.bytes(number, operation_bytes(*found));
    }
  }
  return out.take();
}

}  // namespace

std::string encode_openapi_v2(const Json& document) {
  Writer paths;
  for (const auto& [name, item] : document["paths"].items()) {
    paths.bytes(2, named(name, path_bytes(item)));
  }
  Writer definitions;
  for (const auto& [name, schema] : document["definitions"].items()) {
    definitions.bytes(1, named(name, schema_bytes(schema)));
  }
  return Writer()
      .text(1, document, "swagger")
      .bytes(
          2,
          Writer().text(1, document["info"], "title").text(2, document["info"], "version").take())
      .bytes(8, paths.take())
      .bytes(9, definitions.take())
      .take();
}

}  // namespace mizzen::local
