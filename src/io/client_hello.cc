#include <algorithm>

#include "base/strings.h"
#include "io/tls.h"

namespace mizzen::io {
namespace {

constexpr std::size_t kMostBytes = 16 * 1024;
constexpr std::size_t kRecordHead = 5;

// Reads big-endian fields; `ok` turns false at the first that is not there.
struct Cursor {
  std::string_view rest;
  bool ok = true;

  std::size_t number(std::size_t bytes) {
    std::size_t value = 0;
    for (char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view take(std::size_t bytes) {
    if (bytes > rest.size()) {
      ok = false;
      rest = {};
      return {};
    }
    std::string_view out = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    return out;
  }
  Cursor vector(std::size_t length_bytes) {
    std::size_t size = number(length_bytes);
    return {take(size)};
  }
};

// The handshake message may be cut into several records (RFC 8446 5.1).
HelloStatus gather(std::string_view bytes, std::string* message) {
  bool capped = bytes.size() >= kMostBytes;
  while (true) {
    if (!bytes.empty() && bytes[0] != 0x16) return HelloStatus::kNotTls;
    if (bytes.size() >= 2 && bytes[1] != 0x03) return HelloStatus::kNotTls;
    if (bytes.size() < kRecordHead) break;
    std::size_t size =
        static_cast<unsigned char>(bytes[3]) << 8 | static_cast<unsigned char>(bytes[4]);
    if (size == 0 || size > kMostBytes) return HelloStatus::kNotTls;
    std::string_view body = bytes.substr(kRecordHead, size);
    message->append(body);
    if (!message->empty() && message->front() != 0x01) return HelloStatus::kNotTls;
    if (message->size() >= 4) {
      Cursor header{std::string_view(*message).substr(1, 3)};
      std::size_t length = header.number(3);
      if (length > kMostBytes) return HelloStatus::kNotTls;
      if (message->size() >= length + 4) {
        message->resize(length + 4);
        return HelloStatus::kDone;
      }
    }
    if (body.size() < size) break;
    bytes.remove_prefix(kRecordHead + size);
  }
  return capped ? HelloStatus::kNotTls : HelloStatus::kNeedMore;
}

void read_extension(std::size_t type, Cursor body, ClientHello* out) {
  if (type == 0) {  // server_name
    Cursor names = body.vector(2);
    while (names.ok && !names.rest.empty()) {
      std::size_t kind = names.number(1);
      Cursor name = names.vector(2);
      if (names.ok && kind == 0) {
        out->sni = lower(name.rest);
        return;
      }
    }
  } else if (type == 16) {  // application_layer_protocol_negotiation
    Cursor protocols = body.vector(2);
    while (protocols.ok && !protocols.rest.empty()) {
      Cursor protocol = protocols.vector(1);
      if (protocols.ok) out->alpn.emplace_back(protocol.rest);
    }
  }
}

}  // namespace

HelloStatus parse_client_hello(std::span<const std::byte> bytes, ClientHello* out) {
  std::string message;
  HelloStatus status =
      gather({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, &message);
  if (status != HelloStatus::kDone) return status;
  Cursor hello{std::string_view(message).substr(4)};
  hello.take(2 + 32);  // version, random
  hello.vector(1);     // session id
  hello.vector(2);     // cipher suites
  hello.vector(1);     // compression methods
  if (!hello.ok) return HelloStatus::kNotTls;
  if (hello.rest.empty()) return HelloStatus::kDone;
  Cursor extensions = hello.vector(2);
  while (extensions.ok && !extensions.rest.empty()) {
    std::size_t type = extensions.number(2);
    Cursor body = extensions.vector(2);
    if (extensions.ok) read_extension(type, body, out);
  }
  return extensions.ok && hello.ok ? HelloStatus::kDone : HelloStatus::kNotTls;
}

}  // namespace mizzen::io
