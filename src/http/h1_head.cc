#include "http/h1_head.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>

#include "base/strings.h"
#include "http/controls.h"
#include "http/eight.h"

namespace mizzen::http::h1 {

namespace {

// The lower-case form of each character of a token (RFC 9110 5.6.2); 0 for all others.
constexpr std::array<char, 256> kNameChars = [] {
  std::array<char, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = static_cast<char>(c);
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = static_cast<char>(c);
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = c;
  return table;
}();

using Outcome = std::expected<void, Refusal>;

// What the fields of a head said about framing, while they are being read.
struct Scan {
  Framing framing;
  std::string_view host;
  std::string_view upgrade;
  std::vector<std::string_view> nominated;  // Connection fields that name more than the usual
  int hosts = 0;
  bool upgrade_wanted = false;  // Connection: upgrade
  bool close = false;
  bool keep_alive = false;
  bool transfer_coded = false;
};

Outcome take_length(Scan& scan, std::string_view value) {
  auto length = parse_int<std::uint64_t>(value);
  if (!length) return refuse(400, "invalid Content-Length");
  if (scan.framing.length && *scan.framing.length != *length) {
    return refuse(400, "differing Content-Lengths");
  }
  scan.framing.length = length;
  return {};
}

Outcome take_coding(Scan& scan, std::string_view value) {
  if (scan.transfer_coded) return refuse(400, "several Transfer-Encodings");
  scan.transfer_coded = true;
  if (!equals_ignore_case(value, "chunked")) {
    return refuse(501, "a Transfer-Encoding other than chunked");
  }
  scan.framing.chunked = true;
  return {};
}

void take_connection(Scan& scan, const std::string_view field) {
  bool nominates = false;
  for (std::string_view value = field; !value.empty();) {
    const std::size_t comma = value.find(',');
    const std::string_view token = trim(value.substr(0, comma));
    if (equals_ignore_case(token, "close")) {
      scan.close = true;
    } else if (equals_ignore_case(token, "keep-alive")) {
      scan.keep_alive = true;
    } else if (equals_ignore_case(token, "upgrade")) {
      scan.upgrade_wanted = true;
    } else if (!token.empty() && !equals_ignore_case(token, "te")) {
      nominates = true;
    }
    value.remove_prefix(comma == value.npos ? value.size() : comma + 1);
  }
  if (nominates) scan.nominated.push_back(field);
}

enum class Place : std::uint8_t { kKeep, kDrop };

// Fields that frame the message or belong to the connection.
std::expected<Place, Refusal> take_special(Scan& scan, std::string_view name,
                                           std::string_view& value) {
  switch (name.size()) {
    case 2:
      if (name != "te") break;
      if (!list_has_token(value, "trailers")) return Place::kDrop;
      value = "trailers";
      break;
    case 4:
      if (name == "host") {
        ++scan.hosts;
        scan.host = value;
        return Place::kDrop;
      }
      break;
    case 7:
      if (name == "upgrade") {
        scan.upgrade = value;
        return Place::kDrop;
      }
      break;
    case 10:
      if (name == "connection") {
        take_connection(scan, value);
        return Place::kDrop;
      }
      if (name == "keep-alive") return Place::kDrop;
      break;
    case 14:
      if (name == "content-length") {
        const bool again = scan.framing.length.has_value();
        if (auto taken = take_length(scan, value); !taken) return std::unexpected(taken.error());
        while (value.size() > 1 && value.front() == '0') value.remove_prefix(1);
        return again ? Place::kDrop : Place::kKeep;
      }
      if (name == "http2-settings") return Place::kDrop;
      break;
    case 16:
      if (name == "proxy-connection") return Place::kDrop;
      break;
    case 17:
      if (name == "transfer-encoding") {
        if (auto taken = take_coding(scan, value); !taken) return std::unexpected(taken.error());
        return Place::kDrop;
      }
      break;
    default:
      break;
  }
  return Place::kKeep;
}

// Makes letters lower case in place, up to the first character that is neither one nor '-', or near
// `end`; where that is.
char* lower_letters(char* at, const char* end) {
  while (end - at >= 8) {
    std::uint64_t text;
    std::memcpy(&text, at, 8);
    const std::uint64_t lower = lower_eight(text);
    const std::uint64_t named = in_range(lower, 'a', 'z') | in_range(lower, '-', '-');
    const int count = std::countr_one(named | each(0x7f)) / 8;
    const std::uint64_t mask =
        count == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * count)) - 1;
    text = (lower & mask) | (text & ~mask);
    std::memcpy(at, &text, 8);
    at += count;
    if (count < 8) break;
  }
  return at;
}

// Reads the field lines in [at, end), which ends with the empty line. Names are made lower case
// in place. `scan` is null for trailers.
Outcome parse_fields(char* at, char* end, const Limits& limits, bool keep_case, Headers& to,
                     Scan* scan) {
  std::size_t count = 0;
  while (*at != '\r') {
    if (++count > limits.header_count) return refuse(431, "too many header fields");
    char* const name_begin = at;
    if (*at == ' ' || *at == '\t') return refuse(400, "a folded header line");
    const char* original = nullptr;
    char c;
    if (!keep_case) at = lower_letters(at, end);
    for (; (c = kNameChars[static_cast<unsigned char>(*at)]) != 0; ++at) {
      if (c == *at) continue;
      if (keep_case && original == nullptr) {
        const char* stop = at;
        while (kNameChars[static_cast<unsigned char>(*stop)] != 0) ++stop;
        original = to.intern({name_begin, static_cast<std::size_t>(stop - name_begin)}).data();
      }
      *at = c;
    }
    if (at == name_begin || *at != ':') return refuse(400, "invalid header name");
    const std::string_view name(name_begin, static_cast<std::size_t>(at - name_begin));
    ++at;
    while (*at == ' ' || *at == '\t') ++at;
    char* const value_begin = at;
    at = const_cast<char*>(find_control(at, end));
    if (at + 1 >= end || at[0] != '\r' || at[1] != '\n') {
      return refuse(400, "control character in a header value");
    }
    char* value_end = at;
    while (value_end > value_begin && (value_end[-1] == ' ' || value_end[-1] == '\t')) --value_end;
    at += 2;
    std::string_view value(value_begin, static_cast<std::size_t>(value_end - value_begin));
    if (scan != nullptr) {
      auto place = take_special(*scan, name, value);
      if (!place) return std::unexpected(place.error());
      if (*place == Place::kDrop) continue;
    }
    to.add_borrowed(name, value, original);
  }
  return at + 2 == end && at[1] == '\n' ? Outcome{} : refuse(400, "carriage return alone");
}

// RFC 9110 7.6.1: what Connection names goes no further. What proxies say to each other, and what
// says who asks, cannot be taken away this way.
bool may_be_nominated(std::string_view name) {
  constexpr std::string_view kKept[] = {"authorization", "content-length", "cookie", "te",
                                        "traceparent",   "x-request-id"};
  return std::ranges::find(kKept, name) == std::end(kKept) && !name.starts_with("x-forwarded-") &&
         !name.starts_with("x-envoy-") && !name.starts_with("x-mizzen-") &&
         !name.starts_with("x-b3-");
}

void drop_nominated(const Scan& scan, Headers& headers) {
  for (const std::string_view names : scan.nominated) {
    headers.remove_if([names](const HeaderField& field) {
      return may_be_nominated(field.name) && list_has_token(names, field.name);
    });
  }
}

Outcome finish(Scan& scan, bool http10, Headers& headers) {
  if (scan.framing.chunked) {
    if (scan.framing.length) return refuse(400, "Content-Length and Transfer-Encoding together");
    if (http10) return refuse(400, "Transfer-Encoding in HTTP/1.0");
  }
  scan.framing.keep_alive = http10 ? scan.keep_alive && !scan.close : !scan.close;
  drop_nominated(scan, headers);
  return {};
}

Outcome take_absolute(std::string_view target, RequestHead& to);

Outcome take_target(std::string_view target, const CodecOptions& options, RequestHead& to) {
  if (!is_target(target)) return refuse(400, "invalid character in the request target");
  if (to.method == "CONNECT") {
    if (!is_authority(target)) return refuse(400, "invalid authority");
    to.authority = target;
    return {};
  }
  if (target.front() == '/' || (target == "*" && to.method == "OPTIONS")) {
    to.path = target;
    return {};
  }
  if (!options.absolute_targets) return refuse(404, "an absolute request target");
  return take_absolute(target, to);
}

Outcome take_absolute(std::string_view target, RequestHead& to) {
  const std::size_t colon = target.find("://");
  if (colon == std::string_view::npos) return refuse(400, "invalid request target");
  const std::string_view scheme = target.substr(0, colon);
  if (equals_ignore_case(scheme, "http")) {
    to.scheme = "http";
  } else if (equals_ignore_case(scheme, "https")) {
    to.scheme = "https";
  } else {
    return refuse(400, "a request target that is neither http nor https");
  }
  const std::string_view rest = target.substr(colon + 3);
  const std::size_t slash = rest.find_first_of("/?#");
  to.authority = rest.substr(0, slash);
  if (to.authority.empty() || !is_authority(to.authority)) return refuse(400, "invalid authority");
  if (slash == std::string_view::npos) {
    to.path = "/";
  } else if (rest[slash] == '/') {
    to.path = rest.substr(slash);
  } else {
    const std::string_view query = rest.substr(slash);
    char* path = to.headers.allocate(query.size() + 1);
    path[0] = '/';
    std::memcpy(path + 1, query.data(), query.size());
    to.path = {path, query.size() + 1};
  }
  return {};
}

std::optional<Protocol> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return Protocol::kHttp11;
  if (text == "HTTP/1.0") return Protocol::kHttp10;
  return std::nullopt;
}

// `line` without its carriage return.
Outcome parse_request_line(std::string_view line, const CodecOptions& options, RequestHead& to) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return refuse(400, "invalid request line");
  to.method = line.substr(0, first);
  if (!is_token(to.method)) return refuse(400, "invalid method");
  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos || second == first + 1) {
    return refuse(400, "invalid request line");
  }
  const std::string_view version = line.substr(second + 1);
  auto protocol = parse_version(version);
  if (!protocol) {
    const bool other = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
                       version[5] >= '0' && version[5] <= '9' && version[7] >= '0' &&
                       version[7] <= '9';
    return other ? refuse(505, "HTTP version not supported") : refuse(400, "invalid HTTP version");
  }
  to.protocol = *protocol;
  return take_target(line.substr(first + 1, second - first - 1), options, to);
}

}  // namespace

std::expected<std::optional<std::size_t>, Refusal> find_head_end(std::string_view bytes,
                                                                 std::size_t& scanned) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin + scanned;
  while (const void* found =
             at < end ? std::memchr(at, '\n', static_cast<std::size_t>(end - at)) : nullptr) {
    const char* feed = static_cast<const char*>(found);
    if (feed == begin || feed[-1] != '\r') return refuse(400, "line feed alone");
    if (feed - begin >= 3 && feed[-2] == '\n') {
      return static_cast<std::size_t>(feed - begin) + 1;
    }
    at = feed + 1;
  }
  scanned = bytes.size();
  return std::nullopt;
}

std::expected<Framing, Refusal> parse_request(std::string_view head, const CodecOptions& options,
                                              RequestHead& to) {
  char* text = to.headers.allocate(head.size());
  std::memcpy(text, head.data(), head.size());
  const char* line_end = static_cast<const char*>(std::memchr(text, '\r', head.size()));
  const auto line_size = static_cast<std::size_t>(line_end - text);
  if (text[line_size + 1] != '\n') return refuse(400, "carriage return alone");
  if (auto read = parse_request_line({text, line_size}, options, to); !read) {
    return std::unexpected(read.error());
  }
  Scan scan;
  if (auto read = parse_fields(text + line_size + 2, text + head.size(), options.limits,
                               options.header_case == HeaderCase::kAsReceived, to.headers, &scan);
      !read) {
    return std::unexpected(read.error());
  }
  const bool http10 = to.protocol == Protocol::kHttp10;
  if (scan.hosts > 1) return refuse(400, "several Host fields");
  if (scan.hosts == 0 && !http10) return refuse(400, "no Host field");
  if (!is_authority(scan.host)) return refuse(400, "invalid Host");
  if (to.authority.empty()) to.authority = scan.host;
  if (to.scheme.empty()) to.scheme = options.scheme;
  if (auto done = finish(scan, http10, to.headers); !done) return std::unexpected(done.error());
  if (scan.upgrade_wanted && !http10 && !equals_ignore_case(scan.upgrade, "h2c")) {
    to.upgrade = scan.upgrade;
  }
  to.content_length = scan.framing.length;
  return scan.framing;
}

std::expected<Framing, Refusal> parse_response(std::string_view head, const CodecOptions& options,
                                               ResponseHead& to) {
  char* text = to.headers.allocate(head.size());
  std::memcpy(text, head.data(), head.size());
  const char* line_end = static_cast<const char*>(std::memchr(text, '\r', head.size()));
  const auto line_size = static_cast<std::size_t>(line_end - text);
  const std::string_view line(text, line_size);
  auto protocol = parse_version(line.substr(0, 8));
  if (!protocol || line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ') ||
      text[line_size + 1] != '\n') {
    return refuse(502, "invalid status line");
  }
  auto status = parse_int<int>(line.substr(9, 3));
  if (!status || *status < 100 || *status > 999) return refuse(502, "invalid status");
  to.protocol = *protocol;
  to.status = *status;
  Scan scan;
  if (auto read = parse_fields(text + line_size + 2, text + head.size(), options.limits,
                               options.header_case == HeaderCase::kAsReceived, to.headers, &scan);
      !read) {
    return std::unexpected(read.error());
  }
  if (auto done = finish(scan, *protocol == Protocol::kHttp10, to.headers); !done) {
    return std::unexpected(done.error());
  }
  to.content_length = scan.framing.length;
  return scan.framing;
}

std::expected<void, Refusal> parse_trailers(std::string_view lines, const Limits& limits,
                                            Headers& to) {
  char* text = to.allocate(lines.size());
  std::memcpy(text, lines.data(), lines.size());
  if (auto read = parse_fields(text, text + lines.size(), limits, false, to, nullptr); !read) {
    return read;
  }
  to.remove_if([](const HeaderField& field) { return is_forbidden_trailer(field.name); });
  return {};
}

}  // namespace mizzen::http::h1
