#include "route/matchers.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/strings.h"

namespace mizzen::route {
namespace {

constexpr std::int64_t kRegexMemory = 1 << 20;
constexpr std::size_t kMaxRegexBytes = 16 << 10;

bool starts_with_ignore_case(std::string_view text, std::string_view lower_prefix) {
  return text.size() >= lower_prefix.size() &&
         equals_ignore_case(text.substr(0, lower_prefix.size()), lower_prefix);
}

bool ends_with_ignore_case(std::string_view text, std::string_view lower_suffix) {
  return text.size() >= lower_suffix.size() &&
         equals_ignore_case(text.substr(text.size() - lower_suffix.size()), lower_suffix);
}

StringMatcher plain(StringMatcher::Kind kind, std::string_view value) {
  StringMatcher matcher;
  matcher.kind = kind;
  matcher.value = value;
  return matcher;
}

}  // namespace

Result<Regex> compile_regex(std::string_view expression) {
  if (expression.size() > kMaxRegexBytes) {
    return fail(Code::kInvalid, "a regular expression of more than 16 KiB");
  }
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kRegexMemory);
  auto regex =
      std::make_shared<const RE2>(re2::StringPiece(expression.data(), expression.size()), options);
  if (!regex->ok()) {
    return fail(Code::kInvalid, fmt::format("regular expression '{}' is not valid RE2: {}",
                                            expression, regex->error()));
  }
  return regex;
}

bool matches_whole(const Regex& regex, std::string_view text) {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex);
}

std::string replace_all(const Regex& regex, std::string_view text, std::string_view substitution) {
  std::string result(text);
  RE2::GlobalReplace(&result, *regex, re2::StringPiece(substitution.data(), substitution.size()));
  return result;
}

StringMatcher StringMatcher::exact(std::string_view value) { return plain(Kind::kExact, value); }
StringMatcher StringMatcher::prefix(std::string_view value) { return plain(Kind::kPrefix, value); }
StringMatcher StringMatcher::suffix(std::string_view value) { return plain(Kind::kSuffix, value); }
StringMatcher StringMatcher::contains(std::string_view value) {
  return plain(Kind::kContains, value);
}

Result<StringMatcher> StringMatcher::of_regex(std::string_view expression) {
  StringMatcher matcher = plain(Kind::kRegex, expression);
  MIZZEN_TRY(matcher.regex, compile_regex(expression));
  return matcher;
}

bool StringMatcher::matches(std::string_view text) const {
  switch (kind) {
    case Kind::kExact:
      return ignore_case ? equals_ignore_case(text, value) : text == value;
    case Kind::kPrefix:
      return ignore_case ? starts_with_ignore_case(text, value) : text.starts_with(value);
    case Kind::kSuffix:
      return ignore_case ? ends_with_ignore_case(text, value) : text.ends_with(value);
    case Kind::kContains:
      return ignore_case ? lower(text).find(value) != std::string::npos
                         : text.find(value) != std::string_view::npos;
    case Kind::kRegex:
      return matches_whole(regex, text);
  }
  return false;
}

std::string StringMatcher::describe() const {
  std::string_view suffix_text = ignore_case ? " (any case)" : "";
  switch (kind) {
    case Kind::kExact:
      return fmt::format("= \"{}\"{}", value, suffix_text);
    case Kind::kPrefix:
      return fmt::format("starts with \"{}\"{}", value, suffix_text);
    case Kind::kSuffix:
      return fmt::format("ends with \"{}\"{}", value, suffix_text);
    case Kind::kContains:
      return fmt::format("contains \"{}\"{}", value, suffix_text);
    case Kind::kRegex:
      return fmt::format("matches /{}/", value);
  }
  return {};
}

}  // namespace mizzen::route
