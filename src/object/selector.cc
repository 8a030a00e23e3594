#include "object/selector.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace mizzen::object {
namespace {

using Operator = LabelSelector::Operator;
using Requirement = LabelSelector::Requirement;

// Splits at commas that stand outside parentheses.
std::vector<std::string_view> terms_of(std::string_view text) {
  std::vector<std::string_view> terms;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      terms.push_back(trim(text.substr(start, i - start)));
      start = i + 1;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    }
  }
  return terms;
}

std::unexpected<Error> bad_term(std::string_view term, std::string_view why) {
  return fail(Code::kInvalid, fmt::format("unable to parse requirement \"{}\": {}", term, why));
}

Result<Requirement> checked(Requirement requirement, std::string_view term) {
  if (auto problem = check_label_key(requirement.key); !problem.empty())
    return bad_term(term, problem);
  std::ranges::sort(requirement.values);
  bool numeric = requirement.op == Operator::kGreater || requirement.op == Operator::kLess;
  for (const std::string& value : requirement.values) {
    if (auto problem = check_label_value(value); !problem.empty()) return bad_term(term, problem);
    if (numeric && !parse_int<std::int64_t>(value)) return bad_term(term, "needs an integer");
  }
  return requirement;
}

Result<Requirement> parse_term(std::string_view term) {
  Requirement out;
  if (term.starts_with('!')) {
    out.key = trim(term.substr(1));
    out.op = Operator::kAbsent;
    return checked(std::move(out), term);
  }
  if (auto open = term.find('('); open != term.npos) {
    if (!term.ends_with(')')) return bad_term(term, "`(` without `)`");
    std::string_view head = trim(term.substr(0, open));
    auto space = head.find_last_of(" \t");
    if (space == head.npos) return bad_term(term, "write `key in (a,b)` or `key notin (a,b)`");
    std::string_view word = head.substr(space + 1);
    if (word != "in" && word != "notin") return bad_term(term, "write `in` or `notin` before `(`");
    out.op = word == "in" ? Operator::kIn : Operator::kNotIn;
    out.key = trim(head.substr(0, space));
    for (std::string_view value : split(term.substr(open + 1, term.size() - open - 2), ',')) {
      out.values.emplace_back(trim(value));
    }
    return checked(std::move(out), term);
  }
  auto at = term.find_first_of("=!<>");
  if (at == term.npos) {
    out.key = term;
    return checked(std::move(out), term);
  }
  out.key = trim(term.substr(0, at));
  std::string_view rest = term.substr(at);
  std::size_t length = rest.starts_with("==") || rest.starts_with("!=") ? 2 : 1;
  if (rest[0] == '!' && length == 1) return bad_term(term, "write `!=`");
  out.op = rest[0] == '<'   ? Operator::kLess
           : rest[0] == '>' ? Operator::kGreater
           : rest[0] == '!' ? Operator::kNotIn
                            : Operator::kIn;
  out.values.emplace_back(trim(rest.substr(length)));
  return checked(std::move(out), term);
}

bool holds(const Requirement& requirement, const StringMap& labels) {
  auto it = labels.find(requirement.key);
  bool present = it != labels.end();
  switch (requirement.op) {
    case Operator::kExists:
      return present;
    case Operator::kAbsent:
      return !present;
    case Operator::kIn:
      return present && std::ranges::binary_search(requirement.values, it->second);
    case Operator::kNotIn:
      return !present || !std::ranges::binary_search(requirement.values, it->second);
    case Operator::kGreater:
    case Operator::kLess: {
      if (!present) return false;
      auto value = parse_int<std::int64_t>(it->second);
      auto bound = parse_int<std::int64_t>(requirement.values.front());
      if (!value || !bound) return false;
      return requirement.op == Operator::kGreater ? *value > *bound : *value < *bound;
    }
  }
  return false;
}

}  // namespace

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector selector;
  if (trim(text).empty()) return selector;
  for (std::string_view term : terms_of(text)) {
    MIZZEN_TRY(Requirement requirement, parse_term(term));
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

Result<LabelSelector> LabelSelector::from_json(const Json* value) {
  LabelSelector selector;
  if (!value || value->is_null()) {
    selector.nothing_ = true;
    return selector;
  }
  selector = from_map(string_map(find(*value, {"matchLabels"})));
  const Json* expressions = find(*value, {"matchExpressions"});
  if (!expressions || !expressions->is_array()) return selector;
  for (const Json& item : *expressions) {
    Requirement requirement;
    requirement.key = string_at(item, {"key"});
    std::string op = string_at(item, {"operator"});
    if (const Json* values = find(item, {"values"}); values && values->is_array()) {
      for (const Json& one : *values) {
        if (one.is_string()) requirement.values.push_back(one.get<std::string>());
      }
    }
    if (op == "In" || op == "NotIn") {
      requirement.op = op == "In" ? Operator::kIn : Operator::kNotIn;
      if (requirement.values.empty())
        return bad_term(requirement.key, "`values` must not be empty");
    } else if (op == "Exists" || op == "DoesNotExist") {
      requirement.op = op == "Exists" ? Operator::kExists : Operator::kAbsent;
      if (!requirement.values.empty()) return bad_term(requirement.key, "`values` must be empty");
    } else {
      return bad_term(requirement.key, "operator must be In, NotIn, Exists or DoesNotExist");
    }
    const std::string key = requirement.key;
    MIZZEN_TRY(Requirement good, checked(std::move(requirement), key));
    selector.requirements_.push_back(std::move(good));
  }
  return selector;
}

LabelSelector LabelSelector::from_map(const StringMap& labels) {
  LabelSelector selector;
  for (const auto& [key, value] : labels) {
    selector.requirements_.push_back({key, Operator::kIn, {value}});
  }
  return selector;
}

bool LabelSelector::matches(const StringMap& labels) const {
  return !nothing_ &&
         std::ranges::all_of(requirements_, [&](const auto& one) { return holds(one, labels); });
}

std::string LabelSelector::to_string() const {
  std::vector<std::string> parts;
  for (const Requirement& one : requirements_) {
    bool single = one.values.size() == 1;
    switch (one.op) {
      case Operator::kExists:
        parts.push_back(one.key);
        break;
      case Operator::kAbsent:
        parts.push_back("!" + one.key);
        break;
      case Operator::kGreater:
        parts.push_back(one.key + ">" + one.values.front());
        break;
      case Operator::kLess:
        parts.push_back(one.key + "<" + one.values.front());
        break;
      case Operator::kIn:
        parts.push_back(single ? one.key + "=" + one.values.front()
                               : one.key + " in (" + join(one.values, ",") + ")");
        break;
      case Operator::kNotIn:
        parts.push_back(single ? one.key + "!=" + one.values.front()
                               : one.key + " notin (" + join(one.values, ",") + ")");
        break;
    }
  }
  return join(parts, ",");
}

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  if (trim(text).empty()) return selector;
  for (std::string_view term : split(text, ',')) {
    auto at = term.find('=');
    if (at == term.npos || at == 0) {
      return fail(Code::kInvalid,
                  fmt::format("invalid field selector \"{}\": write `path=value` or "
                              "`path!=value`",
                              term));
    }
    Term out;
    out.equal = term[at - 1] != '!';
    std::string_view path = term.substr(0, out.equal ? at : at - 1);
    std::string_view value = term.substr(at + 1);
    if (out.equal && value.starts_with('=')) value.remove_prefix(1);
    for (std::string_view part : split(trim(path), '.')) out.path.emplace_back(part);
    out.value = value;
    selector.terms_.push_back(std::move(out));
  }
  return selector;
}

bool FieldSelector::matches(const Json& object) const {
  return std::ranges::all_of(terms_, [&](const Term& term) {
    const Json* at = &object;
    for (const std::string& step : term.path) {
      if (at) at = find(*at, {step});
    }
    std::string text = !at || at->is_null() ? ""
                       : at->is_string()    ? at->get<std::string>()
                                            : at->dump();
    return (text == term.value) == term.equal;
  });
}

const std::string* FieldSelector::required(std::string_view path) const {
  for (const Term& term : terms_) {
    if (term.equal && join(term.path, ".") == path) return &term.value;
  }
  return nullptr;
}

}  // namespace mizzen::object
