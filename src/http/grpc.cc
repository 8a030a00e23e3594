#include "http/grpc.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mizzen::http {

namespace {

constexpr std::array<std::string_view, 17> kNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

constexpr std::array<std::string_view, kNames.size()> kCamelNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

constexpr std::size_t kPrefix = 5;  // flag and length

}  // namespace

std::string_view to_string(GrpcCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

std::string_view to_camel_string(GrpcCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kCamelNames.size() ? kCamelNames[index] : "Unknown";
}

GrpcCode grpc_code_of_http(int http_status) {
  switch (http_status) {
    case 400:
      return GrpcCode::kInternal;
    case 401:
      return GrpcCode::kUnauthenticated;
    case 403:
      return GrpcCode::kPermissionDenied;
    case 404:
      return GrpcCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode::kUnavailable;
    default:
      return GrpcCode::kUnknown;
  }
}

GrpcCode grpc_code_of(Code code) {
  switch (code) {
    case Code::kInvalid:
      return GrpcCode::kInvalidArgument;
    case Code::kNotFound:
      return GrpcCode::kNotFound;
    case Code::kExists:
      return GrpcCode::kAlreadyExists;
    case Code::kConflict:
      return GrpcCode::kAborted;
    case Code::kDenied:
      return GrpcCode::kPermissionDenied;
    case Code::kUnauthenticated:
      return GrpcCode::kUnauthenticated;
    case Code::kTimeout:
      return GrpcCode::kDeadlineExceeded;
    case Code::kUnavailable:
    case Code::kClosed:
    case Code::kReset:
      return GrpcCode::kUnavailable;
    case Code::kLimit:
      return GrpcCode::kResourceExhausted;
    case Code::kUnsupported:
      return GrpcCode::kUnimplemented;
    case Code::kProtocol:
    case Code::kInternal:
      return GrpcCode::kInternal;
  }
  return GrpcCode::kUnknown;
}

std::optional<GrpcStatus> grpc_status_of(const Headers& headers) {
  auto text = headers.get("grpc-status");
  if (!text) return std::nullopt;
  const auto number = parse_int<unsigned>(*text);
  const bool known = number && *number < kNames.size();
  return GrpcStatus{known ? static_cast<GrpcCode>(*number) : GrpcCode::kUnknown,
                    grpc_message_decode(headers.get_or("grpc-message", ""))};
}

void set_grpc_status(Headers& headers, const GrpcStatus& status) {
  headers.set("grpc-status", fmt::format("{}", static_cast<int>(status.code)));
  if (!status.message.empty()) headers.set("grpc-message", grpc_message_encode(status.message));
}

std::string grpc_message_encode(std::string_view text) {
  std::string encoded;
  for (char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u > 0x7e || c == '%') {
      encoded += fmt::format("%{:02X}", u);
    } else {
      encoded.push_back(c);
    }
  }
  return encoded;
}

std::string grpc_message_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    decoded.push_back(text[i]);
  }
  return decoded;
}

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  const auto number = parse_int<std::uint32_t>(text.substr(0, text.size() - 1));
  if (!number) return std::nullopt;
  switch (text.back()) {
    case 'H': {  // 99,999,999 hours do not fit; nobody waits a century
      constexpr std::uint32_t kLongest = 24 * 365 * 100;
      return std::chrono::hours(std::min(*number, kLongest));
    }
    case 'M':
      return std::chrono::minutes(*number);
    case 'S':
      return std::chrono::seconds(*number);
    case 'm':
      return std::chrono::milliseconds(*number);
    case 'u':
      return std::chrono::microseconds(*number);
    case 'n':
      return std::chrono::nanoseconds(*number);
    default:
      return std::nullopt;
  }
}

std::string format_grpc_timeout(Duration timeout) {
  constexpr std::int64_t kMost = 99'999'999;
  struct Unit {
    std::int64_t nanoseconds;
    char letter;
  };
  constexpr std::array<Unit, 6> kUnits = {{{1, 'n'},
                                           {1'000, 'u'},
                                           {1'000'000, 'm'},
                                           {1'000'000'000, 'S'},
                                           {60'000'000'000, 'M'},
                                           {3'600'000'000'000, 'H'}}};
  const std::int64_t count = std::max<std::int64_t>(timeout.count(), 0);
  for (const Unit& unit : kUnits) {
    const std::int64_t value = count / unit.nanoseconds + (count % unit.nanoseconds != 0 ? 1 : 0);
    if (value <= kMost) return fmt::format("{}{}", value, unit.letter);
  }
  return fmt::format("{}H", kMost);
}

void grpc_append_message(std::string& to, std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  to.reserve(to.size() + kPrefix + message.size());
  to.push_back('\0');
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<char>(size >> shift));
  to.append(message);
}

Status GrpcReader::feed(std::string_view bytes,
                        const std::function<void(std::string_view)>& on_message) {
  if (!partial_.empty()) {
    partial_.append(bytes);
    bytes = partial_;
  }
  std::size_t at = 0;
  while (bytes.size() - at >= kPrefix) {
    if (bytes[at] != 0) return fail(Code::kUnsupported, "compressed gRPC message");
    std::size_t size = 0;
    for (std::size_t i = 1; i < kPrefix; ++i) {
      size = (size << 8) | static_cast<unsigned char>(bytes[at + i]);
    }
    if (size > max_) {
      return fail(Code::kLimit,
                  fmt::format("gRPC message of {} bytes; the limit is {}", size, max_));
    }
    if (bytes.size() - at - kPrefix < size) break;
    on_message(bytes.substr(at + kPrefix, size));
    at += kPrefix + size;
  }
  if (partial_.empty()) {
    partial_.assign(bytes.substr(at));
  } else {
    partial_.erase(0, at);
  }
  return {};
}

}  // namespace mizzen::http
