#include "config/kinds.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "config/kind_tables.h"
#include "object/field_error.h"

namespace mizzen::config {
namespace {

const google::protobuf::Descriptor* descriptor_of(const std::string& name) {
  return google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
      "mizzen.schema." + name);
}

std::vector<Kind> build_kinds() {
  std::vector<Kind> all;
  for (const KindRow& row : istio_kinds()) all.push_back(row.kind);
  std::size_t custom = all.size();
  for (const KindRow& row : kubernetes_kinds()) all.push_back(row.kind);
  std::size_t i = 0;
  for (const KindRow& row : istio_kinds()) all[i++].descriptor = descriptor_of(row.message);
  for (const KindRow& row : kubernetes_kinds()) all[i++].descriptor = descriptor_of(row.message);
  for (i = 0; i < custom; ++i) {
    all[i].custom = true;
    all[i].status = true;
  }
  return all;
}

}  // namespace

bool Kind::serves(std::string_view version) const {
  return std::ranges::find(versions, version) != versions.end();
}

std::span<const Kind> kinds() {
  static const std::vector<Kind> all = build_kinds();
  return all;
}

const Kind* find_kind(std::string_view group, std::string_view name) {
  for (const Kind& kind : kinds()) {
    if (kind.group == group && kind.kind == name) return &kind;
  }
  return nullptr;
}

const Kind* find_resource(std::string_view group, std::string_view plural) {
  for (const Kind& kind : kinds()) {
    if (kind.group == group && kind.plural == plural) return &kind;
  }
  return nullptr;
}

const Kind* find_by_any_name(std::string_view name) {
  std::string word = lower(name);
  std::string_view plain = word;
  std::string_view group;
  bool with_group = false;
  if (auto dot = plain.find('.'); dot != plain.npos) {
    group = plain.substr(dot + 1);
    plain = plain.substr(0, dot);
    with_group = true;
  }
  // Kubernetes' own kinds win a name that both have.
  const Kind* found = nullptr;
  for (const Kind& kind : kinds()) {
    if (with_group && kind.group != group) continue;
    bool named = kind.plural == plain || kind.singular == plain ||
                 std::ranges::find(kind.short_names, plain) != kind.short_names.end();
    if (named && (!found || found->custom)) found = &kind;
  }
  return found;
}

Result<const Kind*> kind_for(const object::Json& object) {
  MIZZEN_TRY(object::GroupVersionKind name, object::kind_of(object));
  const Kind* kind = find_kind(name.group, name.kind);
  if (kind && kind->serves(name.version)) return kind;
  if (kind) {
    return fail(
        Code::kNotFound,
        fmt::format(
            "{} is not served in version {}: write apiVersion: {}", name.kind, name.version,
            object::GroupVersion{name.group, std::string(kind->storage_version())}.to_string()));
  }
  for (const Kind& other : kinds()) {
    if (lower(other.kind) != lower(name.kind)) continue;
    return fail(Code::kNotFound,
                fmt::format("no kind \"{}\" in {}: did you mean {} of apiVersion {}?", name.kind,
                            name.api_version(), other.kind,
                            object::GroupVersion{std::string(other.group),
                                                 std::string(other.storage_version())}
                                .to_string()));
  }
  return fail(Code::kNotFound,
              fmt::format("no kind \"{}\" in apiVersion {}", name.kind, name.api_version()));
}

}  // namespace mizzen::config
