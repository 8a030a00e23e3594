#include "local/apiserver/openapi.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <deque>
#include <set>

#include "base/strings.h"
#include "config/crd.h"
#include "config/kinds.h"
#include "local/apiserver/parts.h"
#include "object/merge_keys.h"

namespace mizzen::local {

namespace {

using google::protobuf::Descriptor;

constexpr std::string_view kObjectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

// "io.k8s.api.core.v1.Container", as clients know it from Kubernetes.
std::string definition_name(const Descriptor& type) {
  static const auto prefixes = [] {
    std::map<std::string, std::string> known = {
        {"mizzen.schema.meta", "io.k8s.apimachinery.pkg.apis.meta.v1"},
        {"mizzen.schema.autoscaling_v1", "io.k8s.api.autoscaling.v1"}};
    for (const config::Kind& kind : config::kinds()) {
      if (kind.custom || kind.descriptor == nullptr) continue;
      const std::string& package = kind.descriptor->file()->package();
      const std::string short_name = package.substr(package.rfind('.') + 1);
      const char* where =
          short_name == "apiextensions" ? "io.k8s.apiextensions-apiserver.pkg.apis" : "io.k8s.api";
      known.emplace(package, fmt::format("{}.{}.{}", where, short_name, kind.storage_version()));
    }
    return known;
  }();
  const std::string& package = type.file()->package();
  const std::string name = type.full_name().substr(package.size() + 1);
  auto found = prefixes.find(package);
  return (found == prefixes.end() ? package : found->second) + "." + name;
}

std::vector<std::string_view> keys_of(const Descriptor& type, const std::string& field) {
  const std::string& name = type.name();
  if (name == "ServiceSpec") return object::merge_keys("Service", {"spec", field});
  if (name == "Container" || name == "EphemeralContainer") {
    return object::merge_keys("", {"containers", field});
  }
  if (name.starts_with("Endpoint") || type.file()->package().ends_with(".discovery")) return {};
  return object::merge_keys("", {"", field});
}

// How lists of Kubernetes' kinds merge: what kubectl works patches out by.
void add_merge_rules(const Descriptor& type, Json& properties) {
  for (auto& [name, property] : properties.items()) {
    if (type.name() == "DeploymentSpec" && name == "strategy") {
      property["x-kubernetes-patch-strategy"] = "retainKeys";
    }
    if (property.value("type", "") != "array") continue;
    if (type.name() == "ObjectMeta" && name == "finalizers") {
      property["x-kubernetes-patch-strategy"] = "merge";
      property["x-kubernetes-list-type"] = "set";
    }
    const auto keys = keys_of(type, name);
    if (keys.empty() || !property["items"].contains("$ref")) continue;
    property["x-kubernetes-patch-merge-key"] = keys.front();
    property["x-kubernetes-patch-strategy"] = name == "volumes" ? "merge,retainKeys" : "merge";
    property["x-kubernetes-list-type"] = "map";
    property["x-kubernetes-list-map-keys"] = keys;
  }
}

using Definitions = std::map<std::string, Json>;

// The definition of `root` and of all that it refers to; references are bare names.
void collect(const Descriptor& root, Definitions& definitions) {
  std::deque<const Descriptor*> queue = {&root};
  while (!queue.empty()) {
    const Descriptor& type = *queue.front();
    queue.pop_front();
    const std::string name = definition_name(type);
    if (definitions.contains(name)) continue;
    Json schema = config::openapi_definition(type, [&queue](const Descriptor& used) {
      queue.push_back(&used);
      return definition_name(used);
    });
    if (schema.contains("properties")) add_merge_rules(type, schema["properties"]);
    definitions[name] = std::move(schema);
  }
}

Json gvk(const Type& type, std::string_view version) {
  return {{"group", type.group}, {"version", version}, {"kind", type.kind}};
}

std::string custom_name(const Type& type, std::string_view version) {
  auto parts = split(type.group, '.');
  std::string name;
  for (auto it = parts.rbegin(); it != parts.rend(); ++it) name += std::string(*it) + ".";
  return fmt::format("{}{}.{}", name, version, type.kind);
}

const Descriptor* descriptor_of(const Type& type, std::string_view version) {
  if (type.kind == "HorizontalPodAutoscaler" && version == "v1") {
    return google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        "mizzen.schema.autoscaling_v1.HorizontalPodAutoscaler");
  }
  const config::Kind* kind = config::find_resource(type.group, type.plural);
  return kind == nullptr ? nullptr : kind->descriptor;
}

// Adds a kind's definition with all that it needs.
void add_kind(const Type& type, std::string_view version, Definitions& definitions) {
  static const Descriptor* const meta =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          "mizzen.schema.meta.ObjectMeta");
  std::string name;
  if (type.built_in()) {
    const Descriptor* descriptor = descriptor_of(type, version);
    if (descriptor == nullptr) return;
    collect(*descriptor, definitions);
    name = definition_name(*descriptor);
  } else {
    name = custom_name(type, version);
    const CustomVersion* custom = type.custom_version(version);
    Json& schema = definitions[name];
    schema = custom != nullptr && custom->schema.is_object() ? custom->schema : Json::object();
    schema["type"] = "object";
    schema["properties"]["metadata"] = {{"$ref", kObjectMeta}};
    if (meta != nullptr) collect(*meta, definitions);
  }
  Json& root = definitions[name];
  for (const char* field : {"apiVersion", "kind"}) {
    root["properties"][field] = {{"type", "string"}};
  }
  Json& kinds = root["x-kubernetes-group-version-kind"];
  const Json own = gvk(type, version);
  if (!kinds.is_array()) kinds = Json::array();
  if (std::find(kinds.begin(), kinds.end(), own) == kinds.end()) kinds.push_back(own);
}

// `$ref: NAME` becomes `$ref: PREFIX NAME`.
void prefix_references(Json& value, const std::string& prefix) {
  if (value.is_object()) {
    if (auto ref = value.find("$ref"); ref != value.end() && ref->is_string()) {
      *ref = prefix + ref->get<std::string>();
    }
  }
  if (value.is_structured()) {
    for (Json& each : value) prefix_references(each, prefix);
  }
}

// OpenAPI 2 has no words for these: anything goes there, and the server looks.
void simplify(Json& schema) {
  if (!schema.is_object()) return;
  const bool open = schema.value("x-kubernetes-preserve-unknown-fields", false);
  if (open || schema.value("x-kubernetes-int-or-string", false) ||
      schema.value("nullable", false)) {
    for (const char* member : {"type", "properties", "items", "additionalProperties"}) {
      schema.erase(member);
    }
  }
  for (const char* member : {"oneOf", "anyOf", "allOf", "not", "nullable", "default", "enum"}) {
    schema.erase(member);
  }
  if (auto found = schema.find("properties"); found != schema.end()) {
    for (Json& each : *found) simplify(each);
  }
  for (const char* member : {"items", "additionalProperties"}) {
    if (auto found = schema.find(member); found != schema.end()) simplify(*found);
  }
}

Json query_parameters(bool v3) {
  Json out = Json::array();
  for (const char* name : {"dryRun", "fieldManager", "fieldValidation", "force"}) {
    Json parameter = {{"name", name}, {"in", "query"}, {"uniqueItems", true}};
    const char* type = std::string_view(name) == "force" ? "boolean" : "string";
    if (v3)
      parameter["schema"] = {{"type", type}, {"uniqueItems", true}};
    else
      parameter["type"] = type;
    out.push_back(std::move(parameter));
  }
  return out;
}

Json operation(const Type& type, std::string_view version, std::string_view action, bool v3) {
  Json out = {{"x-kubernetes-action", action},
              {"x-kubernetes-group-version-kind", gvk(type, version)},
              {"responses", {{"200", {{"description", "OK"}}}}}};
  if (action == "get" || action == "list" || action == "delete") return out;
  out["parameters"] = query_parameters(v3);
  if (action != "patch") return out;
  std::vector<std::string> media = {"application/json-patch+json", "application/merge-patch+json",
                                    "application/apply-patch+yaml"};
  if (type.built_in()) media.push_back("application/strategic-merge-patch+json");
  for (const std::string& one : media) {
    if (v3)
      out["requestBody"]["content"][one] = {{"schema", {{"type", "object"}}}};
    else
      out["consumes"].push_back(one);
  }
  return out;
}

void add_paths(const Type& type, std::string_view version, bool v3, Json& paths) {
  const std::string root = type.group.empty() ? fmt::format("/api/{}", version)
                                              : fmt::format("/apis/{}/{}", type.group, version);
  const std::string all =
      fmt::format("{}/{}{}", root, type.namespaced ? "namespaces/{namespace}/" : "", type.plural);
  paths[all]["post"] = operation(type, version, "post", v3);
  if (type.create_only) return;
  paths[all]["get"] = operation(type, version, "list", v3);
  Json& one = paths[all + "/{name}"];
  for (const char* verb : {"get", "put", "patch", "delete"}) {
    one[verb] = operation(type, version, verb, v3);
  }
}

Json info() { return {{"title", "Kubernetes"}, {"version", "v1.32.0"}}; }

Json version_2(const Types& types) {
  Definitions definitions;
  Json paths = Json::object();
  for (const auto& [name, type] : types.all()) {
    for (const std::string& version : type->versions) {
      add_kind(*type, version, definitions);
      add_paths(*type, version, false, paths);
    }
  }
  Json all = Json::object();
  for (auto& [name, schema] : definitions) {
    simplify(schema);
    prefix_references(schema, "#/definitions/");
    all[name] = std::move(schema);
  }
  return {{"swagger", "2.0"},
          {"info", info()},
          {"paths", std::move(paths)},
          {"definitions", std::move(all)}};
}

Json version_3(const Types& types, std::string_view group, std::string_view version) {
  Definitions definitions;
  Json paths = Json::object();
  for (const auto& [name, type] : types.all()) {
    if (type->group != group || !type->serves(version)) continue;
    add_kind(*type, version, definitions);
    add_paths(*type, version, true, paths);
  }
  Json all = Json::object();
  for (auto& [name, schema] : definitions) {
    prefix_references(schema, "#/components/schemas/");
    all[name] = std::move(schema);
  }
  return {{"openapi", "3.0.0"},
          {"info", info()},
          {"paths", std::move(paths)},
          {"components", {{"schemas", std::move(all)}}}};
}

Json index_3(const Types& types) {
  Json paths = {{"api/v1", {{"serverRelativeURL", "/openapi/v3/api/v1"}}}};
  for (const std::string& group : types.groups()) {
    for (const std::string& version : types.versions(group)) {
      const std::string path = fmt::format("apis/{}/{}", group, version);
      paths[path] = {{"serverRelativeURL", "/openapi/v3/" + path}};
    }
  }
  return {{"paths", std::move(paths)}};
}

}  // namespace

// Documents by name: "v2", "v2 protobuf", "v3", "v3 GROUP VERSION"; "" when there is none.
const std::string& OpenApi::document(const std::string& name) {
  if (generation_ != types_.generation()) documents_.clear();
  generation_ = types_.generation();
  auto found = documents_.find(name);
  if (found != documents_.end()) return found->second;
  std::string text;
  const auto parts = split(name, ' ');
  if (name == "v2") {
    text = version_2(types_).dump();
  } else if (name == "v2 protobuf") {
    text = encode_openapi_v2(version_2(types_));
  } else if (parts.size() == 3) {
    text = version_3(types_, parts[1], parts[2]).dump();
  } else {
    text = index_3(types_).dump();
  }
  return documents_[name] = std::move(text);
}

std::optional<ApiResponse> OpenApi::answer(const ApiRequest& request) {
  const auto parts = path_segments(request.path);
  if (parts.size() < 2 || parts[0] != "openapi") return std::nullopt;
  ApiResponse response;
  if (parts[1] == "v2" && parts.size() == 2) {
    const bool protobuf = request.accept.find("openapi.spec.v2") != std::string::npos;
    if (protobuf)
      response.content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    response.body = document(protobuf ? "v2 protobuf" : "v2");
    return response;
  }
  if (parts[1] != "v3") return path_not_found();
  if (parts.size() == 2) {
    response.body = document("v3");
    return response;
  }
  const bool core = parts.size() == 4 && parts[2] == "api";
  if (!core && !(parts.size() == 5 && parts[2] == "apis")) return path_not_found();
  const std::string group = core ? "" : parts[3];
  const auto versions = types_.versions(group);
  if (std::find(versions.begin(), versions.end(), parts.back()) == versions.end()) {
    return path_not_found();
  }
  response.body = document(fmt::format("v3 {} {}", group, parts.back()));
  return response;
}

}  // namespace mizzen::local
