// The commands of access log formats, as Envoy's documentation names them ("Access log format").
#pragma once

#include <string>
#include <string_view>

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

// What stands in the brackets of a command.
struct Arguments {
  HeaderPick header;   // of REQ, RESP, TRAILER
  HeaderPick instead;  // when that has no value; behind '?'
  std::string time;    // pattern of START_TIME
};

struct Command {
  // Appends the value and returns true, or returns false when there is none.
  using Write = bool (*)(Text& to, const Arguments& arguments, const RequestInfo& request);

  std::string_view name;
  Write write;
};

// Null when there is no such command. Any thread.
const Command* find_command(std::string_view name);
// Whether the brackets hold a pattern of the time rather than headers.
bool takes_time(const Command& command);

}  // namespace mizzen::proxy
