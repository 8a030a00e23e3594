#include "local/apiserver/types.h"

#include <algorithm>
#include <tuple>

#include "base/strings.h"
#include "config/kinds.h"
#include "object/json.h"

namespace mizzen::local {

namespace {

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> parts;
  if (!list.is_array()) return parts;
  for (const auto& item : list) {
    if (item.is_string()) parts.push_back(item.get<std::string>());
  }
  return parts;
}

// (stage, major, minor): stage 3 for v2, 2 for v2beta1, 1 for v2alpha1, 0 for anything else.
std::tuple<int, int, int> rank(std::string_view version) {
  if (version.size() < 2 || version[0] != 'v') return {0, 0, 0};
  auto rest = version.substr(1);
  const auto end = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const auto major = parse_int<int>(rest.substr(0, end));
  if (!major) return {0, 0, 0};
  rest.remove_prefix(end);
  if (rest.empty()) return {3, *major, 0};
  for (auto [word, stage] :
       {std::pair{std::string_view("beta"), 2}, {std::string_view("alpha"), 1}}) {
    if (!rest.starts_with(word)) continue;
    if (auto minor = parse_int<int>(rest.substr(word.size()))) return {stage, *major, *minor};
  }
  return {0, 0, 0};
}

// Versions that kubectls still ask for: 1.20 where it describes and creates, and `autoscale`. All
// but the autoscaler's differ from the stored one in name only (convert.cc).
constexpr std::pair<std::string_view, std::string_view> kOlderVersions[] = {
    {"HorizontalPodAutoscaler", "v1"},
    {"CronJob", "v1beta1"},
    {"PodDisruptionBudget", "v1beta1"},
    {"EndpointSlice", "v1beta1"}};

CustomVersion custom_version_of(const Json& version) {
  CustomVersion custom;
  custom.name = version.value("name", "");
  custom.served = version.value("served", false);
  const Json& subresources = at_path(version, {"subresources"});
  custom.status = subresources.is_object() && subresources.contains("status");
  custom.scale = at_path(subresources, {"scale"});
  custom.schema = at_path(version, {"schema", "openAPIV3Schema"});
  custom.columns = at_path(version, {"additionalPrinterColumns"});
  return custom;
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const auto left = rank(a);
  const auto right = rank(b);
  return left != right ? left > right : a < b;
}

std::string Type::api_version(std::string_view version) const {
  return group.empty() ? std::string(version) : group + "/" + std::string(version);
}
bool Type::serves(std::string_view version) const {
  return std::find(versions.begin(), versions.end(), version) != versions.end();
}
const CustomVersion* Type::custom_version(std::string_view version) const {
  for (const auto& each : custom) {
    if (each.name == version) return &each;
  }
  return nullptr;
}

Types::Types() {
  for (const config::Kind& kind : config::kinds()) {
    // Custom kinds come with their definitions; events are served in the core group only.
    if (kind.custom || kind.plural == "bindings" || kind.group == "events.k8s.io") continue;
    auto type = std::make_shared<Type>();
    type->group = kind.group;
    type->versions.assign(kind.versions.begin(), kind.versions.end());
    type->storage_version = kind.storage_version();
    type->plural = kind.plural;
    type->kind = kind.kind;
    type->singular = kind.singular;
    type->short_names.assign(kind.short_names.begin(), kind.short_names.end());
    type->categories.assign(kind.categories.begin(), kind.categories.end());
    type->namespaced = kind.namespaced;
    type->status = kind.status;
    type->scale = kind.scale;
    type->create_only = !kind.stored;
    for (const auto& [name, version] : kOlderVersions) {
      if (type->kind == name) type->versions.emplace_back(version);
    }
    types_[{type->group, type->plural}] = type;
  }
}

TypeRef Types::find(std::string_view group, std::string_view version,
                    std::string_view plural) const {
  auto found = types_.find({std::string(group), std::string(plural)});
  if (found == types_.end() || !found->second->serves(version)) return nullptr;
  return found->second;
}

TypeRef Types::find_kind(std::string_view group, std::string_view version,
                         std::string_view kind) const {
  for (const auto& [name, type] : types_) {
    if (name.first == group && type->kind == kind && type->serves(version)) return type;
  }
  return nullptr;
}

TypeRef Types::find_resource(std::string_view resource) const {
  const auto dot = resource.find('.');
  const auto plural = resource.substr(0, dot);
  const auto group = dot == std::string_view::npos ? std::string_view() : resource.substr(dot + 1);
  auto found = types_.find({std::string(group), std::string(plural)});
  return found == types_.end() ? nullptr : found->second;
}

void Types::set_custom(const Json& crd) {
  const Json& spec = at_path(crd, {"spec"});
  auto type = std::make_shared<Type>();
  type->group = text_at(spec, {"group"});
  type->plural = text_at(spec, {"names", "plural"});
  type->kind = text_at(spec, {"names", "kind"});
  type->singular = object::string_at(spec, {"names", "singular"}, lower(type->kind));
  type->short_names = strings(at_path(spec, {"names", "shortNames"}));
  type->categories = strings(at_path(spec, {"names", "categories"}));
  type->namespaced = text_at(spec, {"scope"}) == "Namespaced";
  for (const auto& version : at_path(spec, {"versions"})) {
    CustomVersion custom = custom_version_of(version);
    if (custom.served) type->versions.push_back(custom.name);
    if (version.value("storage", false)) type->storage_version = custom.name;
    type->status = type->status || custom.status;
    type->scale = type->scale || custom.scale.is_object();
    type->custom.push_back(std::move(custom));
  }
  std::sort(type->versions.begin(), type->versions.end(), version_before);
  types_[{type->group, type->plural}] = type;
  ++generation_;
}

void Types::remove_custom(const std::string& crd_name) {
  const auto dot = crd_name.find('.');
  if (dot == std::string::npos) return;
  auto found = types_.find({crd_name.substr(dot + 1), crd_name.substr(0, dot)});
  if (found == types_.end() || found->second->built_in()) return;
  types_.erase(found);
  ++generation_;
}

std::vector<std::string> Types::groups() const {
  // Kubernetes' own groups first: short names resolve in this order.
  std::vector<std::string> own;
  std::vector<std::string> custom;
  for (const auto& [name, type] : types_) {
    if (name.first.empty()) continue;
    auto& list = type->built_in() ? own : custom;
    if (std::find(list.begin(), list.end(), name.first) == list.end()) list.push_back(name.first);
  }
  own.insert(own.end(), custom.begin(), custom.end());
  return own;
}

std::vector<std::string> Types::versions(std::string_view group) const {
  std::vector<std::string> versions;
  for (const auto& [name, type] : types_) {
    if (name.first != group) continue;
    for (const auto& version : type->versions) {
      if (std::find(versions.begin(), versions.end(), version) == versions.end()) {
        versions.push_back(version);
      }
    }
  }
  std::sort(versions.begin(), versions.end(), version_before);
  return versions;
}

}  // namespace mizzen::local
