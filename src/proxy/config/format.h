// Envoy's substitution format strings (its documentation, "Access log format", names the commands):
// their grammar, checked when configuration comes. What a command writes is
// proxy/observe/commands.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::proxy {

struct FormatCommand {
  // What may stand in its brackets.
  enum class Takes : std::uint8_t {
    kNothing,
    kHeader,  // NAME or NAME?INSTEAD; a length may follow
    kName,    // of something that is looked up; a length may follow
    kTime,    // a pattern of strftime with %f, or nothing
    kStyle,   // CAMEL_STRING (also without brackets), SNAKE_STRING or NUMBER
    kSpaces,  // ALLOW_WHITESPACES or nothing
  };
  std::string_view name;
  Takes takes = Takes::kNothing;
  bool is_number = false;  // typed so where it is a whole member of JSON
};

// All there are. Static storage; any thread.
std::span<const FormatCommand> format_commands();

// Text, and the command that follows it.
struct FormatPiece {
  std::string before;
  const FormatCommand* command = nullptr;  // null: nothing follows
  std::string arguments;                   // what stands in its brackets
  std::size_t limit = 0;                   // bytes of the value; 0: all
};

// %NAME%, %NAME(arguments)%, %NAME(arguments):limit%, and %% for '%'. kInvalid names the command
// that there is not, or what it does not take. Any thread.
Result<std::vector<FormatPiece>> parse_format(std::string_view text);

}  // namespace mizzen::proxy
