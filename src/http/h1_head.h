// Reading and writing the heads of HTTP/1 messages (RFC 9112 2-6).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "http/codec.h"
#include "http/message.h"
#include "http/output.h"

namespace mizzen::http::h1 {

// What a head says about its message and connection.
struct Framing {
  std::optional<std::uint64_t> length;  // Content-Length
  bool chunked = false;
  bool keep_alive = true;  // by version and Connection
};

// Why a head is refused: the status a server answers with, and a literal.
struct Refusal {
  int status = 400;
  std::string_view why;
};
inline std::unexpected<Refusal> refuse(int status, std::string_view why) {
  return std::unexpected(Refusal{status, why});
}

// Looks for the end of a head in `bytes`, of which the first `scanned` were looked at before.
// Returns the head's size with its empty line; nothing when there is more to come. A line feed
// without carriage return before it is refused (RFC 9112 2.2 lets a recipient take it; taking it
// is how requests are smuggled past those who do not).
std::expected<std::optional<std::size_t>, Refusal> find_head_end(std::string_view bytes,
                                                                 std::size_t& scanned);

// Parse a whole head, its empty line included, in one pass over a copy in the head's own arena.
// Refused, among others: obs-fold, white space before a colon, Content-Length together with
// Transfer-Encoding, differing or listed Content-Lengths, transfer codings but chunked, and for
// requests no or several Host fields.
std::expected<Framing, Refusal> parse_request(std::string_view head, const CodecOptions& options,
                                              RequestHead& to);
std::expected<Framing, Refusal> parse_response(std::string_view head, const CodecOptions& options,
                                               ResponseHead& to);
// The field lines of a trailer section, its empty line included.
std::expected<void, Refusal> parse_trailers(std::string_view lines, const Limits& limits,
                                            Headers& to);

// How a message says where its body ends.
enum class BodyFraming : std::uint8_t { kNone, kLength, kChunked, kUntilClose, kOpaque };

// These append whole lines, names in the case that `options` asks for, without the fields that are
// a connection's own, and with those that `body` and an upgrade need (of a WebSocket without a key
// also that: it came as an extended CONNECT, RFC 8441).
void write_request(Output& to, const RequestHead& head, BodyFraming body,
                   const CodecOptions& options);
// `keep_alive` as the connection goes on; `http10`: the client is of that version; `upgrade`: what
// it was granted, or empty.
void write_response(Output& to, const ResponseHead& head, BodyFraming body, bool keep_alive,
                    bool http10, std::string_view upgrade, const CodecOptions& options);
void write_fields(Output& to, const Headers& headers, const CodecOptions& options);

}  // namespace mizzen::http::h1
