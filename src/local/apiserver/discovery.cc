// /api, /apis and /version: in the old form, resource list by resource list, and aggregated in one
// document (apidiscovery.k8s.io).
#include <fmt/core.h>

#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

struct Sub {
  std::string_view name;
  std::string_view group;
  std::string_view version;
  std::string_view kind;
  std::vector<std::string_view> verbs;
};

std::vector<Sub> subresources_of(const Type& type) {
  std::vector<Sub> subs;
  const auto get_patch = {std::string_view("get"), std::string_view("patch"),
                          std::string_view("update")};
  if (type.resource() == "pods") {
    subs.push_back({"attach", "", "v1", "PodAttachOptions", {"create", "get"}});
    subs.push_back({"binding", "", "v1", "Binding", {"create"}});
    subs.push_back({"eviction", "policy", "v1", "Eviction", {"create"}});
    subs.push_back({"exec", "", "v1", "PodExecOptions", {"create", "get"}});
    subs.push_back({"log", "", "v1", "Pod", {"get"}});
    subs.push_back({"portforward", "", "v1", "PodPortForwardOptions", {"create", "get"}});
    subs.push_back(
        {"proxy", "", "v1", "PodProxyOptions", {"create", "delete", "get", "patch", "update"}});
  }
  if (type.resource() == "services") {
    subs.push_back(
        {"proxy", "", "v1", "ServiceProxyOptions", {"create", "delete", "get", "patch", "update"}});
  }
  if (type.resource() == "serviceaccounts") {
    subs.push_back({"token", "authentication.k8s.io", "v1", "TokenRequest", {"create"}});
  }
  if (type.scale) subs.push_back({"scale", "autoscaling", "v1", "Scale", get_patch});
  if (type.status) subs.push_back({"status", type.group, "", type.kind, get_patch});
  return subs;
}

std::vector<std::string_view> verbs_of(const Type& type) {
  if (type.create_only) return {"create"};
  return {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
}

Json resource_list(const Types& types, std::string_view group, std::string_view version) {
  Json resources = Json::array();
  for (const auto& [name, type] : types.all()) {
    if (type->group != group || !type->serves(version)) continue;
    Json entry = {{"name", type->plural},
                  {"singularName", type->singular},
                  {"namespaced", type->namespaced},
                  {"kind", type->kind},
                  {"verbs", verbs_of(*type)}};
    if (!type->short_names.empty()) entry["shortNames"] = type->short_names;
    if (!type->categories.empty()) entry["categories"] = type->categories;
    resources.push_back(std::move(entry));
    for (const Sub& sub : subresources_of(*type)) {
      Json line = {{"name", fmt::format("{}/{}", type->plural, sub.name)},
                   {"singularName", ""},
                   {"namespaced", type->namespaced},
                   {"kind", sub.kind},
                   {"verbs", sub.verbs}};
      if (sub.group != type->group) {
        line["group"] = sub.group;
        line["version"] = sub.version;
      }
      resources.push_back(std::move(line));
    }
  }
  return {
      {"kind", "APIResourceList"},
      {"apiVersion", "v1"},
      {"groupVersion", group.empty() ? std::string(version) : fmt::format("{}/{}", group, version)},
      {"resources", std::move(resources)}};
}

Json group_entry(const Types& types, const std::string& group) {
  Json versions = Json::array();
  for (const auto& version : types.versions(group)) {
    versions.push_back({{"groupVersion", group + "/" + version}, {"version", version}});
  }
  Json preferred = versions.empty() ? Json::object() : versions[0];
  return {{"name", group},
          {"versions", std::move(versions)},
          {"preferredVersion", std::move(preferred)}};
}

Json kind_object(std::string_view group, std::string_view version, std::string_view kind) {
  return {{"group", group}, {"version", version}, {"kind", kind}};
}

Json aggregated_version(const Types& types, std::string_view group, const std::string& version) {
  Json resources = Json::array();
  for (const auto& [name, type] : types.all()) {
    if (type->group != group || !type->serves(version)) continue;
    Json entry = {{"resource", type->plural},
                  {"responseKind", kind_object(type->group, version, type->kind)},
                  {"scope", type->namespaced ? "Namespaced" : "Cluster"},
                  {"singularResource", type->singular},
                  {"verbs", verbs_of(*type)}};
    if (!type->short_names.empty()) entry["shortNames"] = type->short_names;
    if (!type->categories.empty()) entry["categories"] = type->categories;
    for (const Sub& sub : subresources_of(*type)) {
      entry["subresources"].push_back(
          {{"subresource", sub.name},
           {"responseKind",
            kind_object(sub.group, sub.version.empty() ? std::string_view(version) : sub.version,
                        sub.kind)},
           {"verbs", sub.verbs}});
    }
    resources.push_back(std::move(entry));
  }
  return {{"version", version}, {"freshness", "Current"}, {"resources", std::move(resources)}};
}

ApiResponse aggregated(const Types& types, const std::vector<std::string>& groups,
                       std::string_view api_version) {
  Json items = Json::array();
  for (const auto& group : groups) {
    Json metadata = {{"creationTimestamp", nullptr}};
    if (!group.empty()) metadata["name"] = group;
    Json item = {{"metadata", std::move(metadata)}, {"versions", Json::array()}};
    for (const auto& version : types.versions(group)) {
      item["versions"].push_back(aggregated_version(types, group, version));
    }
    items.push_back(std::move(item));
  }
  ApiResponse response =
      json_response({{"kind", "APIGroupDiscoveryList"},
                     {"apiVersion", fmt::format("apidiscovery.k8s.io/{}", api_version)},
                     {"metadata", Json::object()},
                     {"items", std::move(items)}});
  response.content_type = fmt::format(
      "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList", api_version);
  return response;
}

// "v2" or "v2beta1" when the client takes aggregated discovery before anything else of ours.
std::string_view aggregated_wish(std::string_view accept) {
  if (accept.find("as=APIGroupDiscoveryList") == std::string_view::npos) return {};
  if (accept.find("v=v2;") != std::string_view::npos) return "v2";
  if (accept.find("v=v2beta1") != std::string_view::npos) return "v2beta1";
  return {};
}

ApiResponse version() {
  return json_response({{"major", "1"},
                        {"minor", "32"},
                        {"gitVersion", "v1.32.0+mizzen"},
                        {"gitCommit", ""},
                        {"gitTreeState", "clean"},
                        {"buildDate", "2026-01-01T00:00:00Z"},
                        {"goVersion", ""},
                        {"compiler", "g++"},
                        {"platform", "linux/amd64"}});
}

}  // namespace

std::optional<ApiResponse> discover(const Types& types, const ApiOptions& options,
                                    const ApiRequest& request) {
  const auto parts = path_segments(request.path);
  const auto wish = aggregated_wish(request.accept);
  if (parts.empty()) {
    return json_response({{"paths",
                           {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2",
                            "/openapi/v3", "/readyz", "/version"}}});
  }
  if (parts.size() == 1) {
    if (parts[0] == "version") return version();
    if (parts[0] == "api") {
      if (!wish.empty()) return aggregated(types, {""}, wish);
      return json_response(
          {{"kind", "APIVersions"},
           {"versions", {"v1"}},
           {"serverAddressByClientCIDRs",
            {{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", options.server_address}}}}});
    }
    if (parts[0] == "apis") {
      if (!wish.empty()) return aggregated(types, types.groups(), wish);
      Json groups = Json::array();
      for (const auto& group : types.groups()) groups.push_back(group_entry(types, group));
      return json_response(
          {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}});
    }
  }
  if (parts.size() == 2 && parts[0] == "api" && parts[1] == "v1") {
    return json_response(resource_list(types, "", "v1"));
  }
  if (parts[0] != "apis" || parts.size() > 3) return std::nullopt;
  const auto versions = types.versions(parts[1]);
  if (versions.empty()) return path_not_found();
  if (parts.size() == 2) {
    Json entry = group_entry(types, parts[1]);
    entry["kind"] = "APIGroup";
    entry["apiVersion"] = "v1";
    return json_response(entry);
  }
  if (std::find(versions.begin(), versions.end(), parts[2]) == versions.end())
    return path_not_found();
  return json_response(resource_list(types, parts[1], parts[2]));
}

}  // namespace mizzen::local
