#include "object/merge_keys.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mizzen::object {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;
constexpr std::array kKeys = std::to_array<Entry>({
    {"containers", "name"},
    {"initContainers", "name"},
    {"ephemeralContainers", "name"},
    {"volumes", "name"},
    {"volumeMounts", "mountPath"},
    {"volumeDevices", "devicePath"},
    {"env", "name"},
    {"imagePullSecrets", "name"},
    {"hostAliases", "ip"},
    {"topologySpreadConstraints", "topologyKey"},
    {"ownerReferences", "uid"},
    {"conditions", "type"},
    {"podIPs", "ip"},
    {"hostIPs", "ip"},
    {"secrets", "name"},
    {"schedulingGates", "name"},
    {"resourceClaims", "name"},
    {"webhooks", "name"},
    {"addresses", "type"},
    {"taints", "key"},
});

Json key_of_item(const Json& item, std::string_view key) {
  if (const Json* value = find(item, {key})) return *value;
  return key == "protocol" ? Json("TCP") : Json();
}

}  // namespace

std::vector<std::string_view> merge_keys(std::string_view kind, const FieldPath& path) {
  if (path.empty()) return {};
  const std::string& name = path.back();
  if (name == "ports") {
    bool container = path.size() > 1 && path[path.size() - 2].ends_with("ontainers");
    if (container) return {"containerPort", "protocol"};
    if (kind == "Service" && path.size() == 2) return {"port", "protocol"};
    return {};
  }
  // EndpointSlice and Endpoints have lists of the same names that are replaced whole.
  if (kind.starts_with("Endpoint") && name != "ownerReferences") return {};
  auto entry = std::ranges::find(kKeys, std::string_view(name), &Entry::first);
  return entry == kKeys.end() ? std::vector<std::string_view>{}
                              : std::vector<std::string_view>{entry->second};
}

bool merges_as_set(const FieldPath& path) {
  return path.size() == 2 && path[0] == "metadata" && path[1] == "finalizers";
}

int find_item(const Json& list, const std::vector<std::string_view>& keys, const Json& like) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    bool same = list[i].is_object() && std::ranges::all_of(keys, [&](std::string_view key) {
                  return key_of_item(list[i], key) == key_of_item(like, key);
                });
    if (same) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace mizzen::object
