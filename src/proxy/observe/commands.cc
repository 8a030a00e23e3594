#include "proxy/observe/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <span>

#include "base/clock.h"
#include "base/strings.h"
#include "http/grpc.h"

namespace mizzen::proxy {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// strftime's conversions plus Envoy's %f (nanoseconds), %3f and the like (digits of the fraction).
void append_pattern(Text& to, WallTime time, std::string_view pattern) {
  auto since = time.time_since_epoch();
  auto seconds = duration_cast<std::chrono::seconds>(since);
  auto nanos = static_cast<std::uint64_t>((since - seconds).count());
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

bool append_int(Text& to, std::int64_t value) {
  constexpr std::size_t kMost = 24;
  char* at = to.room(kMost);
  to.cut(std::to_chars(at, at + kMost, value).ptr);
  return true;
}

bool append_millis(Text& to, std::optional<Duration> time) {
  return time && append_int(to, duration_cast<milliseconds>(*time).count());
}

bool append_text(Text& to, std::string_view text) {
  to += text;
  return !text.empty();
}

// As tables, since they are asked for every character.
using Characters = std::array<char, 256>;  // what each is printed as
constexpr Characters replacing(auto is_other) {
  Characters table{};
  for (int c = 0; c < 256; ++c) {
    const char as_it_is = static_cast<char>(c);
    table[c] = is_other(as_it_is) ? '_' : as_it_is;
  }
  return table;
}
constexpr Characters kWithoutSpace =
    replacing([](char c) { return c == ' ' || c == '\t' || c == '\n'; });
// As a client said it, before anything was proven: no line of a log begins in it.
constexpr Characters kHostLike = replacing([](char c) {
  const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return !word && c != '.' && c != '-' && c != ':';
});

bool append_as(Text& to, const Characters& characters, std::string_view text) {
  char* at = to.room(text.size());
  for (char c : text) *at++ = characters[static_cast<unsigned char>(c)];
  return !text.empty();
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

const std::string& host_name() {
  static const std::string name = [] {
    char buffer[256] = {};
    gethostname(buffer, sizeof buffer - 1);
    return std::string(buffer);
  }();
  return name;
}

const io::Address& remote_of(const RequestInfo& request) {
  return request.remote ? request.remote : request.connection->remote;
}

// Of what the client showed (ConnectionInfo::peer) or of what we did (own).
template <auto whose>
bool append_uri(Text& to, const RequestInfo& request) {
  const auto& shown = request.connection->*whose;
  return shown != nullptr && append_text(to, shown->uri());
}
template <auto whose, std::string io::PeerCertificate::*part>
bool append_part(Text& to, const RequestInfo& request) {
  const auto& shown = request.connection->*whose;
  return shown != nullptr && append_text(to, (*shown).*part);
}

bool write_time(Text& to, const Arguments& with, const RequestInfo& request) {
  if (with.text.empty()) {
    write_rfc3339_millis(to.room(kRfc3339Millis), request.started);
  } else {
    append_pattern(to, request.started, with.text);
  }
  return true;
}

bool write_request_header(Text& to, const Arguments& with, const RequestInfo& request) {
  if (request.request == nullptr) return false;
  return append_text(to, with.header.in(*request.request)) ||
         append_text(to, with.instead.in(*request.request));
}

bool write_field(Text& to, const Arguments& with, const http::Headers* fields) {
  if (fields == nullptr) return false;
  return append_text(to, fields->get_or(with.header.name, {})) ||
         append_text(to, fields->get_or(with.instead.name, {}));
}

bool append_bytes_received(Text& to, const RequestInfo& request) {
  const bool refused = !request.is_tcp && request.request == nullptr;
  return append_int(to, static_cast<std::int64_t>(refused ? 0 : request.bytes_received));
}

bool append_flags(Text& to, const RequestInfo& request) {
  if (request.flags != 0) return append_text(to, flags_text(request.flags));
  to += '-';
  return true;
}

bool append_long_flags(Text& to, const RequestInfo& request) {
  return append_text(to, long_flags_text(request.flags));
}

bool append_cluster(Text& to, const RequestInfo& request) {
  return append_text(to, request.cluster_name);
}

bool append_upstream_host(Text& to, const RequestInfo& request) {
  return request.upstream != nullptr && append_address(to, request.upstream->remote);
}

// What the answer said, or what its HTTP status means to a gRPC client.
std::optional<int> grpc_status_of(const RequestInfo& request) {
  if (!request.is_grpc) return std::nullopt;
  if (request.grpc_status || request.status == 0) return request.grpc_status;
  return static_cast<int>(http::grpc_code_of_http(request.status));
}

bool append_grpc_number(Text& to, const RequestInfo& request) {
  const auto status = grpc_status_of(request);
  return status && append_int(to, *status);
}

bool write_grpc_status(Text& to, const Arguments& with, const RequestInfo& request) {
  const auto status = grpc_status_of(request);
  if (!status) return false;
  const auto code = static_cast<http::GrpcCode>(*status);
  const bool named = *status >= 0 && *status <= static_cast<int>(http::GrpcCode::kUnauthenticated);
  if (!named || with.style == Arguments::Style::kNumber) return append_int(to, *status);
  return append_text(to, with.style == Arguments::Style::kSnake ? http::to_string(code)
                                                                : http::to_camel_string(code));
}

bool write_details(Text& to, const Arguments& with, const RequestInfo& request) {
  return with.keep_spaces ? append_text(to, request.details)
                          : append_as(to, kWithoutSpace, request.details);
}

bool write_argument(Text& to, const Arguments& with, const RequestInfo&) {
  return append_text(to, with.text);
}

bool write_nothing(Text&, const Arguments&, const RequestInfo&) { return false; }

// A command without arguments.
template <bool (*write)(Text& to, const RequestInfo& request)>
constexpr WriteCommand plain =
    [](Text& to, const Arguments&, const RequestInfo& request) { return write(to, request); };
using Info = const RequestInfo;

struct Command {
  std::string_view name;
  WriteCommand write;
};

constexpr Command kOfRequests[] = {
    {"REQ", write_request_header},
    {"RESP",
     [](Text& to, const Arguments& with, const RequestInfo& r) {
       return write_field(to, with, r.response != nullptr ? &r.response->headers : nullptr);
     }},
    {"TRAILER", [](Text& to, const Arguments& with,
                   const RequestInfo& r) { return write_field(to, with, r.response_trailers); }},
    {"START_TIME", write_time},
    {"RESPONSE_CODE", plain<[](Text& to, Info& r) { return append_int(to, r.status); }>},
    {"RESPONSE_FLAGS", plain<append_flags>},
    {"RESPONSE_FLAGS_LONG", plain<append_long_flags>},
    {"BYTES_RECEIVED", plain<append_bytes_received>},
    {"GRPC_STATUS", write_grpc_status},
    {"GRPC_STATUS_NUMBER", plain<append_grpc_number>},
    {"PROTOCOL", plain<[](Text& to, Info& r) {
       return r.protocol && append_text(to, http::to_string(*r.protocol));
     }>},
    {"RESPONSE_CODE_DETAILS", write_details},
    {"CONNECTION_TERMINATION_DETAILS",
     plain<[](Text& to, Info& r) { return append_text(to, r.termination_details); }>},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON",
     plain<[](Text& to, Info& r) { return append_as(to, kWithoutSpace, r.transport_reason); }>},
    {"BYTES_SENT", plain<[](Text& to, Info& r) {
       return append_int(to, static_cast<std::int64_t>(r.bytes_sent));
     }>},
    {"DURATION", plain<[](Text& to, Info& r) { return append_millis(to, r.duration); }>},
    {"REQUEST_DURATION",
     plain<[](Text& to, Info& r) { return append_millis(to, r.request_duration); }>},
    {"RESPONSE_DURATION",
     plain<[](Text& to, Info& r) { return append_millis(to, r.response_duration); }>},
    {"ROUTE_NAME", plain<[](Text& to, Info& r) { return append_text(to, r.route_name); }>},
    {"HOSTNAME", plain<[](Text& to, Info&) { return append_text(to, host_name()); }>},
};

constexpr Command kOfUpstreams[] = {
    {"UPSTREAM_CLUSTER", plain<append_cluster>},
    {"UPSTREAM_CLUSTER_RAW", plain<append_cluster>},
    {"UPSTREAM_HOST", plain<append_upstream_host>},
    {"UPSTREAM_REMOTE_ADDRESS", plain<append_upstream_host>},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT",
     plain<[](Text& to, Info& r) { return append_int(to, r.attempts); }>},
    {"UPSTREAM_LOCAL_ADDRESS", plain<[](Text& to, Info& r) {
       return r.upstream != nullptr && append_address(to, r.upstream->local);
     }>},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", plain<[](Text& to, Info& r) {
       return r.upstream != nullptr && append_ip(to, r.upstream->remote);
     }>},
    {"UPSTREAM_PROTOCOL", plain<[](Text& to, Info& r) {
       return r.upstream != nullptr && r.upstream->protocol &&
              append_text(to, http::to_string(*r.upstream->protocol));
     }>},
};

constexpr Command kOfConnections[] = {
    {"DOWNSTREAM_LOCAL_ADDRESS",
     plain<[](Text& to, Info& r) { return append_address(to, r.connection->local); }>},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
     plain<[](Text& to, Info& r) { return append_ip(to, r.connection->local); }>},
    {"DOWNSTREAM_LOCAL_PORT",
     plain<[](Text& to, Info& r) { return append_int(to, r.connection->local.port()); }>},
    {"DOWNSTREAM_REMOTE_ADDRESS",
     plain<[](Text& to, Info& r) { return append_address(to, remote_of(r)); }>},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
     plain<[](Text& to, Info& r) { return append_ip(to, remote_of(r)); }>},
    {"DOWNSTREAM_REMOTE_PORT",
     plain<[](Text& to, Info& r) { return append_int(to, remote_of(r).port()); }>},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
     plain<[](Text& to, Info& r) { return append_address(to, r.connection->remote); }>},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
     plain<[](Text& to, Info& r) { return append_ip(to, r.connection->remote); }>},
    {"REQUESTED_SERVER_NAME",
     plain<[](Text& to, Info& r) { return append_as(to, kHostLike, r.connection->server_name); }>},
    {"CONNECTION_ID", plain<[](Text& to, Info& r) {
       return append_int(to, static_cast<std::int64_t>(r.connection->id));
     }>},
    {"FILTER_CHAIN_NAME",
     plain<[](Text& to, Info& r) { return append_text(to, r.connection->chain_name); }>},
    {"DOWNSTREAM_PEER_URI_SAN", plain<append_uri<&ConnectionInfo::peer>>},
    {"DOWNSTREAM_LOCAL_URI_SAN", plain<append_uri<&ConnectionInfo::own>>},
    {"DOWNSTREAM_PEER_SUBJECT",
     plain<append_part<&ConnectionInfo::peer, &io::PeerCertificate::subject>>},
    {"DOWNSTREAM_LOCAL_SUBJECT",
     plain<append_part<&ConnectionInfo::own, &io::PeerCertificate::subject>>},
    {"DOWNSTREAM_PEER_ISSUER",
     plain<append_part<&ConnectionInfo::peer, &io::PeerCertificate::issuer>>},
    {"DOWNSTREAM_PEER_SERIAL",
     plain<append_part<&ConnectionInfo::peer, &io::PeerCertificate::serial>>},
    {"DOWNSTREAM_PEER_FINGERPRINT_256",
     plain<append_part<&ConnectionInfo::peer, &io::PeerCertificate::sha256>>},
    {"DOWNSTREAM_TLS_VERSION",
     plain<[](Text& to, Info& r) { return append_text(to, r.connection->tls_version); }>},
    {"DOWNSTREAM_TLS_CIPHER",
     plain<[](Text& to, Info& r) { return append_text(to, r.connection->tls_cipher); }>},
};

constexpr Command kOfOthers[] = {
    {"ENVIRONMENT", write_argument},
    // Nothing of ours fills these; they print as missing, as Envoy's do without the filter.
    {"DYNAMIC_METADATA", write_nothing},
    {"FILTER_STATE", write_nothing},
    {"CLUSTER_METADATA", write_nothing},
    {"UPSTREAM_METADATA", write_nothing},
};

constexpr std::span<const Command> kCommands[] = {kOfRequests, kOfUpstreams, kOfConnections,
                                                  kOfOthers};

}  // namespace

HeaderPick HeaderPick::of(std::string_view name) {
  HeaderPick pick{.name = lower(name)};
  if (pick.name == ":method") pick.part = &http::RequestHead::method;
  if (pick.name == ":path") pick.part = &http::RequestHead::path;
  if (pick.name == ":scheme") pick.part = &http::RequestHead::scheme;
  if (pick.name == ":authority" || pick.name == "host") pick.part = &http::RequestHead::authority;
  return pick;
}

Arguments Arguments::of(const FormatPiece& piece) {
  using Takes = FormatCommand::Takes;
  const std::string_view inside = piece.arguments;
  Arguments made;
  switch (piece.command->takes) {
    case Takes::kHeader: {
      const auto question = inside.find('?');
      made.header = HeaderPick::of(inside.substr(0, question));
      if (question != inside.npos) made.instead = HeaderPick::of(inside.substr(question + 1));
      break;
    }
    case Takes::kName:
      if (const char* value = std::getenv(piece.arguments.c_str())) made.text = value;
      break;
    case Takes::kTime:
      made.text = inside;
      break;
    case Takes::kStyle:
      if (inside == "SNAKE_STRING") made.style = Style::kSnake;
      if (inside == "NUMBER") made.style = Style::kNumber;
      break;
    case Takes::kSpaces:
      made.keep_spaces = !inside.empty();
      break;
    case Takes::kNothing:
      break;
  }
  return made;
}

WriteCommand find_writer(std::string_view name) {
  for (const std::span<const Command> commands : kCommands) {
    for (const Command& command : commands) {
      if (command.name == name) return command.write;
    }
  }
  return nullptr;
}

}  // namespace mizzen::proxy
