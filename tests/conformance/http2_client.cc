#include "http2_client.h"

#include <nghttp2/nghttp2.h>

#include "base/strings.h"

namespace mizzen::conformance {
namespace {

constexpr std::uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload) {
  std::string out;
  const std::size_t size = payload.size();
  for (int shift : {16, 8, 0}) out += static_cast<char>(size >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}

// RFC 7541 5.1 and 6.2.2: literals without indexing.
void put_string(std::string& to, std::string_view text) {
  if (text.size() < 127) {
    to += static_cast<char>(text.size());
  } else {
    to += '\x7f';
    std::size_t rest = text.size() - 127;
    for (; rest >= 128; rest /= 128) to += static_cast<char>(rest % 128 + 128);
    to += static_cast<char>(rest);
  }
  to += text;
}

std::string block_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';
    put_string(out, name);
    put_string(out, value);
  }
  return out;
}

std::uint32_t number(std::string_view bytes) {
  std::uint32_t out = 0;
  for (char c : bytes) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

}  // namespace

std::string http2_request(const Case& c) {
  std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(NGHTTP2_SETTINGS, 0, 0, "");
  const bool body = !c.data.empty() || !c.trailers.empty();
  out +=
      frame(NGHTTP2_HEADERS, body ? kEndHeaders : kEndHeaders | kEndStream, 1, block_of(c.fields));
  if (!c.data.empty()) {
    out += frame(NGHTTP2_DATA, c.trailers.empty() ? kEndStream : 0, 1, c.data);
  }
  if (!c.trailers.empty()) {
    out += frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, 1, block_of(c.trailers));
  }
  return out;
}

struct Http2Reader::Inflater {
  nghttp2_hd_inflater* raw = nullptr;
  Inflater() { nghttp2_hd_inflate_new(&raw); }
  ~Inflater() { nghttp2_hd_inflate_del(raw); }
};

Http2Reader::Http2Reader() : inflater_(std::make_unique<Inflater>()) {}
Http2Reader::~Http2Reader() = default;

void Http2Reader::headers(std::string_view block) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
  std::size_t left = block.size();
  for (;;) {
    nghttp2_nv field;
    int flags = 0;
    const auto used = nghttp2_hd_inflate_hd2(inflater_->raw, &field, &flags, at, left, 1);
    if (used < 0) return;
    at += used;
    left -= static_cast<std::size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      const std::string_view name(reinterpret_cast<const char*>(field.name), field.namelen);
      const std::string_view value(reinterpret_cast<const char*>(field.value), field.valuelen);
      if (name == ":status") status_ = parse_int<int>(value).value_or(0);
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(inflater_->raw);
      return;
    }
    if (left == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0) return;
  }
}

std::string Http2Reader::feed(std::string_view bytes) {
  std::string reply;
  bytes_ += bytes;
  while (bytes_.size() >= 9) {
    const std::size_t size = number(std::string_view(bytes_).substr(0, 3));
    if (bytes_.size() < 9 + size) break;
    const auto type = static_cast<std::uint8_t>(bytes_[3]);
    const auto flags = static_cast<std::uint8_t>(bytes_[4]);
    const std::string payload = bytes_.substr(9, size);
    bytes_.erase(0, 9 + size);
    if (type == NGHTTP2_SETTINGS && (flags & kAck) == 0) {
      reply += frame(NGHTTP2_SETTINGS, kAck, 0, "");
    } else if (type == NGHTTP2_HEADERS) {
      headers(payload);
    } else if (type == NGHTTP2_RST_STREAM) {
      reset_ = true;
    } else if (type == NGHTTP2_GOAWAY) {
      if (size >= 8 && number(std::string_view(payload).substr(4, 4)) != 0) reset_ = true;
    }
    const bool carries_end = type == NGHTTP2_HEADERS || type == NGHTTP2_DATA;
    if (carries_end && (flags & kEndStream) != 0 && status_ >= 200) ended_ = true;
  }
  return reply;
}

}  // namespace mizzen::conformance
