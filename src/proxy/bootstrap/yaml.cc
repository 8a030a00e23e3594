#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/strings.h"
#include "proxy/bootstrap/bootstrap.h"

namespace mizzen::proxy {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = 16U << 20;
constexpr std::size_t kMaxNodes = 1'000'000;
constexpr int kMaxDepth = 64;

json scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  // "!" marks a quoted scalar, "?" a plain one.
  if (node.Tag() == "!") return text;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    return nullptr;
  }
  if (auto number = parse_int<std::int64_t>(text)) return *number;
  if (auto number = parse_int<std::uint64_t>(text)) return *number;
  bool numeric = text.find_first_not_of("0123456789.eE+-") == std::string::npos &&
                 text.find_first_of("0123456789") != std::string::npos;
  if (numeric) {
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return value;
  }
  return text;
}

// Counts documents that hold something. YAML::LoadAll would never return from a comma outside of
// all brackets: to it that is an empty document, again and again.
class Documents : public YAML::EventHandler {
 public:
  static Result<int> count(const std::string& text) {
    std::istringstream in(text);
    YAML::Parser parser(in);
    Documents seen;
    while (parser.HandleNextDocument(seen)) {
      if (seen.stuck_) return fail(Code::kInvalid, "a comma that separates nothing");
    }
    return seen.filled_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    stuck_ = mark.pos == started_at_;
    started_at_ = mark.pos;
    empty_ = true;
  }
  void OnDocumentEnd() override {
    if (!empty_) ++filled_;
  }
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { empty_ = false; }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {
    empty_ = false;
  }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    empty_ = false;
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    empty_ = false;
  }
  void OnMapEnd() override {}

 private:
  int started_at_ = -1;
  int filled_ = 0;
  bool stuck_ = false;
  bool empty_ = true;
};

Result<json> convert(const YAML::Node& node, int depth, std::size_t& nodes) {
  if (depth > kMaxDepth || ++nodes > kMaxNodes) {
    return fail(Code::kLimit, "the YAML is too deep or has too many nodes");
  }
  if (node.IsNull() || !node.IsDefined()) return json(nullptr);
  if (node.IsScalar()) return scalar(node);
  if (node.IsSequence()) {
    json list = json::array();
    for (const auto& item : node) {
      MIZZEN_TRY(auto value, convert(item, depth + 1, nodes));
      list.push_back(std::move(value));
    }
    return list;
  }
  json object = json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return fail(Code::kInvalid, "a YAML key that is not a scalar");
    MIZZEN_TRY(auto value, convert(entry.second, depth + 1, nodes));
    object[entry.first.Scalar()] = std::move(value);
  }
  return object;
}

}  // namespace

Result<json> read_yaml(std::string_view text) {
  if (text.size() > kMaxBytes) return fail(Code::kLimit, "YAML of more than 16 MiB");
  // yaml-cpp throws: turned into an error here.
  try {
    const std::string whole(text);
    MIZZEN_TRY(const int documents, Documents::count(whole));
    if (documents != 1) {
      return fail(Code::kInvalid, "expected one YAML document, found " + std::to_string(documents));
    }
    std::size_t nodes = 0;
    return convert(YAML::Load(whole), 0, nodes);
  } catch (const YAML::Exception& problem) {
    return fail(Code::kInvalid, problem.what());
  }
}

}  // namespace mizzen::proxy
