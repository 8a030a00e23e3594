// The table of HTTP messages that two parsers could read differently (cases.txt), and what may come
// of each: a refusal, or exactly these bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mizzen::conformance {

// What a proxy does with one message.
struct Case {
  std::string name;
  std::string section;  // of the RFC that speaks of it
  std::string send;     // HTTP/1: the client's bytes
  // HTTP/2: fields in order; empty for HTTP/1.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string data;
  std::vector<std::pair<std::string, std::string>> trailers;
  std::string answer;        // what the server says to the first request; empty: 200 "ok"
  bool answer_ends = false;  // ... and closes then
  bool last = true;          // a clean request with "connection: close" comes behind `send`
  int status = 0;            // the first final status that the client must see; 0: any
  bool refused = false;      // nothing may reach the server
  bool reset = false;        // HTTP/2: the stream or the connection ends without an answer
  bool goes_on = false;      // refused, but the connection is used further
  bool unserved = false;     // the clean request behind it must not be answered
  std::vector<std::string> upstream;  // the requests that reach the server, without its own fields
  std::string may_reach;              // one that may reach it besides
  std::optional<std::string> client;  // the client's bytes up to the clean request's answer
  bool is_http2() const { return !fields.empty(); }
};

// Reads the table. The error names the line.
//   case: NAME            begins a case          section: TEXT
//   send: "BYTES"         repeat: N "BYTES"      (both append)       last: no
//   h2: "METHOD" "PATH" "AUTHORITY"              field: "NAME" "VALUE"
//   data: "BYTES"         trailer: "NAME" "VALUE"
//   answer: "BYTES"       answer-repeat: N "BYTES"   answer-end: yes
//   verdict: STATUS | forward | reset            client: "BYTES"     unserved: yes   goes-on: yes
//   upstream: "BYTES"     (one per request)      may-reach: "BYTES"
// Bytes are written with the escapes \r \n \t \0 \\ \" \xNN. A status below 200 to 599 with no
// `upstream` means that nothing may reach the server.
Result<std::vector<Case>> read_cases(std::string_view text);

}  // namespace mizzen::conformance
