#include "cases.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::conformance {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<char> unescape(std::string_view text, std::size_t& at) {
  switch (text[at]) {
    case 'r':
      return '\r';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '0':
      return '\0';
    case '\\':
    case '"':
      return text[at];
    case 'x': {
      if (at + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[at + 1]);
      const int low = hex_digit(text[at + 2]);
      at += 2;
      if (high < 0 || low < 0) return std::nullopt;
      return static_cast<char>(high * 16 + low);
    }
    default:
      return std::nullopt;
  }
}

// All quoted texts of a line's value.
Result<std::vector<std::string>> quoted(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == ' ') continue;
    if (text[at] != '"') return fail(Code::kInvalid, "a quote is missing");
    std::string& one = out.emplace_back();
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] != '\\') {
        one += text[at];
        continue;
      }
      if (++at >= text.size()) return fail(Code::kInvalid, "a text without end");
      auto c = unescape(text, at);
      if (!c) return fail(Code::kInvalid, "an unknown escape");
      one += *c;
    }
    if (at >= text.size()) return fail(Code::kInvalid, "a text without end");
  }
  return out;
}

Result<std::string> repeated(std::string_view value) {
  const std::size_t space = value.find(' ');
  auto count = parse_int<std::size_t>(value.substr(0, space));
  if (!count || space == std::string_view::npos) return fail(Code::kInvalid, "no count");
  MIZZEN_TRY(auto texts, quoted(value.substr(space)));
  if (texts.size() != 1) return fail(Code::kInvalid, "one text is wanted");
  std::string out;
  for (std::size_t i = 0; i < *count; ++i) out += texts[0];
  return out;
}

Status take_verdict(std::string_view value, Case& to) {
  if (value == "forward") return {};
  if (value == "reset") {
    to.reset = to.refused = true;
    return {};
  }
  auto status = parse_int<int>(value);
  if (!status) return fail(Code::kInvalid, "the verdict is none");
  to.status = *status;
  to.refused = true;
  return {};
}

Status take_texts(std::string_view key, std::string_view value, Case& to) {
  MIZZEN_TRY(auto texts, quoted(value));
  const std::size_t wanted = key == "h2" ? 3 : key == "field" || key == "trailer" ? 2 : 1;
  if (texts.size() != wanted) return fail(Code::kInvalid, fmt::format("{} texts", wanted));
  if (key == "send") {
    to.send += texts[0];
  } else if (key == "h2") {
    to.fields = {{":method", texts[0]}, {":scheme", "http"}, {":path", texts[1]}};
    to.fields.emplace_back(":authority", texts[2]);
  } else if (key == "field") {
    to.fields.emplace_back(texts[0], texts[1]);
  } else if (key == "data") {
    to.data += texts[0];
  } else if (key == "trailer") {
    to.trailers.emplace_back(texts[0], texts[1]);
  } else if (key == "answer") {
    to.answer += texts[0];
  } else if (key == "may-reach") {
    to.may_reach = texts[0];
  } else if (key == "client") {
    to.client = texts[0];
  } else if (key == "upstream") {
    to.upstream.push_back(texts[0]);
    to.refused = false;
  } else {
    return fail(Code::kInvalid, fmt::format("'{}' is no key", key));
  }
  return {};
}

Status take_line(std::string_view key, std::string_view value, Case& to) {
  if (key == "section") {
    to.section = value;
  } else if (key == "verdict") {
    return take_verdict(value, to);
  } else if (key == "last") {
    to.last = value != "no";
  } else if (key == "answer-end") {
    to.answer_ends = value == "yes";
  } else if (key == "unserved") {
    to.unserved = value == "yes";
  } else if (key == "goes-on") {
    to.goes_on = value == "yes";
  } else if (key == "repeat") {
    MIZZEN_TRY(auto more, repeated(value));
    to.send += more;
  } else if (key == "answer-repeat") {
    MIZZEN_TRY(auto more, repeated(value));
    to.answer += more;
  } else {
    return take_texts(key, value, to);
  }
  return {};
}

}  // namespace

Result<std::vector<Case>> read_cases(std::string_view text) {
  std::vector<Case> out;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (trim(line).empty() || line.starts_with('#')) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      return fail(Code::kInvalid, fmt::format("line {}: no colon", number));
    }
    const std::string_view key = trim(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (key == "case") {
      out.emplace_back().name = value;
      continue;
    }
    if (out.empty()) return fail(Code::kInvalid, fmt::format("line {}: no case yet", number));
    if (auto taken = take_line(key, value, out.back()); !taken) {
      return fail(Code::kInvalid, fmt::format("line {}: {}", number, taken.error().message));
    }
  }
  return out;
}

}  // namespace mizzen::conformance
