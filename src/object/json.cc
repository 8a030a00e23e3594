#include "object/json.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

namespace mizzen::object {
namespace {

// Builds a value and refuses duplicate keys and depth on the way; nlohmann's own parser does
// neither.
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  JsonBuilder(Json* root, int max_depth) : root_(root), max_depth_(max_depth) {}

  Error error;
  bool failed = false;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.back()->contains(name)) {
      return refuse(Code::kInvalid, fmt::format("key \"{}\" stands twice in one object", name));
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& problem) override {
    std::string_view text = problem.what();
    if (auto at = text.find(": "); at != text.npos) text.remove_prefix(at + 2);
    return refuse(Code::kInvalid, fmt::format("not JSON at byte {}: {}", position, text));
  }

 private:
  bool refuse(Code code, std::string message) {
    if (!failed) error = Error{code, Side::kInternal, false, std::move(message)};
    failed = true;
    return false;
  }
  Json* place(Json value) {
    if (stack_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    Json& top = *stack_.back();
    if (top.is_array()) {
      top.push_back(std::move(value));
      return &top.back();
    }
    return &(top[std::exchange(key_, {})] = std::move(value));
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (static_cast<int>(stack_.size()) >= max_depth_) {
      return refuse(Code::kLimit, fmt::format("nested deeper than {} levels", max_depth_));
    }
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  Json* root_;
  int max_depth_;
  std::vector<Json*> stack_;
  std::string key_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const Limits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Code::kLimit, fmt::format("larger than {} bytes", limits.max_bytes));
  }
  Json value;
  JsonBuilder builder(&value, limits.max_depth);
  bool good = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!good) {
    if (!builder.failed) return fail(Code::kInvalid, "not JSON");
    return std::unexpected(std::move(builder.error));
  }
  return value;
}

const Json* find(const Json& value, std::initializer_list<std::string_view> path) {
  const Json* at = &value;
  for (std::string_view step : path) {
    if (!at->is_object()) return nullptr;
    auto next = at->find(step);
    if (next == at->end()) return nullptr;
    at = &*next;
  }
  return at;
}

std::string string_at(const Json& value, std::initializer_list<std::string_view> path,
                      std::string_view fallback) {
  const Json* at = find(value, path);
  return at && at->is_string() ? at->get_ref<const std::string&>() : std::string(fallback);
}

std::int64_t int_at(const Json& value, std::initializer_list<std::string_view> path,
                    std::int64_t fallback) {
  const Json* at = find(value, path);
  return at && at->is_number_integer() ? at->get<std::int64_t>() : fallback;
}

bool bool_at(const Json& value, std::initializer_list<std::string_view> path, bool fallback) {
  const Json* at = find(value, path);
  return at && at->is_boolean() ? at->get<bool>() : fallback;
}

void drop_nulls(Json& value) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      if (it->is_null()) {
        it = value.erase(it);
      } else {
        drop_nulls(*it);
        ++it;
      }
    }
  } else if (value.is_array()) {
    for (Json& item : value) drop_nulls(item);
  }
}

}  // namespace mizzen::object
