#include "cli/dump.h"

#include <algorithm>

#include "base/strings.h"

namespace mizzen::cli {
namespace {

const Json kNull;

// Whose keys are not names of fields: fields of Envoy's API that are maps of messages, and those
// that are structs all the way down.
constexpr std::string_view kMaps[] = {"typed_per_filter_config", "typed_extension_protocol_options",
                                      "typed_filter_metadata", "named_endpoints"};
constexpr std::string_view kStructs[] = {"filter_metadata", "json_format", "static_layer"};

std::string json_name(std::string_view field) {
  std::string name;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '_' && i + 1 < field.size()) {
      const char next = field[++i];
      name += next >= 'a' && next <= 'z' ? static_cast<char>(next - 'a' + 'A') : next;
    } else {
      name += field[i];
    }
  }
  return name;
}

Json renamed(const Json& value, bool keys_stay) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(renamed(item, false));
    return out;
  }
  if (!value.is_object()) return value;
  const std::string type = text_at(value, {"@type"});
  const bool wraps = type.ends_with("TypedStruct") || type.ends_with("protobuf.Struct");
  Json out = Json::object();
  for (const auto& [key, item] : value.items()) {
    const bool free =
        std::ranges::find(kStructs, key) != std::end(kStructs) || (wraps && key == "value");
    const bool map = std::ranges::find(kMaps, key) != std::end(kMaps);
    Json& place = out[keys_stay ? key : json_name(key)];
    place = free ? item : renamed(item, map);
    // Elsewhere a message, here a struct.
    if (key == "node" && item.contains("metadata")) place["metadata"] = item["metadata"];
  }
  return out;
}

}  // namespace

Json with_json_names(const Json& message) { return renamed(message, false); }

const Json& at(const Json& value, std::initializer_list<const char*> path) {
  const Json* here = &value;
  for (const char* key : path) {
    if (!here->is_object()) return kNull;
    auto found = here->find(key);
    if (found == here->end()) return kNull;
    here = &*found;
  }
  return *here;
}

std::string text_at(const Json& value, std::initializer_list<const char*> path) {
  const Json& found = at(value, path);
  if (found.is_string()) return found.get<std::string>();
  return found.is_null() ? "" : found.dump();
}

std::string istio_config_of(const Json& resource) {
  std::string path = text_at(resource, {"metadata", "filter_metadata", "istio", "config"});
  auto parts = split(path, '/');  // .../namespaces/NS/KIND/NAME
  if (parts.size() < 4) return "";
  return std::string(parts[parts.size() - 1]) + "." + std::string(parts[parts.size() - 3]);
}

Result<Dump> Dump::parse(std::string_view text) {
  Json dump = Json::parse(text, nullptr, false);
  if (!dump.is_object() || !at(dump, {"configs"}).is_array()) {
    return fail(Code::kProtocol, "the proxy's config_dump is not what it should be");
  }
  return Dump(std::move(dump["configs"]));
}

const Json* Dump::section(std::string_view type) const {
  for (const Json& config : sections_) {
    if (text_at(config, {"@type"}).ends_with(std::string(".") + std::string(type))) return &config;
  }
  return nullptr;
}

std::vector<Json> Dump::collect(std::string_view type, std::string_view list,
                                std::string_view state, std::string_view resource) const {
  std::vector<Json> out;
  const Json* found = section(type);
  if (found == nullptr) return out;
  for (const char* kind : {"static_", "dynamic_"}) {
    // Clusters and secrets have "dynamic_active_" lists, the others "dynamic_".
    for (const std::string& key :
         {kind + std::string(list), kind + ("active_" + std::string(list))}) {
      const Json& entries = at(*found, {key.c_str()});
      if (!entries.is_array()) continue;
      for (const Json& entry : entries) {
        std::string state_key(state);
        const Json& holder = state.empty() || !entry.contains(state_key) ? entry : entry[state_key];
        const Json& value = at(holder, {std::string(resource).c_str()});
        if (value.is_object()) out.push_back(value);
      }
    }
  }
  return out;
}

std::vector<Json> Dump::listeners() const {
  return collect("ListenersConfigDump", "listeners", "active_state", "listener");
}
std::vector<Json> Dump::clusters() const {
  return collect("ClustersConfigDump", "clusters", "", "cluster");
}
std::vector<Json> Dump::routes() const {
  return collect("RoutesConfigDump", "route_configs", "", "route_config");
}
std::vector<Json> Dump::endpoints() const {
  return collect("EndpointsConfigDump", "endpoint_configs", "", "endpoint_config");
}

std::vector<Json> Dump::secrets() const {
  std::vector<Json> out;
  const Json* found = section("SecretsConfigDump");
  if (found == nullptr) return out;
  constexpr std::pair<const char*, const char*> kLists[] = {{"static_secrets", "ACTIVE"},
                                                            {"dynamic_active_secrets", "ACTIVE"},
                                                            {"dynamic_warming_secrets", "WARMING"}};
  for (auto [list, state] : kLists) {
    for (const Json& entry : at(*found, {list})) {
      out.push_back(entry);
      out.back()["state"] = state;
    }
  }
  return out;
}

Json Dump::bootstrap() const {
  const Json* found = section("BootstrapConfigDump");
  return found == nullptr ? Json() : *found;
}

}  // namespace mizzen::cli
