#include <array>
#include <charconv>

#include "http/h1_head.h"
#include "http/websocket.h"

namespace mizzen::http::h1 {

namespace {

bool is_hop_field(std::string_view name) {
  switch (name.size()) {
    case 4:
      return name == "host";
    case 7:
      return name == "upgrade";
    case 10:
      return name == "connection" || name == "keep-alive";
    case 14:
      return name == "http2-settings";
    case 16:
      return name == "proxy-connection";
    case 17:
      return name == "transfer-encoding";
    default:
      return false;
  }
}

void write_number(Output& to, std::uint64_t number) {
  std::array<char, 24> digits;
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  to.append({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void write_field(Output& to, std::string_view name, std::string_view value) {
  const std::size_t size = name.size() + value.size() + 4;
  if (size <= 512) {
    std::array<char, 512> line;
    char* at = line.data();
    std::memcpy(at, name.data(), name.size());
    at += name.size();
    *at++ = ':';
    *at++ = ' ';
    if (!value.empty()) std::memcpy(at, value.data(), value.size());
    at += value.size();
    *at++ = '\r';
    *at = '\n';
    to.append({line.data(), size});
    return;
  }
  to.append(name);
  to.append(": ");
  to.append(value);
  to.append("\r\n");
}

// "content-type" as "Content-Type".
std::string_view proper(std::string_view name, std::array<char, 64>& to) {
  if (name.size() > to.size()) return name;
  bool begins = true;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    to[i] = begins && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    begins = c == '-';
  }
  return {to.data(), name.size()};
}

// A field of our own, in the case that was asked for.
void write_own(Output& to, std::string_view name, std::string_view value,
               const CodecOptions& options) {
  std::array<char, 64> spelled;
  write_field(to, options.header_case == HeaderCase::kProper ? proper(name, spelled) : name, value);
}

}  // namespace

void write_fields(Output& to, const Headers& headers, const CodecOptions& options) {
  for (const HeaderField& field : headers) {
    if (is_hop_field(field.name)) continue;
    if (options.header_case == HeaderCase::kProper) {
      write_own(to, field.name, field.value, options);
    } else {
      const bool as_received = options.header_case == HeaderCase::kAsReceived;
      write_field(to, as_received ? field.spelled() : field.name, field.value);
    }
  }
}

void write_request(Output& to, const RequestHead& head, BodyFraming body,
                   const CodecOptions& options) {
  to.append(head.method);
  to.append(" ");
  if (head.is_connect()) {
    to.append(head.authority);
  } else {
    to.append(head.path.empty() ? std::string_view("/") : head.path);
  }
  to.append(" HTTP/1.1\r\n");
  write_field(to, options.header_case == HeaderCase::kLower ? "host" : "Host", head.authority);
  write_fields(to, head.headers, options);
  if (body == BodyFraming::kChunked) write_own(to, "transfer-encoding", "chunked", options);
  if (!head.upgrade.empty()) {
    write_own(to, "connection", "Upgrade", options);
    write_own(to, "upgrade", head.upgrade, options);
    if (head.upgrade == "websocket" && !head.headers.has("sec-websocket-key")) {
      write_own(to, "sec-websocket-key", websocket::make_key(), options);
    }
  } else if (head.headers.has("te")) {
    write_own(to, "connection", "TE", options);
  }
  to.append("\r\n");
}

void write_response(Output& to, const ResponseHead& head, BodyFraming body, bool keep_alive,
                    bool http10, std::string_view upgrade, const CodecOptions& options) {
  if (head.status == 200) {
    to.append("HTTP/1.1 200 OK\r\n");
  } else {
    to.append("HTTP/1.1 ");
    write_number(to, static_cast<std::uint64_t>(head.status));
    to.append(" ");
    to.append(reason_phrase(head.status));
    to.append("\r\n");
  }
  write_fields(to, head.headers, options);
  if (head.status == 101) {
    write_own(to, "connection", "Upgrade", options);
    write_own(to, "upgrade", upgrade, options);
  } else if (!head.is_informational()) {
    if (body == BodyFraming::kChunked) write_own(to, "transfer-encoding", "chunked", options);
    if (!keep_alive) {
      write_own(to, "connection", "close", options);
    } else if (http10) {
      write_own(to, "connection", "keep-alive", options);
    }
  }
  to.append("\r\n");
}

}  // namespace mizzen::http::h1
