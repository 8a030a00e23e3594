#include "http/message.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/strings.h"
#include "http/controls.h"

namespace mizzen::http {

namespace {

// RFC 9110 5.6.2.
constexpr std::array<bool, 256> kTokenChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

constexpr std::array<bool, 256> visible_but(std::string_view others) {
  std::array<bool, 256> table{};
  for (int c = 0x21; c < 0x7f; ++c) table[c] = true;
  for (char c : others) table[static_cast<unsigned char>(c)] = false;
  return table;
}
constexpr std::array<bool, 256> kAuthorityChars = visible_but("/?#@\\,\"<>");
constexpr std::array<bool, 256> kTargetChars = visible_but("#");

bool all_of(const std::array<bool, 256>& allowed, std::string_view text) {
  for (char c : text) {
    if (!allowed[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

// RFC 9110 15 and the registry; in order.
struct Reason {
  int status;
  std::string_view phrase;
};
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Payload Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Entity"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

}  // namespace

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::kHttp10:
      return "HTTP/1.0";
    case Protocol::kHttp11:
      return "HTTP/1.1";
    case Protocol::kHttp2:
      return "HTTP/2";
  }
  return "HTTP/?";
}

bool RequestHead::expects_continue() const {
  auto expect = headers.get("expect");
  return expect && equals_ignore_case(*expect, "100-continue");
}

bool RequestHead::is_grpc() const {
  constexpr std::string_view kType = "application/grpc";
  const std::string_view type = headers.get_or("content-type", "");
  if (!type.starts_with(kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

RequestHead RequestHead::clone() const {
  RequestHead copy;
  copy.headers = headers.clone();
  copy.set_method(method);
  copy.set_scheme(scheme);
  copy.set_authority(authority);
  copy.set_path(path);
  copy.set_upgrade(upgrade);
  copy.protocol = protocol;
  copy.content_length = content_length;
  return copy;
}

void RequestHead::clear() {
  method = scheme = authority = path = upgrade = {};
  headers.clear();
  protocol = Protocol::kHttp11;
  content_length.reset();
}

ResponseHead ResponseHead::clone() const {
  ResponseHead copy;
  copy.status = status;
  copy.headers = headers.clone();
  copy.protocol = protocol;
  copy.content_length = content_length;
  return copy;
}

void ResponseHead::clear() {
  status = 0;
  headers.clear();
  protocol = Protocol::kHttp11;
  content_length.reset();
}

std::string_view reason_phrase(int status) {
  const auto* found = std::ranges::lower_bound(kReasons, status, {}, &Reason::status);
  return found != std::end(kReasons) && found->status == status ? found->phrase : "Unknown";
}

bool is_token(std::string_view text) { return !text.empty() && all_of(kTokenChars, text); }

bool is_field_value(std::string_view text) {
  const char* const end = text.data() + text.size();
  return find_control(text.data(), end) == end;
}

bool is_authority(std::string_view text) { return all_of(kAuthorityChars, text); }

bool is_target(std::string_view text) { return all_of(kTargetChars, text); }

bool is_forbidden_trailer(std::string_view name) {
  constexpr std::string_view kForbidden[] = {"age",
                                             "authorization",
                                             "cache-control",
                                             "connection",
                                             "content-range",
                                             "content-encoding",
                                             "content-length",
                                             "content-type",
                                             "cookie",
                                             "date",
                                             "expect",
                                             "expires",
                                             "host",
                                             "keep-alive",
                                             "location",
                                             "max-forwards",
                                             "pragma",
                                             "proxy-authorization",
                                             "proxy-connection",
                                             "range",
                                             "set-cookie",
                                             "te",
                                             "trailer",
                                             "transfer-encoding",
                                             "upgrade",
                                             "vary",
                                             "www-authenticate",
                                             "x-request-id"};
  return std::ranges::find(kForbidden, name) != std::end(kForbidden) ||
         name.starts_with("x-forwarded-") || name.starts_with("x-envoy-") ||
         name.starts_with("x-mizzen-");
}

bool list_has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (equals_ignore_case(trim(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace mizzen::http
