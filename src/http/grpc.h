// gRPC over HTTP/2: message framing, timeouts and status codes (grpc/doc/PROTOCOL-HTTP2.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "http/headers.h"

namespace mizzen::http {

// The numbers of grpc-status.
enum class GrpcCode : std::uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

struct GrpcStatus {
  GrpcCode code = GrpcCode::kOk;
  std::string message;  // decoded
  bool ok() const { return code == GrpcCode::kOk; }
};

// "OK", "UNAVAILABLE", ...; "UNKNOWN" for a number without a name.
std::string_view to_string(GrpcCode code);
// "OK", "Unavailable", "Canceled" (with one l), ...; "Unknown" for a number without a name.
std::string_view to_camel_string(GrpcCode code);

// The mapping of grpc/doc/http-grpc-status-mapping.md, for responses without grpc-status.
GrpcCode grpc_code_of_http(int http_status);
// What an error of ours is to a gRPC caller.
GrpcCode grpc_code_of(Code code);

// grpc-status and grpc-message of trailers, or of a trailers-only response. Nothing without
// grpc-status.
std::optional<GrpcStatus> grpc_status_of(const Headers& headers);
void set_grpc_status(Headers& headers, const GrpcStatus& status);

// Percent-encoding of grpc-message.
std::string grpc_message_encode(std::string_view text);
std::string grpc_message_decode(std::string_view text);

// grpc-timeout: "1S", "200m"... at most 8 digits. Formatting rounds up to what fits.
std::optional<Duration> parse_grpc_timeout(std::string_view text);
std::string format_grpc_timeout(Duration timeout);

// Appends one length-prefixed, uncompressed message.
void grpc_append_message(std::string& to, std::string_view message);

// Cuts a body into messages.
class GrpcReader {
 public:
  explicit GrpcReader(std::size_t max_message_bytes) : max_(max_message_bytes) {}
  // Calls `on_message` for each message that `bytes` completes; the view is valid during the call.
  // Fails on a message that is too large, or compressed (identity is all we offer).
  Status feed(std::string_view bytes, const std::function<void(std::string_view)>& on_message);
  // Whether the body may end here, i.e. not inside a message.
  bool at_boundary() const { return partial_.empty(); }

 private:
  std::size_t max_;
  std::string partial_;
};

}  // namespace mizzen::http
