// An HTTP server, HTTP/1 and HTTP/2 alike: one Exchange per request, whatever the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/codec.h"
#include "io/listener.h"
#include "io/stream.h"
#include "io/tls.h"

namespace mizzen::net {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// One request and its response. Kept alive by the connection until both are over and by whoever
// holds it; after the connection is gone all calls are harmless. Loop thread only. Callbacks are
// never called from inside a method of the same exchange, and are dropped once the exchange is
// closed.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  virtual ~Exchange() = default;

  // The request's head; lives as long as the exchange.
  virtual const http::RequestHead& request() const = 0;
  std::string_view method() const { return request().method; }
  std::string_view target() const { return request().path; }   // path and query as sent
  std::string_view path() const;                               // without query, not decoded
  std::string_view query() const;                              // without "?"
  std::string_view header(std::string_view lower_name) const;  // "" when absent
  // First value of a query parameter, percent-decoded; nothing when absent.
  std::optional<std::string> query_param(std::string_view name) const;
  virtual io::Address peer() const = 0;
  virtual io::Address local() const = 0;
  virtual const io::TlsInfo* tls() const = 0;  // null for plaintext, or when the connection is gone
  virtual io::Loop& loop() const = 0;

  // The whole body, once; kLimit beyond `max` (answer 413 then), kClosed when the client went away.
  virtual void read_body(std::size_t max, std::function<void(Result<std::string>)> done) = 0;
  // The body piece by piece; `end` with the last (which may be empty). Instead of read_body().
  virtual void on_data(std::function<void(std::string_view bytes, bool end)> fn) = 0;
  virtual void pause(bool paused) = 0;  // of on_data: back-pressure to the client

  // The whole response. Content-length is set here. Ignored when one has begun already.
  virtual void respond(int status, const HeaderList& headers, std::string_view body) = 0;
  // A streamed one: chunks for HTTP/1. write() always takes all; keep buffered() in bounds.
  virtual void begin(int status, const HeaderList& headers) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  virtual void end_with_trailers(const HeaderList& trailers) = 0;
  // Breaks off (RST_STREAM, or closing the connection): how a response that began fails.
  virtual void abort() = 0;
  virtual std::size_t buffered() const = 0;  // bytes written and not yet in the socket
  // What was written goes to the socket now, not at the end of this turn: for those who write to
  // many at a time.
  virtual void flush() = 0;
  virtual bool begun() const = 0;
  virtual bool closed() const = 0;

  // buffered() fell low again after having been high (256 KiB).
  virtual void on_writable(std::function<void()> fn) = 0;
  // Called once when the exchange is over: `complete` when the whole response was written.
  virtual void on_closed(std::function<void(bool complete)> fn) = 0;

  // Accepts an upgrade (HTTP/1 with 101 or, for CONNECT, 200; on HTTP/2 the stream itself). The
  // stream carries the new protocol's bytes both ways and outlives the exchange. Null when the
  // request asked for none; respond normally then.
  virtual std::unique_ptr<io::Stream> upgrade(int status, const HeaderList& headers) = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

struct HttpServerOptions {
  io::TlsContextRef tls;  // null: plaintext
  http::Limits limits;
  Duration idle_timeout = std::chrono::minutes(5);  // no request open; 0: none
  Duration head_timeout =
      std::chrono::seconds(30);  // first byte to end of a request's head, and TLS
  std::size_t max_connections = 10'000;
  bool http2 = true;
  std::string server_header;  // "" adds none
};

// Owns its listeners and connections. Destroying closes everything at once; the exchanges'
// on_closed are not called then. Not from inside a callback: use Loop::dispose().
class HttpServer {
 public:
  HttpServer(io::Loop& loop, HttpServerOptions options, Handler handler);
  ~HttpServer();

  // May be called several times. Returns the bound address.
  Result<io::Address> listen(const io::Address& address, const io::ListenOptions& options = {});
  Result<io::Address> adopt(io::UniqueFd listening_fd);
  // Serves one connection that came another way.
  void serve(std::unique_ptr<io::Stream> stream);
  // For connections from now on.
  void set_tls(io::TlsContextRef tls);
  // Stops listening, tells clients (GOAWAY, connection: close); `done` once no connection is left.
  void drain(std::function<void()> done);
  std::size_t connections() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

// Percent-decoding of a path or query part; '+' is a space only when `plus`.
std::string url_decode(std::string_view text, bool plus = false);
// Percent-encoding of all but unreserved characters (RFC 3986 2.3).
std::string url_encode(std::string_view text);

}  // namespace mizzen::net
