#include <algorithm>

#include "control/mesh/store.h"
#include "istio/networking.pb.h"

namespace mizzen::control {

using object::Json;

namespace {

// A ProxyConfig object as fields of the mesh's own ProxyConfig.
Json fields_of(const schema::ProxyConfig& spec) {
  Json out = Json::object();
  if (spec.has_concurrency()) out["concurrency"] = spec.concurrency();
  for (const auto& [name, value] : spec.environment_variables()) out["proxyMetadata"][name] = value;
  if (spec.has_image()) out["image"] = {{"imageType", spec.image().image_type()}};
  return out;
}

}  // namespace

Json Store::proxy_config(const std::string& name_space, const Labels& labels,
                         const Json& annotation) const {
  Json out = Json::object();
  if (!mesh_.default_proxy_config.empty()) {
    if (auto parsed = object::parse_json(mesh_.default_proxy_config)) out = std::move(*parsed);
  }
  // The newest first, so that the oldest has the last word.
  std::vector<const ProxyConfigRule*> rules;
  for (const auto& [key, rule] : proxy_configs_) rules.push_back(&rule);
  std::ranges::stable_sort(rules, std::greater<>(), &ProxyConfigRule::created);
  const auto merge = [&](const std::string& owner, bool selecting) {
    for (const ProxyConfigRule* rule : rules) {
      const auto& selector = rule->spec->selector().match_labels();
      if (rule->name_space != owner || selector.empty() == selecting) continue;
      if (labels_match(Labels(selector.begin(), selector.end()), labels)) {
        out.merge_patch(fields_of(*rule->spec));
      }
    }
  };
  merge(mesh_.root_namespace, false);
  if (name_space != mesh_.root_namespace) merge(name_space, false);
  out.merge_patch(annotation);
  merge(name_space, true);
  return out;
}

}  // namespace mizzen::control
