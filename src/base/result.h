// Errors as values: Result<T>, Status and the one Error type of the whole tree.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mizzen {

// Where a failure arose, seen from the program that reports it.
enum class Side : std::uint8_t { kInternal, kDownstream, kUpstream };

enum class Code : std::uint8_t {
  kInvalid,  // the input itself is wrong; the message names the field and the fix
  kNotFound,
  kExists,
  kConflict,  // a newer version is there
  kDenied,
  kUnauthenticated,
  kTimeout,
  kUnavailable,  // cannot be reached, or not ready
  kClosed,       // the peer ended the conversation
  kReset,        // the peer, or the network, broke it off
  kLimit,        // an explicit limit was met
  kProtocol,     // the peer broke the protocol
  kUnsupported,
  kInternal,
};

// The name of a code in lower case, e.g. "not found". Static storage.
std::string_view to_string(Code code);

struct Error {
  Code code = Code::kInternal;
  Side side = Side::kInternal;
  bool retry_safe = false;  // true when the other side has surely not acted on the request
  std::string message;      // for a person: names the object, the field and the fix

  // This error with `context: ` before its message.
  Error in(std::string_view context) const;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[gnu::cold]] inline std::unexpected<Error> fail(Code code, std::string message,
                                                 Side side = Side::kInternal,
                                                 bool retry_safe = false) {
  return std::unexpected(Error{code, side, retry_safe, std::move(message)});
}

// An Error for the current errno: `what: strerror`. The code follows the errno's meaning.
Error errno_error(std::string_view what, int errno_value, Side side = Side::kInternal);

}  // namespace mizzen

// Evaluates `expr` (a Result); returns its error from the enclosing function, or goes on with
// `var` holding the value. MIZZEN_CHECKED is the same for a Status.
#define MIZZEN_CONCAT_(a, b) a##b
#define MIZZEN_CONCAT(a, b) MIZZEN_CONCAT_(a, b)
#define MIZZEN_TRY(var, expr) MIZZEN_TRY_(var, expr, MIZZEN_CONCAT(result_, __LINE__))
#define MIZZEN_TRY_(var, expr, tmp)                 \
  auto tmp = (expr);                                \
  if (!tmp) [[unlikely]]                            \
    return std::unexpected(std::move(tmp.error())); \
  var = std::move(*tmp)
#define MIZZEN_CHECKED(expr)                              \
  do {                                                    \
    if (auto status_ = (expr); !status_) [[unlikely]]     \
      return std::unexpected(std::move(status_.error())); \
  } while (false)
