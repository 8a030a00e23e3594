// Server-side apply. Field sets are kept as Kubernetes' FieldsV1: "f:name" for members,
// "k:{...}" for items of keyed lists, {} for leaves.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "object/kind.h"
#include "object/merge_keys.h"
#include "object/patch.h"

namespace mizzen::object {
namespace {

class Apply {
 public:
  explicit Apply(std::string_view kind) : kind_(kind) {}

  // The fields that `value` sets.
  Json field_set(const Json& value) {
    Json set = Json::object();
    if (value.is_object()) {
      for (const auto& [key, item] : value.items()) {
        if (path_.empty() && (key == "apiVersion" || key == "kind")) continue;
        bool identity = path_ == FieldPath{"metadata"} && (key == "name" || key == "namespace");
        if (identity || (path_ == FieldPath{"metadata"} && key == "managedFields")) continue;
        path_.push_back(key);
        Json below = field_set(item);
        // An object of which nothing is owned (only a name, say) is not owned itself.
        if (!below.empty() || !item.is_object() || item.empty()) set["f:" + key] = std::move(below);
        path_.pop_back();
      }
    } else if (value.is_array()) {
      auto keys = merge_keys(kind_, path_);
      for (const Json& item : value) {
        if (keys.empty() || !item.is_object()) continue;
        Json one = field_set(item);
        one["."] = Json::object();
        set["k:" + item_key(item, keys).dump()] = std::move(one);
      }
    }
    return set;
  }

  void merge(Json& target, const Json& applied) {
    if (applied.is_object()) {
      if (!target.is_object()) target = Json::object();
      for (const auto& [key, item] : applied.items()) {
        if (path_ == FieldPath{"metadata"} && key == "managedFields") continue;
        path_.push_back(key);
        merge(target[key], item);
        path_.pop_back();
      }
      return;
    }
    auto keys = applied.is_array() ? merge_keys(kind_, path_) : std::vector<std::string_view>{};
    if (keys.empty() || !target.is_array()) {
      target = applied;
      return;
    }
    for (const Json& item : applied) {
      int at = find_item(target, keys, item);
      if (at < 0) {
        target.push_back(item);
      } else {
        merge(target[at], item);
      }
    }
  }

  // Paths where `theirs` owns a leaf that `applied` would change.
  void conflicts(const Json& target, const Json& applied, const Json& theirs, std::string where,
                 std::vector<std::string>* out) {
    for (const auto& [step, below] : theirs.items()) {
      const Json* now = step_into(target, step);
      const Json* next = step_into(applied, step);
      if (!next || step == ".") continue;
      std::string path =
          where + (step.starts_with("f:") ? "." + step.substr(2) : "[" + step.substr(2) + "]");
      if (below.empty()) {
        if (!now || *now != *next) out->push_back(path);
      } else if (now) {
        conflicts(*now, *next, below, path, out);
      }
    }
  }

  // Takes away what `before` had, and neither `after` nor any of `others` has.
  void prune(Json& target, const Json& before, const Json& after,
             const std::vector<const Json*>& others) {
    for (const auto& [step, below] : before.items()) {
      if (step == ".") continue;
      auto* now = const_cast<Json*>(step_into(target, step));
      if (!now) continue;
      std::vector<const Json*> deeper;
      for (const Json* other : others) {
        if (auto it = other->find(step); it != other->end()) deeper.push_back(&*it);
      }
      auto kept = after.find(step);
      if (kept == after.end() && deeper.empty()) {
        erase(target, step, *now);
      } else {
        prune(*now, below, kept == after.end() ? Json::object() : *kept, deeper);
      }
    }
  }

  // `theirs` without the leaves that `mine` has.
  static void subtract(Json& theirs, const Json& mine) {
    for (auto it = theirs.begin(); it != theirs.end();) {
      auto same = mine.find(it.key());
      if (same == mine.end()) {
        ++it;
        continue;
      }
      bool leaf = it->empty();
      if (!leaf) subtract(*it, *same);
      it = it->empty() ? theirs.erase(it) : std::next(it);
    }
  }

 private:
  static Json item_key(const Json& item, const std::vector<std::string_view>& keys) {
    Json out = Json::object();
    for (std::string_view key : keys) {
      const Json* value = find(item, {key});
      out[std::string(key)] = value ? *value : key == "protocol" ? Json("TCP") : Json();
    }
    return out;
  }
  static const Json* step_into(const Json& value, const std::string& step) {
    if (step.starts_with("f:")) return find(value, {step.substr(2)});
    if (!step.starts_with("k:") || !value.is_array()) return nullptr;
    auto like = parse_json(std::string_view(step).substr(2));
    if (!like || !like->is_object()) return nullptr;
    std::vector<std::string_view> keys;
    for (const auto& item : like->items()) keys.push_back(item.key());
    int at = find_item(value, keys, *like);
    return at < 0 ? nullptr : &value[at];
  }
  static void erase(Json& target, const std::string& step, const Json& item) {
    if (target.is_object()) {
      target.erase(step.substr(2));
      return;
    }
    for (std::size_t i = 0; i < target.size(); ++i) {
      if (&target[i] == &item) {
        target.erase(i);
        return;
      }
    }
  }

  std::string_view kind_;
  FieldPath path_;
};

}  // namespace

Status apply_patch(Json& target, const Json& applied, std::string_view manager, bool force,
                   std::string_view now) {
  if (!applied.is_object()) return fail(Code::kInvalid, "an applied configuration is an object");
  MIZZEN_TRY(GroupVersionKind kind, kind_of(applied));
  Apply apply(kind.kind);
  Json mine = apply.field_set(applied);
  Json entries = Json::array();
  if (const Json* old = find(target, {"metadata", "managedFields"}); old && old->is_array()) {
    entries = *old;
  }
  Json before = Json::object();
  std::vector<Json> others;
  std::vector<std::string> clashes;
  for (auto it = entries.begin(); it != entries.end();) {
    const Json* fields = find(*it, {"fieldsV1"});
    if (string_at(*it, {"operation"}) == "Apply" && string_at(*it, {"manager"}) == manager) {
      if (fields) before = *fields;
      it = entries.erase(it);
      continue;
    }
    if (fields && fields->is_object()) {
      std::vector<std::string> paths;
      apply.conflicts(target, applied, *fields, "", &paths);
      for (const std::string& path : paths) {
        clashes.push_back(
            fmt::format("conflict with \"{}\": {}", string_at(*it, {"manager"}), path));
      }
      if (!paths.empty()) Apply::subtract((*it)["fieldsV1"], mine);
      others.push_back((*it)["fieldsV1"]);
    }
    ++it;
  }
  if (!clashes.empty() && !force) {
    return fail(Code::kConflict, fmt::format("Apply failed with {} conflict{}: {}", clashes.size(),
                                             clashes.size() == 1 ? "" : "s", join(clashes, "; ")));
  }
  std::vector<const Json*> other_sets;
  for (const Json& other : others) other_sets.push_back(&other);
  apply.prune(target, before, mine, other_sets);
  apply.merge(target, applied);
  drop_nulls(target);
  std::erase_if(entries.get_ref<Json::array_t&>(), [](const Json& entry) {
    const Json* fields = find(entry, {"fieldsV1"});
    return fields && fields->empty();
  });
  entries.push_back({{"manager", std::string(manager)},
                     {"operation", "Apply"},
                     {"apiVersion", kind.api_version()},
                     {"time", std::string(now)},
                     {"fieldsType", "FieldsV1"},
                     {"fieldsV1", std::move(mine)}});
  target["metadata"]["managedFields"] = std::move(entries);
  return {};
}

}  // namespace mizzen::object
