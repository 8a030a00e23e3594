// A byte stream: socket, pipe, TLS or in-memory. Non-blocking, pulled by readiness.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/address.h"
#include "io/loop.h"

namespace mizzen::io {

struct TlsInfo;

enum class IoStatus : std::uint8_t {
  kOk,          // bytes > 0
  kWouldBlock,  // nothing now; the handler will be told
  kEof,    // the peer has ended its half in good order (TLS: close_notify, or end of the socket)
  kError,  // the stream is dead; Stream::error() says why
};

struct IoResult {
  std::size_t bytes = 0;
  IoStatus status = IoStatus::kOk;
};

// Called by the stream on the loop's thread. None of these may destroy the stream or the handler:
// put that off with Loop::dispose().
class StreamHandler {
 public:
  // The handshake is over (TLS only; tls() is set from now on). Plain streams are open from the
  // start and never call it.
  virtual void on_open() {}
  // read() has something: bytes, the end or an error. Called again in the next turn as long as
  // read() was not taken to kWouldBlock and reading is not paused.
  virtual void on_readable() = 0;
  // Called once after a write() that took less than it was given, when it can take more.
  virtual void on_writable() = 0;
  // The stream is dead (reset, handshake or certificate refused); called at most once, and not when
  // a read() or write() has told already.
  virtual void on_error(const Error& error) = 0;
  // While reading is paused: the peer has ended its half, or is gone. Bytes may still be there.
  virtual void on_hangup() {}
  // One of these comes soon: a chance to have memory fetched that has left the caches.
  virtual void foresee() const {}

 protected:
  ~StreamHandler() = default;
};

// Owned by its user; closes on destruction (a socket with unread bytes sends a reset, as TCP does).
// Reading starts paused = false, and nothing is read ahead: an idle stream holds no buffer.
class Stream {
 public:
  virtual ~Stream() = default;
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // May be called at any time, with nullptr too. A new handler is told of readiness that stands.
  virtual void set_handler(StreamHandler* handler) = 0;

  // At most buffer.size() bytes (never call with 0).
  virtual IoResult read(std::span<std::byte> buffer) = 0;
  // True when a read() would surely block, as far as is known without asking the kernel.
  virtual bool drained() const { return false; }
  // Looks at bytes without taking them; a later peek returns at least the same ones. After a peek
  // that is not enough, on_readable is called when more has come, or the end: kEof with bytes > 0
  // says that these are the last. Plain sockets and memory streams only; kError elsewhere.
  virtual IoResult peek(std::span<std::byte> buffer) = 0;
  // Takes what it can. What was not taken must be offered again first, unchanged (TLS has encrypted
  // it already). kOk with bytes < total is possible; on_writable follows then, as after
  // kWouldBlock.
  virtual IoResult write(std::span<const iovec> pieces) = 0;
  IoResult write(std::string_view bytes);

  // A hint: shutdown_write() comes as soon as what is written from now on has been taken. The end
  // may share a packet with the last bytes, which otherwise may wait for it.
  virtual void end_follows() {}
  // Ends our half (TLS: close_notify, then the socket's half). Idempotent; nothing for pipes.
  virtual void shutdown_write() = 0;
  // The next close sends a reset instead of an end. No effect on memory streams' bytes in flight.
  virtual void abort() = 0;
  // Stops on_readable; back-pressure. Resuming tells of what stands, in the next turn.
  virtual void pause_reading(bool paused) = 0;

  virtual Address local() const = 0;
  virtual Address peer() const = 0;
  // Where the client meant to go before a redirect (SO_ORIGINAL_DST, IPv4 and IPv6); the local
  // address behind a transparent listener or when the kernel tracks a connection that was not
  // redirected. kNotFound when it does not know.
  virtual Result<Address> original_dst() const { return fail(Code::kNotFound, "not redirected"); }

  // Null for plain streams and until the handshake is over.
  virtual const TlsInfo* tls() const { return nullptr; }
  // Why the stream is dead; meaningful after kError or on_error.
  virtual const Error& error() const = 0;

  // Takes the descriptor out (the stream is dead afterwards); -1 for TLS and memory streams.
  virtual UniqueFd release_fd() { return UniqueFd(); }
  // For socket options; -1 where there is none. Stays the stream's.
  virtual int fd() const { return -1; }
};

// A stream on a descriptor that epoll can watch: socket, pipe, terminal. Takes the descriptor,
// makes it non-blocking. `error` when the loop cannot watch it.
Result<std::unique_ptr<Stream>> adopt(Loop& loop, UniqueFd fd);

struct ConnectOptions {
  Duration timeout = std::chrono::seconds(10);
  std::uint32_t mark = 0;    // SO_MARK; 0: none. Needs CAP_NET_ADMIN; refused otherwise
  Address source;            // bind before connect; port 0 lets the kernel choose
  bool transparent = false;  // IP_TRANSPARENT: `source` may be foreign
  bool no_delay = true;      // TCP_NODELAY
  struct Keepalive {
    Duration idle{0};      // before the first probe; 0: the system's
    Duration interval{0};  // between probes; 0: the system's
    int probes = 0;        // unanswered ones until the connection is dead; 0: the system's
  };
  std::optional<Keepalive> keepalive;  // TCP keep-alive; unset: off
};

// A connection attempt. Destroying it abandons the attempt; `done` is not called then.
class Connecting {
 public:
  virtual ~Connecting() = default;
};

// Calls `done` exactly once, never before this function has returned. Errors: kTimeout,
// kUnavailable (refused, unreachable), all retry_safe. `done` may destroy the Connecting.
using ConnectDone = std::function<void(Result<std::unique_ptr<Stream>>)>;
std::unique_ptr<Connecting> connect(Loop& loop, const Address& to, const ConnectOptions& options,
                                    ConnectDone done);

}  // namespace mizzen::io
