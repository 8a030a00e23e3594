// One interface for HTTP/1 (RFC 9112) and HTTP/2 (RFC 9113): bytes in, events out, and the reverse.
//
// A codec does no I/O and owns no clock. Its owner reads a socket and calls feed(), writes what
// output() shows and reports it with drained(). All of one codec is used from one thread.
//
// Events are raised only from inside feed(), end_of_input(), connection_lost() and drained(), never
// from inside submit(), respond(), send_*(), consumed() or reset(). A handler may call any of these
// latter methods, on any stream, but must not call the former four nor destroy the codec.
//
// Back-pressure. Inwards: every byte given to on_data() counts as held until consumed() says so;
// HTTP/2 opens its window only then, HTTP/1 stops asking for input (wants_input()) while more than
// Limits::stream_window is held. Outwards: send_data() always takes everything; a sender stops when
// buffered() passes Limits::send_buffer and goes on at on_writable().
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/headers.h"
#include "http/message.h"

namespace mizzen::http {

// HTTP/1 counts requests from 1; HTTP/2's own numbers.
using StreamId = std::int32_t;

// RFC 9113 7. HTTP/1 closes the connection whatever the code.
enum class ResetCode : std::uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kStreamClosed = 5,
  kRefusedStream = 7,
  kCancel = 8,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kHttp11Required = 13,
};

struct Limits {
  std::size_t head_bytes = 60 * 1024;  // start line and fields; more is 431, as Envoy has it
  std::size_t header_count = 100;
  std::size_t chunk_line_bytes = 4096;          // HTTP/1 chunk size with extensions
  std::size_t stream_window = 256 * 1024;       // body bytes that a reader may hold per stream
  std::size_t connection_window = 1024 * 1024;  // HTTP/2, all streams together
  std::size_t send_buffer = 256 * 1024;         // high mark of buffered() per stream
  std::uint32_t concurrent_streams = 1024;      // HTTP/2, that we let the peer open
  // HTTP/2 floods: the connection ends with ENHANCE_YOUR_CALM beyond these.
  std::uint32_t early_resets = 500;     // streams reset by the peer before we answered, when they
                                        // are also more than half of all streams
  std::uint32_t control_frames = 1000;  // PING and SETTINGS acknowledgements waiting to be written
  std::uint32_t outbound_frames = 10'000;  // frames of any kind waiting to be written
  std::uint32_t empty_frames = 100;        // frames that bring nothing, in a row
  std::uint32_t priority_frames = 100;     // PRIORITY, for each stream that was opened
  std::uint32_t window_updates = 10;       // WINDOW_UPDATE, for each DATA frame that we sent
  std::uint32_t hpack_table = 4096;        // bytes of the peer's header table
};

// How HTTP/1 writes field names: in lower case, as they came, or Each-Word with a capital.
enum class HeaderCase : std::uint8_t { kLower, kAsReceived, kProper };

struct CodecOptions {
  Limits limits;
  HeaderCase header_case = HeaderCase::kLower;
  bool absolute_targets = true;      // HTTP/1 server: take "GET http://host/path"
  std::string_view scheme = "http";  // for HTTP/1 requests; a literal
  // HTTP/2 server: so many requests are taken in one feed(), and what is behind them is kept.
  std::uint32_t heads_per_turn = 0xffffffff;
};

// What happens to one exchange. After on_reset() or on_complete() the codec forgets the handler;
// one of the two always comes, unless reset() was called or the codec was destroyed.
class StreamEvents {
 public:
  // Client: an interim response (1xx but 101), any number of times, then the response.
  virtual void on_informational(ResponseHead&& head);
  virtual void on_response(ResponseHead&& head, bool end);
  // Part of the body; the bytes are valid during the call only. Hold them with consumed().
  virtual void on_data(std::string_view bytes, bool end) = 0;
  // The trailers; nothing follows them.
  virtual void on_trailers(Headers&& trailers) = 0;
  // The stream broke: by the peer's RST_STREAM, a protocol error, or the end of the connection.
  // `retry_safe` when the peer has surely not acted on the request.
  virtual void on_reset(const Error& error) = 0;
  // buffered() fell below half of Limits::send_buffer after having been above it.
  virtual void on_writable() {}
  // Both directions have ended and all output of this stream was drained.
  virtual void on_complete() = 0;

 protected:
  ~StreamEvents() = default;
};

class ConnectionEvents {
 public:
  // Server: a request's head. `end`: it has no body and no trailers. An upgrade's or CONNECT's
  // bytes come after it was accepted on HTTP/1, on HTTP/2 whenever the peer sends them. Returns who
  // hears the rest; null refuses the stream (HTTP/2: REFUSED_STREAM; HTTP/1: the connection ends).
  virtual StreamEvents* on_request(StreamId id, RequestHead&& head, bool end);
  // The peer takes no new streams on this connection (GOAWAY, or HTTP/1's "connection: close").
  // Streams it will not serve get on_reset() with retry_safe.
  virtual void on_goaway() {}
  // HTTP/2: the answer to ping(), and the peer's SETTINGS (concurrent streams may have changed).
  virtual void on_pong(std::uint64_t /*payload*/) {}
  virtual void on_settings() {}
  // There is output to write or kept input to go on with (call feed({})). Raised when a call from
  // outside of feed(), end_of_input() and drained() made it so, and then once until the next of
  // them. It may be called from inside submit() and the like: note it and act at the end of the
  // turn.
  virtual void on_work() {}

 protected:
  ~ConnectionEvents() = default;
};

class Codec {
 public:
  virtual ~Codec() = default;

  // Takes all of `bytes` (what cannot be handled yet is kept: the beginning of a head, within its
  // limits, and what was fed after wants_input() had turned false). An error is the connection's:
  // open streams had their on_reset(), what is left in output() (an error response, GOAWAY) should
  // be written, then the connection closed. Nothing more may be fed after it.
  virtual Status feed(std::string_view bytes) = 0;
  // CodecOptions::heads_per_turn kept input back: call feed({}) in the next turn.
  virtual bool wants_turn() const { return false; }
  // Much of what came was in vain (streams taken back, heads beyond the limits): who reads for this
  // codec does so in small pieces, so that others get their turn.
  virtual bool is_suspect() const { return false; }
  // Whether the owner should read from the socket now.
  virtual bool wants_input() const = 0;
  // The peer closed its sending side. Streams that cannot end properly get on_reset().
  virtual void end_of_input() = 0;
  // The connection is gone, both ways: every open stream gets on_reset() (kClosed), whatever it
  // still waits for. Before the owner lets go of a codec that others have streams on.
  virtual void connection_lost() = 0;

  // Fills `to` with output in order and returns how many entries it filled; 0 when there is none.
  virtual std::size_t output(std::span<iovec> to) = 0;
  // `bytes` of what output() showed have been written.
  virtual void drained(std::size_t bytes) = 0;

  virtual void send_data(StreamId id, std::string_view bytes, bool end) = 0;
  // Ends the stream. Empty trailers end it without any.
  virtual void send_trailers(StreamId id, const Headers& trailers) = 0;
  // Breaks the stream off; its handler is forgotten at once. Unknown ids are ignored, here and in
  // all calls with an id: a stream may have ended meanwhile.
  virtual void reset(StreamId id, ResetCode code) = 0;
  virtual void consumed(StreamId id, std::size_t bytes) = 0;
  // What this stream has sent and the owner not drained yet, in bytes: on HTTP/1 with heads and
  // chunk lines, on HTTP/2 the body's that are in no frame yet (at most 64 KiB more are).
  virtual std::size_t buffered(StreamId id) const = 0;

  // Graceful end: no new streams, those there are go on (GOAWAY, "connection: close"). HTTP/1
  // servers: an answer whose head has left already said that another may follow, so one more
  // request is taken, whose answer says "connection: close".
  virtual void drain() = 0;
  // Nothing more will happen here: close when output() is empty.
  virtual bool finished() const = 0;
  // No more output will come, though input may (an upgraded connection half closed by us): shut the
  // sending side down when output() is empty.
  virtual bool output_ended() const { return finished(); }
  // What output() shows now is the last: output_ended() once it is drained.
  virtual bool output_ends() const { return output_ended(); }
  virtual std::size_t open_streams() const = 0;
  virtual Protocol protocol() const = 0;

  // HTTP/2 only; ignored by HTTP/1.
  virtual void ping(std::uint64_t /*payload*/) {}
  // Which of the limits on floods ended the connection, in Envoy's words
  // ("inbound_priority_frames_flood"); a literal, empty: none of them.
  virtual std::string_view violation() const { return {}; }
};

class ServerCodec : public Codec {
 public:
  // `head.status` 101 accepts an upgrade (written as 200 on HTTP/2), after which send_data() and
  // on_data() carry the new protocol's bytes until both ends; so does a 2xx to CONNECT.
  // `end`: no body follows. HTTP/1 frames the body by head.headers' content-length when there, else
  // by chunks, else (HTTP/1.0) by closing. HEAD, 204 and 304 never send a body.
  virtual void respond(StreamId id, const ResponseHead& head, bool end) = 0;
  // An interim response, e.g. 100 or 103. Dropped for HTTP/1.0.
  virtual void inform(StreamId id, const ResponseHead& head) = 0;
  // Part of a request's head has come, and its end has not.
  virtual bool head_pending() const = 0;
  // Answers such a head with `status` and ends the connection; HTTP/2 only ends it.
  virtual void refuse(int status) = 0;
};

class ClientCodec : public Codec {
 public:
  // Whether submit() can take a request now. HTTP/1: one at a time.
  virtual bool can_submit() const = 0;
  // Starts a request. HTTP/1 frames a body by head.headers' content-length when there, else by
  // chunks. `events` must live until its final event or reset().
  virtual StreamId submit(const RequestHead& head, bool end, StreamEvents* events) = 0;
  // Another handler hears the stream from now on; must not be null.
  virtual void rebind(StreamId id, StreamEvents* events) = 0;
  // How many streams the peer lets us have at once.
};

// `events` must outlive the codec.
std::unique_ptr<ServerCodec> make_h1_server(const CodecOptions& options, ConnectionEvents* events);
std::unique_ptr<ClientCodec> make_h1_client(const CodecOptions& options, ConnectionEvents* events);
std::unique_ptr<ServerCodec> make_h2_server(const CodecOptions& options, ConnectionEvents* events);
std::unique_ptr<ClientCodec> make_h2_client(const CodecOptions& options, ConnectionEvents* events);

// How a client of HTTP/2 begins (RFC 9113 3.4).
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// What a client's first bytes are, for a port that speaks both (RFC 9113 3.4).
enum class Guess : std::uint8_t { kHttp1, kHttp2, kOther, kNeedMore };
Guess guess_protocol(std::string_view first_bytes);

}  // namespace mizzen::http
