// Heads of requests and responses, the same for HTTP/1 and HTTP/2.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/headers.h"

namespace mizzen::http {

enum class Protocol : std::uint8_t { kHttp10, kHttp11, kHttp2 };

// "HTTP/1.0", "HTTP/1.1", "HTTP/2", as %PROTOCOL% prints them.
std::string_view to_string(Protocol protocol);

// What a request says before its body. The texts live in the arena of `headers` (or are literals):
// they move with it, and end with it. Host is `authority` and never stands in `headers`; nor do
// connection, keep-alive, proxy-connection, transfer-encoding, upgrade and http2-settings, which
// belong to one hop (RFC 9110 7.6.1); TE stays only as "trailers".
struct RequestHead {
  std::string_view method;
  std::string_view scheme;     // "http", "https"; from the transport where HTTP/1 does not say
  std::string_view authority;  // Host, :authority, or the authority of an absolute-form target
  std::string_view path;       // origin-form with query, or "*"; empty for CONNECT
  // The protocol asked for by Upgrade (HTTP/1) or :protocol (RFC 8441), e.g. "websocket"; empty for
  // an ordinary request. It is accepted by a response with status 101 in both protocols.
  std::string_view upgrade;
  Headers headers;
  Protocol protocol = Protocol::kHttp11;
  std::optional<std::uint64_t> content_length;

  // Copies into the arena.
  void set_method(std::string_view text) { method = headers.intern(text); }
  void set_scheme(std::string_view text) { scheme = headers.intern(text); }
  void set_authority(std::string_view text) { authority = headers.intern(text); }
  void set_path(std::string_view text) { path = headers.intern(text); }
  void set_upgrade(std::string_view text) { upgrade = headers.intern(text); }

  bool is_connect() const { return method == "CONNECT" && upgrade.empty(); }
  bool expects_continue() const;
  bool is_grpc() const;  // content-type application/grpc, alone or with +suffix or ;parameter
  RequestHead clone() const;
  void clear();
};

struct ResponseHead {
  int status = 0;
  Headers headers;
  Protocol protocol = Protocol::kHttp11;
  std::optional<std::uint64_t> content_length;

  bool is_informational() const { return status >= 100 && status < 200 && status != 101; }
  ResponseHead clone() const;
  void clear();
};

// "OK" for 200 (RFC 9110 15); "Unknown" for a code without a name.
std::string_view reason_phrase(int status);

// A token of RFC 9110 5.6.2, as names and methods must be; a field value of 5.5 (no control
// characters but tab).
bool is_token(std::string_view text);
bool is_field_value(std::string_view text);
// RFC 3986 authority without user information, or empty; no "#" and the like in a target (RFC 9112
// 3.2, visible ASCII only).
bool is_authority(std::string_view text);
bool is_target(std::string_view text);
// What frames, routes, authorizes or describes a message has no place in its trailers (RFC 9110
// 6.5.1); nor have the fields by which proxies talk to each other. The name in lower case.
bool is_forbidden_trailer(std::string_view name);

// Whether the comma-separated `list` holds `token`, case ignored.
bool list_has_token(std::string_view list, std::string_view token);

}  // namespace mizzen::http
