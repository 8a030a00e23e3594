#include "local/apiserver/spdy.h"

#include <zlib.h>

#include "base/strings.h"

namespace mizzen::local::spdy {

namespace {

constexpr std::uint16_t kSynStream = 1;
constexpr std::uint16_t kSynReply = 2;
constexpr std::uint16_t kRstStream = 3;
constexpr std::uint16_t kPing = 6;
constexpr std::uint16_t kHeaders = 8;
constexpr std::uint8_t kFin = 1;
constexpr std::size_t kMaxFrame = 1 << 20;
constexpr std::size_t kMaxHeaderBlock = 256 * 1024;
constexpr std::size_t kMaxData = 32 * 1024;

void put32(std::string& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift);
}
std::uint32_t get32(std::string_view from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(from[i]);
  return value;
}

// Section 2.6.10.1: words with their lengths, then text.
const std::string& dictionary() {
  static const std::string kDictionary = [] {
    constexpr std::string_view kWords =
        "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,"
        "accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-"
        "encoding,"
        "content-language,content-length,content-location,content-md5,content-range,content-type,"
        "date,"
        "etag,expect,expires,from,host,if-match,if-modified-since,if-none-match,if-range,"
        "if-unmodified-since,last-modified,location,max-forwards,pragma,proxy-authenticate,"
        "proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,"
        "user-agent,vary,via,warning,www-authenticate,method,get,status,200 "
        "OK,version,HTTP/1.1,url,"
        "public,set-cookie,keep-alive,origin";
    std::string text;
    for (auto word : split(kWords, ',')) {
      put32(text, static_cast<std::uint32_t>(word.size()));
      text += word;
    }
    text +=
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
        "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
        "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
        "Tue, "
        "Wed, Thu, Fri, Sat, Sun, "
        "GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
        "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
        "charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    return text;
  }();
  return kDictionary;
}

const Bytef* bytes(std::string_view text) { return reinterpret_cast<const Bytef*>(text.data()); }

}  // namespace

// The two compression contexts of a connection.
struct Session::Codec {
  z_stream in{};
  z_stream out{};

  Codec() {
    inflateInit(&in);
    deflateInit(&out, Z_BEST_SPEED);
    deflateSetDictionary(&out, bytes(dictionary()), static_cast<uInt>(dictionary().size()));
  }
  ~Codec() {
    inflateEnd(&in);
    deflateEnd(&out);
  }

  Result<std::string> unpack(std::string_view packed) {
    std::string text;
    char buffer[4096];
    in.next_in = const_cast<Bytef*>(bytes(packed));
    in.avail_in = static_cast<uInt>(packed.size());
    while (true) {
      in.next_out = reinterpret_cast<Bytef*>(buffer);
      in.avail_out = sizeof(buffer);
      int code = inflate(&in, Z_SYNC_FLUSH);
      if (code == Z_NEED_DICT) {
        code =
            inflateSetDictionary(&in, bytes(dictionary()), static_cast<uInt>(dictionary().size()));
        if (code == Z_OK) continue;
      }
      if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END) {
        return fail(Code::kProtocol, "SPDY headers do not decompress");
      }
      text.append(buffer, sizeof(buffer) - in.avail_out);
      if (text.size() > kMaxHeaderBlock) return fail(Code::kLimit, "SPDY headers are too large");
      if (in.avail_out != 0) return text;
    }
  }

  std::string pack(std::string_view text) {
    std::string packed;
    char buffer[4096];
    out.next_in = const_cast<Bytef*>(bytes(text));
    out.avail_in = static_cast<uInt>(text.size());
    do {
      out.next_out = reinterpret_cast<Bytef*>(buffer);
      out.avail_out = sizeof(buffer);
      deflate(&out, Z_SYNC_FLUSH);
      packed.append(buffer, sizeof(buffer) - out.avail_out);
    } while (out.avail_out == 0);
    return packed;
  }
};

namespace {

Result<Headers> parse_headers(std::string_view block) {
  const auto broken = fail(Code::kProtocol, "a SPDY header block is cut short");
  auto take = [&block](std::string_view* text) {
    if (block.size() < 4) return false;
    const std::uint32_t length = get32(block);
    block.remove_prefix(4);
    if (block.size() < length) return false;
    *text = block.substr(0, length);
    block.remove_prefix(length);
    return true;
  };
  if (block.size() < 4) return broken;
  const std::uint32_t count = get32(block);
  block.remove_prefix(4);
  Headers headers;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string_view name;
    std::string_view value;
    if (!take(&name) || !take(&value)) return broken;
    headers.emplace_back(lower(name), value);
  }
  return headers;
}

}  // namespace

std::string_view header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

Session::Session(Events events, std::function<void(std::string_view)> send)
    : events_(std::move(events)), send_(std::move(send)), codec_(std::make_unique<Codec>()) {}
Session::~Session() = default;

Status Session::feed(std::string_view bytes) {
  input_ += bytes;
  std::size_t at = 0;
  while (input_.size() - at >= 8) {
    const std::string_view rest = std::string_view(input_).substr(at);
    const std::size_t length = get32(rest.substr(4)) & 0xffffff;
    if (length > kMaxFrame) return fail(Code::kLimit, "a SPDY frame is too large");
    if (rest.size() < 8 + length) break;
    MIZZEN_CHECKED(on_frame(rest.substr(0, 8 + length)));
    at += 8 + length;
  }
  input_.erase(0, at);
  return {};
}

Status Session::on_frame(std::string_view frame) {
  const std::uint32_t first = get32(frame);
  const auto flags = static_cast<std::uint8_t>(frame[4]);
  if ((first & 0x80000000U) != 0) {
    if ((first >> 16 & 0x7fff) != 3) return fail(Code::kProtocol, "not SPDY/3");
    return on_control(static_cast<std::uint16_t>(first), flags, frame.substr(8));
  }
  if (frame.size() > 8) events_.on_data(first, frame.substr(8));
  if (flags & kFin) events_.on_end(first);
  return {};
}

Status Session::on_control(std::uint16_t type, std::uint8_t flags, std::string_view payload) {
  switch (type) {
    case kSynStream:
      return on_syn_stream(flags, payload);
    case kRstStream:
      if (payload.size() >= 8) events_.on_reset(get32(payload) & 0x7fffffff);
      return {};
    case kPing:
      if (payload.size() == 4 && (get32(payload) & 1) == 1) control(kPing, 0, payload);
      return {};
    case kHeaders: {
      if (payload.size() < 4) return fail(Code::kProtocol, "a SPDY HEADERS frame is too short");
      auto unpacked = codec_->unpack(payload.substr(4));
      return unpacked ? Status() : std::unexpected(unpacked.error());
    }
    default:
      return {};
  }
}

Status Session::on_syn_stream(std::uint8_t flags, std::string_view payload) {
  if (payload.size() < 10) return fail(Code::kProtocol, "a SPDY SYN_STREAM frame is too short");
  const std::uint32_t id = get32(payload) & 0x7fffffff;
  MIZZEN_TRY(const std::string block, codec_->unpack(payload.substr(10)));
  MIZZEN_TRY(const Headers headers, parse_headers(block));
  events_.on_stream(id, headers);
  if (flags & kFin) events_.on_end(id);
  return {};
}

void Session::control(std::uint16_t type, std::uint8_t flags, std::string_view payload) {
  std::string frame;
  put32(frame, 0x80030000U | type);
  put32(frame, std::uint32_t{flags} << 24 | static_cast<std::uint32_t>(payload.size()));
  frame += payload;
  send_(frame);
}

void Session::reply(std::uint32_t stream, const Headers& headers) {
  std::string block;
  put32(block, static_cast<std::uint32_t>(headers.size()));
  for (const auto& [name, value] : headers) {
    put32(block, static_cast<std::uint32_t>(name.size()));
    block += name;
    put32(block, static_cast<std::uint32_t>(value.size()));
    block += value;
  }
  std::string payload;
  put32(payload, stream);
  payload += codec_->pack(block);
  control(kSynReply, 0, payload);
}

void Session::data(std::uint32_t stream, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.substr(0, kMaxData);
    bytes.remove_prefix(piece.size());
    std::string frame;
    put32(frame, stream);
    put32(frame, static_cast<std::uint32_t>(piece.size()));
    frame += piece;
    send_(frame);
  }
}

void Session::end(std::uint32_t stream) {
  std::string frame;
  put32(frame, stream);
  put32(frame, std::uint32_t{kFin} << 24);
  send_(frame);
}

void Session::reset(std::uint32_t stream) {
  std::string payload;
  put32(payload, stream);
  put32(payload, 5);  // CANCEL
  control(kRstStream, 0, payload);
}

}  // namespace mizzen::local::spdy
