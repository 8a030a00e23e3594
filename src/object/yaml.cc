#include "object/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <sstream>

#include "base/strings.h"
#include "object/yaml_scalar.h"

namespace mizzen::object {
namespace {

// Thrown and caught within this file: yaml-cpp's events cannot return an error.
struct Refusal {
  Error error;
};

[[noreturn]] void refuse(const YAML::Mark& mark, Code code, std::string_view why) {
  throw Refusal{{code, Side::kInternal, false, fmt::format("line {}: {}", mark.line + 1, why)}};
}

class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const Limits& limits) : limits_(limits) {}

  std::vector<YamlDocument> take() { return std::move(documents_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    // To yaml-cpp a comma outside of all brackets is an empty document, again and again.
    if (mark.pos == started_at_) refuse(mark, Code::kInvalid, "a comma that separates nothing");
    started_at_ = mark.pos;
    stack_.clear();
    anchors_.clear();
    root_ = Json();
    line_ = 0;
  }
  void OnDocumentEnd() override {
    if (root_.is_null()) return;
    if (documents_.size() >= limits_.max_documents) {
      throw Refusal{{Code::kLimit, Side::kInternal, false,
                     fmt::format("more than {} documents", limits_.max_documents)}};
    }
    documents_.push_back({std::move(root_), line_});
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    scalar(mark, nullptr, "", anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto it = anchors_.find(anchor);
    if (it == anchors_.end()) refuse(mark, Code::kInvalid, "an alias inside its own anchor");
    charge(mark, it->second.size);
    put(mark, it->second.value, "");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    // yaml-cpp lets through what JSON may not hold.
    if (!is_utf8(text)) refuse(mark, Code::kInvalid, "holds bytes that are not UTF-8");
    Json value;
    if (tag == "?" || tag.empty()) {
      value = plain_scalar(text);
    } else if (tag == "!" || tag == "tag:yaml.org,2002:str") {
      value = text;
    } else if (tag.starts_with("tag:yaml.org,2002:")) {
      value = tag.ends_with(":binary") ? Json(text) : plain_scalar(text);
    } else {
      refuse(mark, Code::kUnsupported, fmt::format("the tag {} is not known: remove it", tag));
    }
    scalar(mark, std::move(value), text, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, Json::array(), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, Json::object(), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Json value;
    std::string key;
    bool has_key = false;
    YAML::anchor_t anchor = 0;
    std::size_t charged_before = 0;
    YAML::Mark mark;
    Json merged;  // what `<<` brought
  };
  struct Anchored {
    Json value;
    std::size_t size = 1;
  };

  // Counts what the document expands to, so that aliases cannot blow it up.
  void charge(const YAML::Mark& mark, std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > limits_.max_bytes / 8)
      refuse(mark, Code::kLimit, "too large when its aliases are expanded");
  }
  void open(const YAML::Mark& mark, Json value, YAML::anchor_t anchor) {
    charge(mark, 1);
    if (line_ == 0) line_ = mark.line + 1;
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      refuse(mark, Code::kLimit, fmt::format("nested deeper than {} levels", limits_.max_depth));
    }
    if (!stack_.empty() && stack_.back().value.is_object() && !stack_.back().has_key) {
      refuse(mark, Code::kInvalid, "a key must be plain text");
    }
    stack_.push_back({std::move(value), {}, false, anchor, nodes_ - 1, mark, {}});
  }
  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.merged.is_object()) {
      for (auto& [key, value] : frame.merged.items()) {
        if (!frame.value.contains(key)) frame.value[key] = value;
      }
    }
    if (frame.anchor) anchors_[frame.anchor] = {frame.value, nodes_ - frame.charged_before};
    put(frame.mark, std::move(frame.value), "");
  }
  void scalar(const YAML::Mark& mark, Json value, const std::string& text, YAML::anchor_t anchor) {
    charge(mark, 1);
    if (line_ == 0) line_ = mark.line + 1;
    if (anchor) anchors_[anchor] = {value, 1};
    put(mark, std::move(value), text);
  }
  void put(const YAML::Mark& mark, Json value, const std::string& text) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& top = stack_.back();
    if (top.value.is_array()) {
      top.value.push_back(std::move(value));
    } else if (!top.has_key) {
      if (value.is_structured()) refuse(mark, Code::kInvalid, "a key must be plain text");
      top.key = value.is_string() ? value.get<std::string>() : text;
      if (top.value.contains(top.key)) {
        refuse(mark, Code::kInvalid, fmt::format("key \"{}\" stands twice in one object", top.key));
      }
      top.has_key = true;
    } else {
      top.has_key = false;
      if (top.key == "<<" && value.is_structured()) return merge(mark, top, value);
      top.value[std::move(top.key)] = std::move(value);
    }
  }
  static void merge(const YAML::Mark& mark, Frame& top, const Json& value) {
    if (!top.merged.is_object()) top.merged = Json::object();
    const Json list = value.is_array() ? value : Json::array({value});
    for (const Json& map : list) {
      if (!map.is_object())
        refuse(mark, Code::kInvalid, "`<<` takes an object or a list of objects");
      for (const auto& [key, item] : map.items()) {
        if (!top.merged.contains(key)) top.merged[key] = item;
      }
    }
  }

  const Limits& limits_;
  std::vector<YamlDocument> documents_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  Json root_;
  int line_ = 0;
  int started_at_ = -1;  // offset of the document being read
  std::size_t nodes_ = 0;
};

}  // namespace

Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, const Limits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Code::kLimit, fmt::format("larger than {} bytes", limits.max_bytes));
  }
  if (text.find('\0') != text.npos) return fail(Code::kInvalid, "holds a NUL byte: not YAML");
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    Builder builder(limits);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (Refusal& refusal) {
    return std::unexpected(std::move(refusal.error));
  } catch (const YAML::Exception& problem) {
    return fail(Code::kInvalid, fmt::format("line {}: {}", problem.mark.line + 1, problem.msg));
  }
}

Result<std::vector<YamlDocument>> parse_manifest(std::string_view text, const Limits& limits) {
  MIZZEN_TRY(std::vector<YamlDocument> documents, parse_yaml(text, limits));
  std::vector<YamlDocument> out;
  for (YamlDocument& document : documents) {
    const Json* items = find(document.value, {"items"});
    if (string_at(document.value, {"kind"}) != "List" || !items || !items->is_array()) {
      out.push_back(std::move(document));
      continue;
    }
    for (const Json& item : *items) out.push_back({item, document.line});
  }
  return out;
}

}  // namespace mizzen::object
