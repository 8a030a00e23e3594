// What the commands of a format (proxy/config/format.h) write about a request.
#pragma once

#include <string>
#include <string_view>

#include "proxy/config/format.h"
#include "proxy/facts.h"
#include "proxy/observe/text.h"

namespace mizzen::proxy {

// A header by its name in lower case; of requests also ":method" and the like, which are parts of
// the head.
struct HeaderPick {
  static HeaderPick of(std::string_view name);
  std::string_view in(const http::RequestHead& head) const {
    return part != nullptr ? head.*part : head.headers.get_or(name, {});
  }

  std::string name;
  std::string_view http::RequestHead::*part = nullptr;
};

// What stands in the brackets of a command, made ready.
struct Arguments {
  enum class Style : std::uint8_t { kCamel, kSnake, kNumber };
  HeaderPick header;   // of REQ, RESP, TRAILER
  HeaderPick instead;  // when that has no value; behind '?'
  std::string text;    // pattern of START_TIME; what the variable of ENVIRONMENT held
  Style style = Style::kCamel;
  bool keep_spaces = false;

  static Arguments of(const FormatPiece& piece);
};

// Appends a command's value and returns true, or returns false when there is none.
using WriteCommand = bool (*)(Text& to, const Arguments& arguments, const RequestInfo& request);
// Null for a name that format_commands() does not have. Any thread.
WriteCommand find_writer(std::string_view name);

}  // namespace mizzen::proxy
