#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "base/strings.h"
#include "proxy/observe/access_log.h"

namespace mizzen::proxy {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// In groups, each written by a function of its own.
enum class Command : std::uint8_t {
  kNothing,
  kEmpty,
  kReq,
  kResp,
  kTrailer,
  kStartTime,
  // append_outcome()
  kProtocol,
  kResponseCode,
  kResponseFlags,
  kResponseFlagsLong,
  kResponseDetails,
  kTerminationDetails,
  kTransportReason,
  kBytesReceived,
  kBytesSent,
  kDuration,
  kRequestDuration,
  kResponseDuration,
  kRouteName,
  kHostname,
  kGrpcStatus,
  // append_upstream()
  kUpstreamCluster,
  kAttempts,
  kUpstreamHost,
  kUpstreamLocal,
  kUpstreamRemoteIp,
  kUpstreamProtocol,
  // append_connection()
  kDownstreamLocal,
  kDownstreamLocalIp,
  kDownstreamLocalPort,
  kDownstreamRemote,
  kDownstreamRemoteIp,
  kDownstreamRemotePort,
  kDownstreamDirect,
  kDownstreamDirectIp,
  kServerName,
  kPeerUri,
  kPeerSubject,
  kPeerIssuer,
  kPeerSerial,
  kPeerFingerprint,
  kOwnUri,
  kOwnSubject,
  kConnectionId,
  kChainName,
};

struct Name {
  std::string_view text;
  Command command;
};
constexpr Name kNames[] = {
    {"REQ", Command::kReq},
    {"RESP", Command::kResp},
    {"TRAILER", Command::kTrailer},
    {"START_TIME", Command::kStartTime},
    {"PROTOCOL", Command::kProtocol},
    {"RESPONSE_CODE", Command::kResponseCode},
    {"RESPONSE_FLAGS", Command::kResponseFlags},
    {"RESPONSE_FLAGS_LONG", Command::kResponseFlagsLong},
    {"RESPONSE_CODE_DETAILS", Command::kResponseDetails},
    {"CONNECTION_TERMINATION_DETAILS", Command::kTerminationDetails},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", Command::kTransportReason},
    {"BYTES_RECEIVED", Command::kBytesReceived},
    {"BYTES_SENT", Command::kBytesSent},
    {"DURATION", Command::kDuration},
    {"REQUEST_DURATION", Command::kRequestDuration},
    {"RESPONSE_DURATION", Command::kResponseDuration},
    {"UPSTREAM_HOST", Command::kUpstreamHost},
    {"UPSTREAM_CLUSTER", Command::kUpstreamCluster},
    {"UPSTREAM_CLUSTER_RAW", Command::kUpstreamCluster},
    {"UPSTREAM_LOCAL_ADDRESS", Command::kUpstreamLocal},
    {"UPSTREAM_REMOTE_ADDRESS", Command::kUpstreamHost},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Command::kUpstreamRemoteIp},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", Command::kAttempts},
    {"UPSTREAM_PROTOCOL", Command::kUpstreamProtocol},
    {"DOWNSTREAM_LOCAL_ADDRESS", Command::kDownstreamLocal},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Command::kDownstreamLocalIp},
    {"DOWNSTREAM_LOCAL_PORT", Command::kDownstreamLocalPort},
    {"DOWNSTREAM_REMOTE_ADDRESS", Command::kDownstreamRemote},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Command::kDownstreamRemoteIp},
    {"DOWNSTREAM_REMOTE_PORT", Command::kDownstreamRemotePort},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Command::kDownstreamDirect},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Command::kDownstreamDirectIp},
    {"REQUESTED_SERVER_NAME", Command::kServerName},
    {"ROUTE_NAME", Command::kRouteName},
    {"DOWNSTREAM_PEER_URI_SAN", Command::kPeerUri},
    {"DOWNSTREAM_LOCAL_URI_SAN", Command::kOwnUri},
    {"DOWNSTREAM_PEER_SUBJECT", Command::kPeerSubject},
    {"DOWNSTREAM_LOCAL_SUBJECT", Command::kOwnSubject},
    {"DOWNSTREAM_PEER_ISSUER", Command::kPeerIssuer},
    {"DOWNSTREAM_PEER_SERIAL", Command::kPeerSerial},
    {"DOWNSTREAM_PEER_FINGERPRINT_256", Command::kPeerFingerprint},
    {"CONNECTION_ID", Command::kConnectionId},
    {"HOSTNAME", Command::kHostname},
    {"FILTER_CHAIN_NAME", Command::kChainName},
    {"GRPC_STATUS_NUMBER", Command::kGrpcStatus},
    {"GRPC_STATUS", Command::kGrpcStatus},
    // Nothing of ours fills these; they print as missing, as Envoy does without the filter.
    {"DYNAMIC_METADATA", Command::kEmpty},
    {"FILTER_STATE", Command::kEmpty},
    {"CLUSTER_METADATA", Command::kEmpty},
    {"UPSTREAM_METADATA", Command::kEmpty},
    {"ENVIRONMENT", Command::kEmpty},
    {"DOWNSTREAM_TLS_VERSION", Command::kEmpty},
};

// strftime's conversions plus Envoy's %f (nanoseconds), %3f and the like (digits of the fraction).
void append_time(Text& to, WallTime time, std::string_view pattern) {
  auto since = time.time_since_epoch();
  auto seconds = duration_cast<std::chrono::seconds>(since);
  auto nanos = static_cast<std::uint64_t>((since - seconds).count());
  if (pattern.empty()) {
    write_rfc3339_millis(to.room(kRfc3339Millis), time);
    return;
  }
  std::time_t clock = seconds.count();
  std::tm parts{};
  gmtime_r(&clock, &parts);
  std::string out(pattern);
  for (unsigned digits = 9; digits >= 1; --digits) {
    std::string fraction = fmt::format("{:09}", nanos).substr(0, digits);
    std::string mark = fmt::format("%{}f", digits);
    for (auto at = out.find(mark); at != std::string::npos; at = out.find(mark)) {
      out.replace(at, mark.size(), fraction);
    }
  }
  for (auto at = out.find("%f"); at != std::string::npos; at = out.find("%f")) {
    out.replace(at, 2, fmt::format("{:09}", nanos));
  }
  char buffer[256];
  std::size_t length = std::strftime(buffer, sizeof buffer, out.c_str(), &parts);
  to += std::string_view(buffer, length);
}

void append_int(Text& to, std::int64_t value) {
  constexpr std::size_t kMost = 24;
  char* at = to.room(kMost);
  to.cut(std::to_chars(at, at + kMost, value).ptr);
}

const std::string& host_name() {
  static const std::string name = [] {
    char buffer[256] = {};
    gethostname(buffer, sizeof buffer - 1);
    return std::string(buffer);
  }();
  return name;
}

// ":method" and the like from the head, the rest from its fields.
std::string_view request_value(const http::RequestHead& head, std::string_view name) {
  if (!name.empty() && name.front() == ':') {
    if (name == ":method") return head.method;
    if (name == ":path") return head.path;
    if (name == ":authority") return head.authority;
    if (name == ":scheme") return head.scheme;
    return {};
  }
  if (name == "host") return head.authority;
  return head.headers.get_or(name, {});
}

}  // namespace

struct Format::Piece {
  std::string before;  // stands before the value
  Command command = Command::kNothing;
  std::string text;   // header name, time pattern
  std::string other;  // header to fall back on
  std::size_t limit = 0;
};

Format::Format() = default;
Format::~Format() = default;
Format::Format(Format&&) noexcept = default;
Format& Format::operator=(Format&&) noexcept = default;

Result<Format> Format::compile(std::string_view text) {
  Format format;
  std::string literal;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] != '%') {
      literal += text[at++];
      continue;
    }
    if (at + 1 < text.size() && text[at + 1] == '%') {
      literal += '%';
      at += 2;
      continue;
    }
    auto end_of_name = text.find_first_of("(:%", at + 1);
    if (end_of_name == std::string_view::npos) {
      return fail(Code::kInvalid, fmt::format("access log format: '%' without an end at {}", at));
    }
    std::string_view name = text.substr(at + 1, end_of_name - at - 1);
    const Name* known = nullptr;
    for (const Name& candidate : kNames) {
      if (candidate.text == name) known = &candidate;
    }
    if (known == nullptr) {
      return fail(Code::kInvalid, fmt::format("access log format: unknown command %{}%", name));
    }
    Piece piece;
    piece.command = known->command;
    std::size_t cursor = end_of_name;
    if (text[cursor] == '(') {
      auto close = text.find(')', cursor);
      if (close == std::string_view::npos) {
        return fail(Code::kInvalid, fmt::format("access log format: %{}( is not closed", name));
      }
      std::string_view inside = text.substr(cursor + 1, close - cursor - 1);
      if (piece.command == Command::kStartTime) {
        piece.text = inside;
      } else {
        auto question = inside.find('?');
        piece.text = lower(inside.substr(0, question));
        if (question != std::string_view::npos) piece.other = lower(inside.substr(question + 1));
      }
      cursor = close + 1;
    }
    if (cursor < text.size() && text[cursor] == ':') {
      auto close = text.find('%', cursor);
      auto limit = close == std::string_view::npos
                       ? std::nullopt
                       : parse_int<std::size_t>(text.substr(cursor + 1, close - cursor - 1));
      if (!limit) {
        return fail(Code::kInvalid, fmt::format("access log format: bad length in %{}", name));
      }
      piece.limit = *limit;
      cursor = close;
    }
    if (cursor >= text.size() || text[cursor] != '%') {
      return fail(Code::kInvalid, fmt::format("access log format: %{} has no closing '%'", name));
    }
    piece.before = std::exchange(literal, {});
    format.pieces_.push_back(std::move(piece));
    at = cursor + 1;
  }
  if (!literal.empty()) format.pieces_.push_back({.before = std::move(literal)});
  return format;
}

namespace {

// Appends the value and returns true, or returns false when there is none.
bool append_text(Text& to, std::string_view text) {
  to += text;
  return !text.empty();
}

// Appends `text` with '_' for each character that `is_other`.
bool append_replaced(Text& to, std::string_view text, auto is_other) {
  char* at = to.room(text.size());
  for (char c : text) *at++ = is_other(c) ? '_' : c;
  return !text.empty();
}

bool append_with_underscores(Text& to, std::string_view text) {
  return append_replaced(to, text, [](char c) { return c == ' ' || c == '\t' || c == '\n'; });
}

// As a client said it, before anything was proven: no line of a log begins in it.
bool append_host_like(Text& to, std::string_view name) {
  return append_replaced(to, name, [](char c) {
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return !word && c != '.' && c != '-' && c != ':';
  });
}

bool append_address(Text& to, const io::Address& address) {
  if (!address.is_ip()) return append_text(to, address.to_string());
  to.cut(address.write(to.room(io::Address::kMostText)));
  return true;
}

bool append_ip(Text& to, const io::Address& address) {
  if (!address.is_ip()) return append_text(to, address.ip());
  to.cut(address.write_ip(to.room(io::Address::kMostText)));
  return true;
}

bool append_connection(Text& to, Command command, const RequestInfo& request) {
  const ConnectionInfo& c = *request.connection;
  const io::Address& remote = request.remote ? request.remote : c.remote;
  switch (command) {
    case Command::kDownstreamLocal:
      return append_address(to, c.local);
    case Command::kDownstreamLocalIp:
      return append_ip(to, c.local);
    case Command::kDownstreamLocalPort:
      append_int(to, c.local.port());
      return true;
    case Command::kDownstreamRemote:
      return append_address(to, remote);
    case Command::kDownstreamRemoteIp:
      return append_ip(to, remote);
    case Command::kDownstreamRemotePort:
      append_int(to, remote.port());
      return true;
    case Command::kDownstreamDirect:
      return append_address(to, c.remote);
    case Command::kDownstreamDirectIp:
      return append_ip(to, c.remote);
    case Command::kServerName:
      return append_host_like(to, c.server_name);
    case Command::kConnectionId:
      append_int(to, static_cast<std::int64_t>(c.id));
      return true;
    case Command::kChainName:
      return append_text(to, c.chain_name);
    case Command::kPeerUri:
      return c.peer && append_text(to, c.peer->uri());
    case Command::kPeerSubject:
      return c.peer && append_text(to, c.peer->subject);
    case Command::kPeerIssuer:
      return c.peer && append_text(to, c.peer->issuer);
    case Command::kPeerSerial:
      return c.peer && append_text(to, c.peer->serial);
    case Command::kPeerFingerprint:
      return c.peer && append_text(to, c.peer->sha256);
    case Command::kOwnUri:
      return c.own && append_text(to, c.own->uri());
    case Command::kOwnSubject:
      return c.own && append_text(to, c.own->subject);
    default:
      return false;
  }
}

bool append_upstream(Text& to, Command command, const RequestInfo& request) {
  if (command == Command::kUpstreamCluster) return append_text(to, request.cluster_name);
  if (command == Command::kAttempts) {
    append_int(to, request.attempts);
    return true;
  }
  if (request.upstream == nullptr) return false;
  switch (command) {
    case Command::kUpstreamHost:
      return append_address(to, request.upstream->remote);
    case Command::kUpstreamRemoteIp:
      return append_ip(to, request.upstream->remote);
    case Command::kUpstreamLocal:
      return append_address(to, request.upstream->local);
    case Command::kUpstreamProtocol:
      return request.upstream->protocol &&
             append_text(to, http::to_string(*request.upstream->protocol));
    default:
      return false;
  }
}

bool append_outcome(Text& to, Command command, const RequestInfo& request) {
  bool refused = !request.is_tcp && request.request == nullptr;
  switch (command) {
    case Command::kResponseCode:
      append_int(to, request.status);
      return true;
    case Command::kResponseFlags:
    case Command::kResponseFlagsLong:
      to += flags_text(request.flags);
      return true;
    case Command::kResponseDetails:
      return append_with_underscores(to, request.details);
    case Command::kTerminationDetails:
      return append_text(to, request.termination_details);
    case Command::kTransportReason:
      return append_with_underscores(to, request.transport_reason);
    case Command::kBytesReceived:
      append_int(to, static_cast<std::int64_t>(refused ? 0 : request.bytes_received));
      return true;
    case Command::kBytesSent:
      append_int(to, static_cast<std::int64_t>(request.bytes_sent));
      return true;
    case Command::kDuration:
      append_int(to, duration_cast<milliseconds>(request.duration).count());
      return true;
    case Command::kResponseDuration:
      if (!request.upstream_duration) return false;
      append_int(to, duration_cast<milliseconds>(*request.upstream_duration).count());
      return true;
    case Command::kProtocol:
      return request.protocol && append_text(to, http::to_string(*request.protocol));
    case Command::kRouteName:
      return append_text(to, request.route_name);
    case Command::kHostname:
      return append_text(to, host_name());
    case Command::kGrpcStatus:
      if (!request.grpc_status) return false;
      append_int(to, *request.grpc_status);
      return true;
    default:
      return false;
  }
}

bool append_value(Text& to, Command command, const RequestInfo& request) {
  if (command < Command::kUpstreamCluster) return append_outcome(to, command, request);
  if (command < Command::kDownstreamLocal) return append_upstream(to, command, request);
  return append_connection(to, command, request);
}

}  // namespace

void Format::append(Text& to, const RequestInfo& request, bool empty_for_missing) const {
  for (const Piece& piece : pieces_) {
    to += piece.before;
    const std::size_t before = to.size();
    bool found = false;
    switch (piece.command) {
      case Command::kNothing:
        continue;
      case Command::kReq:
        if (request.request != nullptr) {
          std::string_view value = request_value(*request.request, piece.text);
          if (value.empty() && !piece.other.empty()) {
            value = request_value(*request.request, piece.other);
          }
          found = append_text(to, value);
        }
        break;
      case Command::kResp:
        if (request.response != nullptr) {
          found = append_text(to, request.response->headers.get_or(piece.text, {})) ||
                  (!piece.other.empty() &&
                   append_text(to, request.response->headers.get_or(piece.other, {})));
        }
        break;
      case Command::kTrailer:
        found = request.response_trailers != nullptr &&
                append_text(to, request.response_trailers->get_or(piece.text, {}));
        break;
      case Command::kStartTime:
        append_time(to, request.started, piece.text);
        found = true;
        break;
      case Command::kEmpty:
        break;
      default:
        found = append_value(to, piece.command, request);
    }
    if (!found && !empty_for_missing) to += '-';
    if (piece.limit != 0 && to.size() - before > piece.limit) to.resize(before + piece.limit);
  }
}

void Format::append(std::string& to, const RequestInfo& request, bool empty_for_missing) const {
  Text text;
  append(text, request, empty_for_missing);
  to += text.view();
}

}  // namespace mizzen::proxy
