// JSONPath as Kubernetes has it: https://kubernetes.io/docs/reference/kubectl/jsonpath/
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "object/json.h"

namespace mizzen::object {
namespace {

struct Filter {
  std::vector<std::string> path;  // below @
  std::string op;                 // "", ==, !=, <, <=, >, >=
  Json value;
};
struct Step {
  enum class Kind { kKey, kIndex, kSlice, kWild, kDescend, kFilter } kind = Kind::kKey;
  std::string key;
  std::vector<int> indices;
  int from = 0;
  std::optional<int> to;
  Filter filter;
};

class PathReader {
 public:
  explicit PathReader(std::string_view text) : text_(text) {}

  Result<std::vector<Step>> read() {
    if (text_.starts_with('{') && text_.ends_with('}')) text_ = text_.substr(1, text_.size() - 2);
    if (text_.starts_with('$')) ++at_;
    if (at_ < text_.size() && text_[at_] != '.' && text_[at_] != '[') MIZZEN_CHECKED(name());
    while (at_ < text_.size()) {
      if (text_.substr(at_).starts_with("..")) {
        at_ += 2;
        steps_.push_back({Step::Kind::kDescend, {}, {}, 0, {}, {}});
        if (at_ < text_.size() && text_[at_] != '[') MIZZEN_CHECKED(name());
      } else if (text_[at_] == '.') {
        if (++at_ == text_.size()) break;  // "." is the whole object
        if (text_[at_] != '[') MIZZEN_CHECKED(name());
      } else if (text_[at_] == '[') {
        MIZZEN_CHECKED(bracket());
      } else {
        return bad();
      }
    }
    return std::move(steps_);
  }

 private:
  std::unexpected<Error> bad() const {
    return fail(Code::kInvalid,
                fmt::format("cannot read JSONPath {} at column {}", text_, at_ + 1));
  }
  Status name() {
    if (text_[at_] == '*') {
      ++at_;
      steps_.push_back({Step::Kind::kWild, {}, {}, 0, {}, {}});
      return {};
    }
    std::string key;
    while (at_ < text_.size() && text_[at_] != '.' && text_[at_] != '[') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      key += text_[at_++];
    }
    if (key.empty()) return bad();
    steps_.push_back({Step::Kind::kKey, std::move(key), {}, 0, {}, {}});
    return {};
  }
  Status bracket() {
    std::size_t end = closing();
    if (end == text_.npos) return bad();
    std::string_view inner = trim(text_.substr(at_ + 1, end - at_ - 1));
    Step step;
    if (inner == "*") {
      step.kind = Step::Kind::kWild;
    } else if (inner.size() >= 2 && (inner[0] == '\'' || inner[0] == '"')) {
      step.key = inner.substr(1, inner.size() - 2);
    } else if (inner.starts_with("?(") && inner.ends_with(')')) {
      step.kind = Step::Kind::kFilter;
      if (!filter(inner.substr(2, inner.size() - 3), &step.filter)) return bad();
    } else if (auto colon = inner.find(':'); colon != inner.npos) {
      step.kind = Step::Kind::kSlice;
      step.from = parse_int<int>(inner.substr(0, colon)).value_or(0);
      step.to = parse_int<int>(inner.substr(colon + 1));
    } else {
      step.kind = Step::Kind::kIndex;
      for (std::string_view part : split(inner, ',')) {
        auto index = parse_int<int>(trim(part));
        if (!index) return bad();
        step.indices.push_back(*index);
      }
    }
    steps_.push_back(std::move(step));
    at_ = end + 1;
    return {};
  }
  std::size_t closing() const {
    char quote = 0;
    int depth = 0;
    for (std::size_t i = at_; i < text_.size(); ++i) {
      char c = text_[i];
      if (quote) {
        if (c == quote) quote = 0;
      } else if (c == '\'' || c == '"') {
        quote = c;
      } else if (c == '[') {
        ++depth;
      } else if (c == ']' && --depth == 0) {
        return i;
      }
    }
    return text_.npos;
  }
  static bool filter(std::string_view text, Filter* out) {
    text = trim(text);
    if (!text.starts_with('@')) return false;
    std::size_t op = text.find_first_of("=!<>");
    std::string_view left = trim(text.substr(1, op == text.npos ? text.npos : op - 1));
    if (left.starts_with('.')) left.remove_prefix(1);
    std::string key;
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (left[i] == '\\' && i + 1 < left.size()) {
        key += left[++i];
      } else if (left[i] == '.') {
        out->path.push_back(std::exchange(key, {}));
      } else {
        key += left[i];
      }
    }
    if (!key.empty()) out->path.push_back(std::move(key));
    if (op == text.npos) return true;
    std::size_t length = op + 1 < text.size() && text[op + 1] == '=' ? 2 : 1;
    out->op = text.substr(op, length);
    if (out->op == "=" || out->op == "!") return false;
    std::string_view right = trim(text.substr(op + length));
    if (right.size() >= 2 && (right[0] == '\'' || right[0] == '"')) {
      out->value = std::string(right.substr(1, right.size() - 2));
    } else {
      auto value = parse_json(right);
      out->value = value ? std::move(*value) : Json(std::string(right));
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Step> steps_;
};

bool passes(const Json& item, const Filter& filter) {
  const Json* at = &item;
  for (const std::string& key : filter.path) {
    if (!at->is_object()) return false;
    auto next = at->find(key);
    if (next == at->end()) return false;
    at = &*next;
  }
  if (filter.op.empty()) return true;
  if (filter.op == "==") return *at == filter.value;
  if (filter.op == "!=") return *at != filter.value;
  if (filter.op == "<") return *at < filter.value;
  if (filter.op == "<=") return *at <= filter.value;
  if (filter.op == ">") return *at > filter.value;
  return *at >= filter.value;
}

void descend(const Json& value, std::vector<const Json*>* out) {
  out->push_back(&value);
  if (value.is_structured()) {
    for (const Json& child : value) descend(child, out);
  }
}

void take(const Json& value, const Step& step, std::vector<const Json*>* out) {
  switch (step.kind) {
    case Step::Kind::kKey:
      if (value.is_object()) {
        if (auto it = value.find(step.key); it != value.end()) out->push_back(&*it);
      }
      break;
    case Step::Kind::kWild:
      if (value.is_structured()) {
        for (const Json& child : value) out->push_back(&child);
      }
      break;
    case Step::Kind::kDescend:
      descend(value, out);
      break;
    case Step::Kind::kFilter:
      if (value.is_structured()) {
        for (const Json& child : value) {
          if (passes(child, step.filter)) out->push_back(&child);
        }
      }
      break;
    case Step::Kind::kIndex:
    case Step::Kind::kSlice: {
      if (!value.is_array()) break;
      int size = static_cast<int>(value.size());
      auto wrap = [size](int i) { return i < 0 ? i + size : i; };
      if (step.kind == Step::Kind::kIndex) {
        for (int index : step.indices) {
          if (int i = wrap(index); i >= 0 && i < size) out->push_back(&value[i]);
        }
      } else {
        int to = std::min(step.to ? wrap(*step.to) : size, size);
        for (int i = std::max(wrap(step.from), 0); i < to; ++i) out->push_back(&value[i]);
      }
      break;
    }
  }
}

}  // namespace

Result<std::vector<Json>> json_path(const Json& value, std::string_view path) {
  MIZZEN_TRY(std::vector<Step> steps, PathReader(path).read());
  std::vector<const Json*> found = {&value};
  for (const Step& step : steps) {
    std::vector<const Json*> next;
    for (const Json* item : found) take(*item, step, &next);
    found = std::move(next);
  }
  std::vector<Json> out;
  out.reserve(found.size());
  for (const Json* item : found) out.push_back(*item);
  return out;
}

}  // namespace mizzen::object
