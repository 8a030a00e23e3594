#include "object/patch.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::object {
namespace {

// RFC 6901 in steps; false when it does not start with a slash.
bool pointer_steps(std::string_view pointer, std::vector<std::string>* steps) {
  if (pointer.empty()) return true;
  if (pointer[0] != '/') return false;
  for (std::string_view part : split(pointer.substr(1), '/')) {
    std::string step;
    for (std::size_t i = 0; i < part.size(); ++i) {
      bool escape = part[i] == '~' && i + 1 < part.size();
      step += escape ? (part[++i] == '0' ? '~' : '/') : part[i];
    }
    steps->push_back(std::move(step));
  }
  return true;
}

Json* child(Json& parent, const std::string& step) {
  if (parent.is_object()) {
    auto it = parent.find(step);
    return it == parent.end() ? nullptr : &*it;
  }
  auto index = parse_int<std::size_t>(step);
  if (!parent.is_array() || !index || *index >= parent.size()) return nullptr;
  return &parent[*index];
}

class JsonPatch {
 public:
  explicit JsonPatch(Json& document) : document_(document) {}

  Status run(const Json& operation) {
    std::string op = string_at(operation, {"op"});
    std::string path = string_at(operation, {"path"});
    const Json* value = find(operation, {"value"});
    bool needs_value = op == "add" || op == "replace" || op == "test";
    if (needs_value && !value)
      return fail(Code::kInvalid, fmt::format("{} {}: `value` is missing", op, path));
    if (op == "add") return add(path, *value);
    if (op == "remove") return remove(path, nullptr);
    if (op == "replace") {
      Json* at = nullptr;
      MIZZEN_CHECKED(locate(path, &at));
      *at = *value;
      return {};
    }
    if (op == "test") {
      Json* at = nullptr;
      if (!locate(path, &at) || *at != *value) {
        return fail(Code::kConflict,
                    fmt::format("test failed: {} does not hold {}", path, value->dump()));
      }
      return {};
    }
    if (op == "move" || op == "copy") {
      std::string from = string_at(operation, {"from"});
      Json moved;
      if (op == "move") {
        if (path.starts_with(from + "/"))
          return fail(Code::kInvalid, "cannot move a value into itself");
        MIZZEN_CHECKED(remove(from, &moved));
      } else {
        Json* at = nullptr;
        MIZZEN_CHECKED(locate(from, &at));
        moved = *at;
      }
      return add(path, moved);
    }
    return fail(Code::kInvalid, fmt::format("unknown JSON patch operation \"{}\"", op));
  }

 private:
  Status locate(const std::string& path, Json** out) {
    std::vector<std::string> steps;
    if (!pointer_steps(path, &steps)) return bad(path, "must start with /");
    Json* at = &document_;
    for (const std::string& step : steps) {
      at = child(*at, step);
      if (!at) return bad(path, "does not exist");
    }
    *out = at;
    return {};
  }
  Status parent_of(const std::string& path, Json** parent, std::string* last) {
    std::vector<std::string> steps;
    if (!pointer_steps(path, &steps) || steps.empty()) return bad(path, "is not a member's path");
    *last = std::move(steps.back());
    Json* at = &document_;
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
      at = child(*at, steps[i]);
      if (!at) return bad(path, "has no parent: add that first");
    }
    *parent = at;
    return {};
  }
  Status add(const std::string& path, const Json& value) {
    if (path.empty()) {
      document_ = value;
      return {};
    }
    Json* parent = nullptr;
    std::string last;
    MIZZEN_CHECKED(parent_of(path, &parent, &last));
    if (parent->is_object()) {
      (*parent)[last] = value;
      return {};
    }
    if (!parent->is_array()) return bad(path, "has a parent that holds no members");
    auto index =
        last == "-" ? parent->size() : parse_int<std::size_t>(last).value_or(parent->size() + 1);
    if (index > parent->size()) return bad(path, "is beyond the end of the list");
    parent->insert(parent->begin() + static_cast<std::ptrdiff_t>(index), value);
    return {};
  }
  Status remove(const std::string& path, Json* removed) {
    Json* parent = nullptr;
    std::string last;
    MIZZEN_CHECKED(parent_of(path, &parent, &last));
    Json* at = child(*parent, last);
    if (!at) return bad(path, "does not exist");
    if (removed) *removed = *at;
    if (parent->is_object()) {
      parent->erase(last);
    } else {
      parent->erase(*parse_int<std::size_t>(last));
    }
    return {};
  }
  static Status bad(const std::string& path, std::string_view why) {
    return fail(Code::kInvalid, fmt::format("path \"{}\" {}", path, why));
  }

  Json& document_;
};

}  // namespace

void merge_patch(Json& target, const Json& patch) { target.merge_patch(patch); }

Status json_patch(Json& target, const Json& patch) {
  constexpr std::size_t kMaxOperations = 10000;  // as the Kubernetes API server
  if (!patch.is_array()) return fail(Code::kInvalid, "a JSON patch is a list of operations");
  if (patch.size() > kMaxOperations) {
    return fail(Code::kLimit, fmt::format("more than {} operations", kMaxOperations));
  }
  Json work = target;
  JsonPatch document(work);
  for (const Json& operation : patch) MIZZEN_CHECKED(document.run(operation));
  target = std::move(work);
  return {};
}

Json diff_merge(const Json& from, const Json& to) {
  if (!from.is_object() || !to.is_object()) return to;
  Json patch = Json::object();
  for (const auto& [key, value] : from.items()) {
    if (!to.contains(key)) patch[key] = nullptr;
  }
  for (const auto& [key, value] : to.items()) {
    auto it = from.find(key);
    if (it == from.end()) {
      patch[key] = value;
    } else if (*it != value) {
      patch[key] = diff_merge(*it, value);
    }
  }
  return patch;
}

}  // namespace mizzen::object
