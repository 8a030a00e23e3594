// An HTTP client for one base address: pooled HTTP/1 connections, or HTTP/2 multiplexed on one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/codec.h"
#include "io/resolver.h"
#include "io/stream.h"
#include "io/tls.h"

namespace mizzen::net {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// "http://host:port/prefix", "https://...", "unix:/path".
struct BaseUrl {
  bool tls = false;
  std::string host;  // name or IP literal; "localhost" for UNIX
  std::uint16_t port = 0;
  std::string unix_path;
  std::string prefix;             // "" or "/a/b" without trailing slash
  std::string authority() const;  // host, and port unless it is the scheme's own
};
Result<BaseUrl> parse_base_url(std::string_view url);

enum class HttpVersion : std::uint8_t {
  kAuto,  // TLS: what ALPN says; plaintext: HTTP/1.1
  kHttp1,
  kHttp2,  // prior knowledge on plaintext
};

struct HttpClientOptions {
  BaseUrl base;
  io::TlsContextRef tls;  // for https; ALPN is set by the client itself
  std::string tls_host;   // verified and sent as SNI instead of base.host; "" : base.host
  HttpVersion version = HttpVersion::kAuto;
  io::ConnectOptions connect;
  io::Resolver* resolver = nullptr;  // null: the client makes one when it needs it
  http::Limits limits;
  Duration idle_timeout = std::chrono::seconds(60);  // of pooled connections
  std::size_t max_connections = 64;                  // HTTP/1; further requests wait
  std::size_t max_pending = 1024;                    // waiting requests; more fail with kLimit
  Duration ping_interval{0};  // HTTP/2 keep-alive while streams are open; 0: none
  // Instead of connecting by base: tests, tunnels. Null: connect.
  std::function<std::unique_ptr<io::Connecting>(io::ConnectDone)> dial;
};

struct Request {
  std::string method = "GET";
  std::string target = "/";  // path and query, appended to base.prefix
  HeaderList headers;        // "host" replaces the authority
  std::string body;
  Duration timeout = std::chrono::seconds(30);  // of the whole; 0: none
};

struct Response {
  int status = 0;
  HeaderList headers;
  std::string body;
  std::string_view header(std::string_view lower_name) const;  // "" when absent
};

// What a streamed call tells. on_closed comes exactly once and last, unless the call is destroyed.
struct StreamCallbacks {
  std::function<void(const http::ResponseHead& head)> on_head;
  std::function<void(std::string_view bytes)> on_data;
  std::function<void(const http::Headers& trailers)> on_trailers;
  std::function<void()> on_writable;
  std::function<void(Status)> on_closed;  // ok: the response ended as it should
};

// A streamed request under way; destroying it cancels. Callbacks may destroy it.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
  virtual void write(std::string_view bytes) = 0;  // request body; takes all
  virtual void end() = 0;                          // of the request body
  virtual std::size_t buffered() const = 0;
  virtual void pause(bool paused) = 0;  // of on_data
};

// Loop thread only. Destroying drops everything; callbacks are not called then. Callbacks may
// destroy it by Loop::dispose() only.
class HttpClient {
 public:
  HttpClient(io::Loop& loop, HttpClientOptions options);
  ~HttpClient();

  using FetchDone = std::function<void(Result<Response>)>;
  // One request with its whole response (at most `max_body` bytes, kLimit beyond). `done` is called
  // once, never before fetch() returns. A request that met a pooled connection's end before
  // anything came back is sent once more when it is idempotent or surely unseen. Returns an id for
  // cancel().
  std::uint64_t fetch(Request request, FetchDone done, std::size_t max_body = 64 * 1024 * 1024);
  void cancel(std::uint64_t id);

  // Streamed both ways: `request.body` goes first; `end` false leaves the request's body open.
  // Request::timeout bounds the time to the response's head only.
  std::unique_ptr<ClientCall> open(Request request, bool end, StreamCallbacks callbacks);

  // HTTP/1.1 upgrade on a connection of its own: `request.headers` holds connection and upgrade. An
  // answer other than 101 is an error that holds status and body.
  struct Upgraded {
    std::unique_ptr<io::Stream> stream;
    HeaderList headers;
  };
  void upgrade(Request request, std::function<void(Result<Upgraded>)> done);

  void set_tls(io::TlsContextRef tls);  // for new connections
  void close_idle();
  io::Loop& loop() const;
  const HttpClientOptions& options() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace mizzen::net
