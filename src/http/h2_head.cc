#include "http/h2_head.h"

#include <cstring>
#include <string>

#include "base/strings.h"

namespace mizzen::http::h2 {

namespace {

using hpack::Kind;

constexpr std::uint32_t bit(Kind kind) { return 1U << static_cast<unsigned>(kind); }
constexpr std::uint32_t kOfRequests = bit(Kind::kMethod) | bit(Kind::kScheme) |
                                      bit(Kind::kAuthority) | bit(Kind::kPath) |
                                      bit(Kind::kProtocol);

// RFC 9113 8.2.3: cookies may come in pieces, HTTP/1 wants them in one.
void join_cookies(Headers& headers) {
  std::string joined;
  for (const HeaderField& field : headers) {
    if (field.name != "cookie") continue;
    if (!joined.empty()) joined += "; ";
    joined += field.value;
  }
  headers.set("cookie", joined);
}

// RFC 3986 3.1.
bool is_scheme(std::string_view text) {
  const auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  if (text.empty() || !letter(text.front())) return false;
  for (const char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return false;
  }
  return true;
}

}  // namespace

void HeadReader::begin(What what, bool connect) {
  what_ = what;
  connect_ = connect;
  fault_ = Fault::kNone;
  bytes_ = count_ = cookies_ = 0;
  pseudo_ = 0;
  ordinary_ = host_ = extended = false;
  request.clear();
  request.protocol = Protocol::kHttp2;
  response.clear();
  response.protocol = Protocol::kHttp2;
  trailers.clear();
}

Headers& HeadReader::target() {
  switch (what_) {
    case What::kRequest:
      return request.headers;
    case What::kResponse:
      return response.headers;
    default:
      return trailers;
  }
}

void HeadReader::take(const hpack::Field& field) {
  if (what_ == What::kIgnored || fault_ != Fault::kNone) return;
  bytes_ += field.name.size() + field.value.size();
  if (bytes_ > limits_.head_bytes || ++count_ > limits_.header_count) {
    fault_ = Fault::kTooLarge;
    return;
  }
  if (!field.valid) return refuse();
  if (field.kind == Kind::kOrdinary) {
    ordinary_ = true;
    return store(field);
  }
  if (field.kind < Kind::kHost) return take_pseudo(field);
  ordinary_ = true;
  take_special(field);
}

// One copy holds both texts, as they lie in the peer's table already.
void HeadReader::store(const hpack::Field& field) {
  Headers& to = target();
  if (field.static_name) return to.add_borrowed(field.name, kept(to, field));
  const std::size_t name = field.name.size();
  const std::size_t value = field.value.size();
  char* text = to.allocate(name + value);
  if (field.value.data() == field.name.data() + name) {
    std::memcpy(text, field.name.data(), name + value);
  } else {
    std::memcpy(text, field.name.data(), name);
    if (value > 0) std::memcpy(text + name, field.value.data(), value);
  }
  to.add_borrowed({text, name}, {text + name, value});
}

std::string_view HeadReader::kept(Headers& to, const hpack::Field& field) const {
  return field.static_value ? field.value : to.intern(field.value);
}

void HeadReader::take_pseudo(const hpack::Field& field) {
  const std::uint32_t which = bit(field.kind);
  const std::uint32_t allowed = what_ == What::kRequest    ? kOfRequests
                                : what_ == What::kResponse ? bit(Kind::kStatus)
                                                           : 0;
  if (ordinary_ || (allowed & which) == 0 || (pseudo_ & which) != 0 || field.value.empty()) {
    return refuse();
  }
  pseudo_ |= which;
  if (field.kind == Kind::kStatus) return set_status(field.value);
  const std::string_view value = kept(request.headers, field);
  switch (field.kind) {
    case Kind::kMethod:
      request.method = value;
      break;
    case Kind::kScheme:
      request.scheme = value;
      break;
    case Kind::kAuthority:
      request.authority = value;
      break;
    case Kind::kPath:
      request.path = value;
      break;
    default:
      request.upgrade = value;
      break;
  }
}

// Three digits, and none that means a change of protocols (RFC 9113 8.6).
void HeadReader::set_status(std::string_view value) {
  const auto status = parse_int<unsigned>(value);
  if (value.size() != 3 || !status || *status < 100 || *status == 101) return refuse();
  response.status = static_cast<int>(*status);
}

void HeadReader::take_special(const hpack::Field& field) {
  switch (field.kind) {
    case Kind::kConnectionSpecific:
      return refuse();
    case Kind::kTe:
      return equals_ignore_case(field.value, "trailers") ? store(field) : refuse();
    case Kind::kHost:
      return what_ == What::kRequest ? take_host(field.value) : store(field);
    case Kind::kContentLength:
      return take_length(field);
    default:
      ++cookies_;
      return store(field);
  }
}

// RFC 9113 8.3.1: another than :authority is malformed.
void HeadReader::take_host(std::string_view value) {
  if (host_ || value.empty()) return refuse();
  host_ = true;
  std::string_view& authority = request.authority;
  if (authority.empty()) authority = request.headers.intern(value);
  if (!equals_ignore_case(authority, value)) refuse();
}

void HeadReader::take_length(const hpack::Field& field) {
  if (what_ == What::kTrailers) return store(field);
  auto& length = what_ == What::kRequest ? request.content_length : response.content_length;
  const auto value = parse_int<std::int64_t>(field.value);
  if (length || !value || *value < 0 || field.value.front() == '-') return refuse();
  if (what_ == What::kResponse) {
    // RFC 9110 8.6: where there must be none, it is dropped; 204 with a length is told from it.
    const int status = response.status;
    if (status == 204 && *value != 0) return refuse();
    if (status < 200 || status == 204 || (connect_ && status < 300)) return;
  }
  length = static_cast<std::uint64_t>(*value);
  store(field);
}

bool HeadReader::is_request() const {
  const auto came = [this](Kind kind) { return (pseudo_ & bit(kind)) != 0; };
  const RequestHead& head = request;
  if (!came(Kind::kMethod) || !is_token(head.method)) return false;
  if (head.authority.empty() || !is_authority(head.authority)) return false;
  const bool connect = head.method == "CONNECT";
  if (came(Kind::kProtocol) && (!connect || !came(Kind::kAuthority))) return false;
  if (connect && !came(Kind::kProtocol)) {
    return came(Kind::kAuthority) && !came(Kind::kScheme) && !came(Kind::kPath);
  }
  if (!came(Kind::kScheme) || !came(Kind::kPath) || !is_scheme(head.scheme)) return false;
  const bool fits = head.path.starts_with('/') || (head.path == "*" && head.method == "OPTIONS");
  return fits && is_target(head.path);
}

HeadReader::Fault HeadReader::finish() {
  const bool complete = what_ == What::kRequest    ? is_request()
                        : what_ == What::kResponse ? (pseudo_ & bit(Kind::kStatus)) != 0
                                                   : true;
  if (fault_ == Fault::kNone && !complete) refuse();
  if (fault_ != Fault::kNone) {
    for (Headers* one : {&request.headers, &response.headers, &trailers}) one->release();
    return fault_;
  }
  if (what_ != What::kRequest) return Fault::kNone;
  if (cookies_ > 1) join_cookies(request.headers);
  if (!request.upgrade.empty()) {
    // RFC 8441 5: as the HTTP/1 request that it stands for.
    extended = true;
    request.method = "GET";
  }
  return Fault::kNone;
}

}  // namespace mizzen::http::h2
