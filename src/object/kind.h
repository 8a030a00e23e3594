// Names of Kubernetes kinds and of objects.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"
#include "object/json.h"

namespace mizzen::object {

// `apps/v1` or, for the core group, `v1`.
struct GroupVersion {
  std::string group;  // empty for the core group
  std::string version;

  std::string to_string() const;
  auto operator<=>(const GroupVersion&) const = default;
};
Result<GroupVersion> parse_api_version(std::string_view api_version);

struct GroupVersionKind {
  std::string group;
  std::string version;
  std::string kind;

  std::string api_version() const;
  auto operator<=>(const GroupVersionKind&) const = default;
};
// From `apiVersion` and `kind` of an object; the error says which one is missing or malformed.
Result<GroupVersionKind> kind_of(const Json& object);

struct GroupVersionResource {
  std::string group;
  std::string version;
  std::string resource;  // plural, lower case
  auto operator<=>(const GroupVersionResource&) const = default;
};

// An object's name within its kind; `ns` is empty for cluster scope.
struct Key {
  std::string ns;
  std::string name;

  std::string to_string() const;  // "ns/name" or "name"
  auto operator<=>(const Key&) const = default;
};

// RFC 1123 labels and subdomains as Kubernetes wants them for names, and RFC 1035 labels for
// Services. An empty string means valid; else what is wrong, as Kubernetes words it.
std::string check_dns1123_label(std::string_view name);
std::string check_dns1123_subdomain(std::string_view name);
std::string check_dns1035_label(std::string_view name);
// Keys and values of labels; keys of annotations.
std::string check_label_key(std::string_view key);
std::string check_label_value(std::string_view value);

}  // namespace mizzen::object
