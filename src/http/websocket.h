// WebSocket frames and handshake (RFC 6455), both sides, without extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::http::websocket {

enum class Opcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

enum class Role : std::uint8_t { kServer, kClient };

// sec-websocket-accept for a request's sec-websocket-key (4.2.2).
std::string accept_key(std::string_view key);
// A fresh sec-websocket-key (4.1): 16 random bytes in base64.
std::string make_key();

// Appends one whole message as a single frame. A client masks with a random key (5.3).
void append_frame(std::string& to, Role role, Opcode opcode, std::string_view payload);
// A close frame with a status code of 7.4 and a reason (cut at 123 bytes).
void append_close(std::string& to, Role role, std::uint16_t code, std::string_view reason);

struct CloseReason {
  std::uint16_t code = 1005;  // 1005: none was given
  std::string_view text;
};
// The payload of a close frame.
CloseReason parse_close(std::string_view payload);

// Cuts a byte stream into messages. Fragments are put together; control frames may come between.
class Reader {
 public:
  // `role` is the reader's own: a server takes only masked frames, a client only unmasked ones.
  // Messages beyond `max_message_bytes` are an error (close code 1009 says so to the peer).
  Reader(Role role, std::size_t max_message_bytes) : role_(role), max_(max_message_bytes) {}

  // Calls `on_message` for every message and control frame that `bytes` completes, as kText,
  // kBinary, kClose, kPing or kPong; the payload is valid during the call. After an error nothing
  // more may be fed; close_code() says what to tell the peer.
  Status feed(std::string_view bytes,
              const std::function<void(Opcode, std::string_view payload)>& on_message);
  std::uint16_t close_code() const { return close_code_; }

 private:
  struct Frame;
  Result<std::optional<Frame>> next_frame();
  Status fail_with(std::uint16_t code, std::string_view message);
  Status take(const Frame& frame, const std::function<void(Opcode, std::string_view)>& on_message);

  Role role_;
  std::size_t max_;
  std::string input_;    // bytes not yet cut into frames
  std::size_t at_ = 0;   // how much of input_ is done with
  std::string message_;  // fragments so far
  std::optional<Opcode> fragmented_;
  std::uint16_t close_code_ = 1002;
};

}  // namespace mizzen::http::websocket
