// The leaves of every matcher: rules about one string, a path, a header, a query parameter
// (Envoy's StringMatcher, RouteMatch, HeaderMatcher, QueryParameterMatcher).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace mizzen::route {

// A regular expression compiled once; RE2 syntax, always matched against the whole text.
using Regex = std::shared_ptr<const re2::RE2>;

// kInvalid names the expression and RE2's complaint. Memory of a program is limited to 1 MiB.
Result<Regex> compile_regex(std::string_view expression);
bool matches_whole(const Regex& regex, std::string_view text);
// Every match of `regex` in `text` replaced; `substitution` uses \0 ... \9 (RE2::GlobalReplace).
std::string replace_all(const Regex& regex, std::string_view text, std::string_view substitution);

struct StringMatcher {
  enum class Kind : std::uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex };
  Kind kind = Kind::kExact;
  bool ignore_case = false;  // ASCII; not for kRegex, as in Envoy
  std::string value;         // in lower case when ignore_case; for kRegex the expression
  Regex regex;               // kRegex only

  static StringMatcher exact(std::string_view value);
  static StringMatcher prefix(std::string_view value);
  static StringMatcher suffix(std::string_view value);
  static StringMatcher contains(std::string_view value);
  static Result<StringMatcher> of_regex(std::string_view expression);

  bool matches(std::string_view text) const;
  // For people: `= "jason"`, `starts with "/api"`, `matches /regex/`.
  std::string describe() const;
};

struct PathMatcher {
  enum class Kind : std::uint8_t { kPrefix, kExact, kSeparatedPrefix, kRegex, kConnect };
  Kind kind = Kind::kPrefix;
  bool case_sensitive = true;
  std::string value;  // in lower case when not case sensitive
  Regex regex;        // kRegex only
};

struct HeaderMatcher {
  enum class Kind : std::uint8_t { kString, kPresent, kRange };
  std::string name;  // lower case; may be :method, :path, :authority, :scheme
  Kind kind = Kind::kPresent;
  StringMatcher text;      // kString
  bool present = true;     // kPresent: the wanted answer
  std::int64_t start = 0;  // kRange: start <= value < end
  std::int64_t end = 0;
  bool invert = false;
  bool treat_missing_as_empty = false;
};

struct QueryMatcher {
  std::string name;
  std::optional<StringMatcher> text;  // absent: presence is enough
};

// Numerator over denominator (100, 10,000 or 1,000,000), from FractionalPercent.
struct Fraction {
  std::uint32_t numerator = 100;
  std::uint32_t denominator = 100;
  bool draws(std::uint64_t random) const { return random % denominator < numerator; }
};

}  // namespace mizzen::route
