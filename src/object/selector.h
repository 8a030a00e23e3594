// Label selectors and field selectors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "object/json.h"
#include "object/meta.h"

namespace mizzen::object {

// All requirements must hold. The default one selects everything.
class LabelSelector {
 public:
  enum class Operator : std::uint8_t { kIn, kNotIn, kExists, kAbsent, kGreater, kLess };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;  // sorted
  };

  // The string form of the API's `labelSelector`: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
  static Result<LabelSelector> parse(std::string_view text);
  // `{matchLabels, matchExpressions}`; null selects nothing, {} everything.
  static Result<LabelSelector> from_json(const Json* selector);
  // A plain map, as a Service's `spec.selector`; an empty map selects everything.
  static LabelSelector from_map(const StringMap& labels);

  bool matches(const StringMap& labels) const;
  bool empty() const { return requirements_.empty() && !nothing_; }
  std::string to_string() const;
  const std::vector<Requirement>& requirements() const { return requirements_; }

 private:
  std::vector<Requirement> requirements_;
  bool nothing_ = false;
};

// `metadata.name=x,status.phase!=Running,spec.nodeName==n`: dotted paths against the object's
// JSON; an absent member equals the empty string, booleans and numbers compare by their text.
class FieldSelector {
 public:
  static Result<FieldSelector> parse(std::string_view text);
  bool matches(const Json& object) const;
  bool empty() const { return terms_.empty(); }

  struct Term {
    std::vector<std::string> path;
    bool equal = true;
    std::string value;
  };
  const std::vector<Term>& terms() const { return terms_; }
  // The value that `path` ("metadata.name") must equal, when there is such a term.
  const std::string* required(std::string_view path) const;

 private:
  std::vector<Term> terms_;
};

}  // namespace mizzen::object
