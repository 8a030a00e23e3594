#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace mizzen {
namespace {

Code code_of(int errno_value) {
  switch (errno_value) {
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
      return Code::kExists;
    case EACCES:
    case EPERM:
      return Code::kDenied;
    case ETIMEDOUT:
      return Code::kTimeout;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Code::kUnavailable;
    case EPIPE:
    case ECONNRESET:
      return Code::kReset;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return Code::kLimit;
    case EINVAL:
      return Code::kInvalid;
    default:
      return Code::kInternal;
  }
}

}  // namespace

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kNotFound:
      return "not found";
    case Code::kExists:
      return "already exists";
    case Code::kConflict:
      return "conflict";
    case Code::kDenied:
      return "denied";
    case Code::kUnauthenticated:
      return "unauthenticated";
    case Code::kTimeout:
      return "timeout";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kClosed:
      return "closed";
    case Code::kReset:
      return "reset";
    case Code::kLimit:
      return "limit";
    case Code::kProtocol:
      return "protocol error";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

Error Error::in(std::string_view context) const {
  Error error = *this;
  error.message = std::string(context) + ": " + message;
  return error;
}

Error errno_error(std::string_view what, int errno_value, Side side) {
  Code code = code_of(errno_value);
  bool retry_safe = code == Code::kUnavailable;
  return {code, side, retry_safe, std::string(what) + ": " + std::strerror(errno_value)};
}

}  // namespace mizzen
