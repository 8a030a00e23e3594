// Strategic merge patch, as sig-api-machinery describes it in "strategic-merge-patch.md".
#include <fmt/format.h>

#include <algorithm>

#include "object/merge_keys.h"
#include "object/patch.h"

namespace mizzen::object {
namespace {

constexpr std::string_view kOrder = "$setElementOrder/";
constexpr std::string_view kDeleteFromList = "$deleteFromPrimitiveList/";

class Strategic {
 public:
  explicit Strategic(std::string_view kind) : kind_(kind) {}

  Status merge(Json& target, const Json& patch) {
    if (!target.is_object()) target = Json::object();
    std::string directive = string_at(patch, {"$patch"});
    if (directive == "replace" || directive == "delete") {
      target = Json::object();
      if (directive == "delete") return {};
    } else if (!directive.empty() && directive != "merge") {
      return fail(Code::kInvalid, fmt::format("unknown $patch directive \"{}\"", directive));
    }
    if (const Json* retain = find(patch, {"$retainKeys"}); retain && retain->is_array()) {
      for (auto it = target.begin(); it != target.end();) {
        bool kept = std::ranges::find(*retain, Json(it.key())) != retain->end();
        it = kept ? std::next(it) : target.erase(it);
      }
    }
    for (const auto& [key, value] : patch.items()) {
      if (key == "$patch" || key == "$retainKeys" || key.starts_with(kOrder)) continue;
      if (key.starts_with(kDeleteFromList)) {
        remove_values(target, key.substr(kDeleteFromList.size()), value);
        continue;
      }
      MIZZEN_CHECKED(member(target, key, value));
    }
    for (const auto& [key, value] : patch.items()) {
      if (key.starts_with(kOrder)) reorder(target, key.substr(kOrder.size()), value);
    }
    return {};
  }

 private:
  Status member(Json& target, const std::string& key, const Json& value) {
    if (value.is_null() || string_at(value, {"$patch"}) == "delete") {
      target.erase(key);
      return {};
    }
    path_.push_back(key);
    Status status;
    if (value.is_object()) {
      status = merge(target[key], value);
    } else if (value.is_array()) {
      status = list(target[key], value);
    } else {
      target[key] = value;
    }
    path_.pop_back();
    return status;
  }

  Status list(Json& target, const Json& patch) {
    if (!target.is_array()) target = Json::array();
    if (merges_as_set(path_)) {
      for (const Json& item : patch) {
        if (std::ranges::find(target, item) == target.end()) target.push_back(item);
      }
      return {};
    }
    auto keys = merge_keys(kind_, path_);
    if (keys.size() > 1) keys.resize(1);
    bool replace = keys.empty() || std::ranges::any_of(patch, [](const Json& item) {
                     return string_at(item, {"$patch"}) == "replace";
                   });
    if (replace) target = Json::array();
    for (const Json& item : patch) {
      std::string directive = string_at(item, {"$patch"});
      if (directive == "replace") continue;
      if (keys.empty()) {
        target.push_back(item);
        continue;
      }
      if (!item.is_object() || !item.contains(keys[0])) {
        return fail(Code::kInvalid, fmt::format("items of {} need the member \"{}\" to be merged",
                                                path_.back(), keys[0]));
      }
      int at = find_item(target, keys, item);
      if (directive == "delete") {
        if (at >= 0) target.erase(at);
        continue;
      }
      if (at < 0) {
        target.push_back(Json::object());
        at = static_cast<int>(target.size()) - 1;
      }
      MIZZEN_CHECKED(merge(target[at], item));
    }
    return {};
  }

  static void remove_values(Json& target, const std::string& key, const Json& values) {
    auto it = target.find(key);
    if (it == target.end() || !it->is_array() || !values.is_array()) return;
    Json kept = Json::array();
    for (const Json& item : *it) {
      if (std::ranges::find(values, item) == values.end()) kept.push_back(item);
    }
    *it = std::move(kept);
  }

  // Items named by `order` come in its order; the others follow in theirs.
  void reorder(Json& target, const std::string& key, const Json& order) {
    auto it = target.find(key);
    if (it == target.end() || !it->is_array() || !order.is_array()) return;
    path_.push_back(key);
    auto keys = merge_keys(kind_, path_);
    path_.pop_back();
    if (keys.size() > 1) keys.resize(1);
    Json rest = std::move(*it);
    Json sorted = Json::array();
    for (const Json& wanted : order) {
      int at = -1;
      if (wanted.is_object() && !keys.empty()) {
        at = find_item(rest, keys, wanted);
      } else if (auto found = std::ranges::find(rest, wanted); found != rest.end()) {
        at = static_cast<int>(found - rest.begin());
      }
      if (at < 0) continue;
      sorted.push_back(rest[at]);
      rest.erase(at);
    }
    for (Json& item : rest) sorted.push_back(std::move(item));
    *it = std::move(sorted);
  }

  std::string_view kind_;
  FieldPath path_;
};

}  // namespace

Status strategic_merge_patch(Json& target, const Json& patch, std::string_view kind) {
  if (!patch.is_object()) return fail(Code::kInvalid, "a strategic merge patch is an object");
  Json work = target;
  MIZZEN_CHECKED(Strategic(kind).merge(work, patch));
  target = std::move(work);
  return {};
}

}  // namespace mizzen::object
