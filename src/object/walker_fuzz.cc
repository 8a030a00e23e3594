// Any bytes as JSON, YAML, a patch, a Kubernetes protobuf body or a selector: no crash, no hang.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "object/json.h"
#include "object/meta.h"
#include "object/patch.h"
#include "object/selector.h"
#include "object/walker.h"
#include "object/yaml.h"

using namespace mizzen::object;  // NOLINT: one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)open_kubernetes_protobuf(text);
  (void)LabelSelector::parse(text);
  (void)FieldSelector::parse(text);
  (void)parse_time(text);
  std::int64_t number = 0;
  (void)parse_go_duration(text, &number);
  (void)parse_quantity(text, &number);
  (void)parse_json(text);
  auto documents = parse_yaml(text, {.max_bytes = 1 << 16, .max_depth = 32, .max_documents = 16});
  if (!documents || documents->size() < 2) return 0;
  auto again = parse_yaml(to_yaml((*documents)[0].value));
  Json target = (*documents)[0].value;
  const Json& patch = (*documents)[1].value;
  (void)json_patch(target, patch);
  (void)strategic_merge_patch(target, patch, "Pod");
  (void)apply_patch(target, patch, "fuzz", true, "2026-01-01T00:00:00Z");
  return 0;
}
