// Every kind that Mizzen knows: names, versions, scope, schema.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "object/kind.h"

namespace google::protobuf {
class Descriptor;
}

namespace mizzen::config {

struct Column {
  std::string_view name;       // "Age"
  std::string_view type;       // OpenAPI: string, integer, boolean, date
  std::string_view json_path;  // custom kinds only; built-in rows are made by table.h
  int priority = 0;            // above 0: shown by `-o wide` only
};

struct Kind {
  std::string_view group;                  // "" for the core group
  std::vector<std::string_view> versions;  // storage version first
  std::string_view kind;
  std::string_view plural;
  std::string_view singular;
  std::vector<std::string_view> short_names;
  std::vector<std::string_view> categories;
  bool namespaced = true;
  bool custom = false;  // a CustomResourceDefinition on a real Kubernetes (Istio's kinds)
  bool status = false;  // has a /status subresource
  bool scale = false;   // has a /scale subresource
  bool stored = true;   // false: reviews and the like, answered but never stored
  std::vector<Column> columns;
  // The whole object without apiVersion and kind: {metadata, spec, status} or as the kind has it.
  const google::protobuf::Descriptor* descriptor = nullptr;

  std::string_view storage_version() const { return versions.front(); }
  bool serves(std::string_view version) const;
};

// All of them, built once; pointers to members stay valid for the program's life. Any thread.
std::span<const Kind> kinds();

// By group and kind, by group and plural; nullptr when there is none. The version is not looked at.
const Kind* find_kind(std::string_view group, std::string_view kind);
const Kind* find_resource(std::string_view group, std::string_view plural);
// As a user names it on a command line: plural, singular, short name, or `plural.group`.
const Kind* find_by_any_name(std::string_view name);
// The kind of an object by its apiVersion and kind; the error suggests the nearest known one.
Result<const Kind*> kind_for(const object::Json& object);

}  // namespace mizzen::config
