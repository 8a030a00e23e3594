// What kinds the API server serves: the built-in ones and those of CustomResourceDefinitions.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "local/apiserver/store.h"

namespace mizzen::local {

// One version of a custom kind, from spec.versions[].
struct CustomVersion {
  std::string name;
  bool served = true;
  bool status = false;
  Json scale;    // subresources.scale, or null
  Json schema;   // schema.openAPIV3Schema, or null
  Json columns;  // additionalPrinterColumns, or null
};

struct Type {
  std::string group;                  // "" for core
  std::vector<std::string> versions;  // served ones, preferred first
  std::string plural;
  std::string singular;
  std::string kind;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool namespaced = true;
  bool status = false;
  bool scale = false;
  bool create_only = false;           // reviews: answered, never stored
  std::string storage_version;        // what the store holds
  std::vector<CustomVersion> custom;  // empty for built-in kinds

  bool built_in() const { return custom.empty(); }
  std::string resource() const { return group.empty() ? plural : plural + "." + group; }
  std::string api_version(std::string_view version) const;
  bool serves(std::string_view version) const;
  const CustomVersion* custom_version(std::string_view version) const;
  std::string list_kind() const { return kind + "List"; }
};
using TypeRef = std::shared_ptr<const Type>;

class Types {
 public:
  Types();  // the built-in kinds

  // Null when not served.
  TypeRef find(std::string_view group, std::string_view version, std::string_view plural) const;
  TypeRef find_kind(std::string_view group, std::string_view version, std::string_view kind) const;
  TypeRef find_resource(std::string_view resource) const;  // "deployments.apps"

  // The kind that a CustomResourceDefinition describes; replaces an earlier one of its name.
  void set_custom(const Json& crd);
  void remove_custom(const std::string& crd_name);

  // Goes up whenever the served kinds change.
  std::uint64_t generation() const { return generation_; }

  // By group ("" first) and plural.
  const std::map<std::pair<std::string, std::string>, TypeRef>& all() const { return types_; }
  // Groups but core in the order of discovery; versions of a group, preferred first.
  std::vector<std::string> groups() const;
  std::vector<std::string> versions(std::string_view group) const;

 private:
  std::map<std::pair<std::string, std::string>, TypeRef> types_;
  std::uint64_t generation_ = 1;
};

// v1 before v1beta1 before v1alpha3, 2 before 1: Kubernetes' order of versions.
bool version_before(std::string_view a, std::string_view b);

}  // namespace mizzen::local
