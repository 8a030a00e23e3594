// gRPC over net's HTTP server and client. Messages are bytes here: protobuf stays with the callers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "http/grpc.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::net {

inline constexpr std::size_t kGrpcMaxMessage = 64 * 1024 * 1024;  // of a server that we chose
inline constexpr std::size_t kGrpcMaxRequest = 4 * 1024 * 1024;   // of whoever calls

// The server's side of a call. Harmless after it is over. Loop thread only.
class GrpcStream : public std::enable_shared_from_this<GrpcStream> {
 public:
  virtual ~GrpcStream() = default;
  virtual const Exchange& exchange() const = 0;  // headers, peer address, TLS identity
  // Messages that came before the callback was set are kept and delivered in the next turn; beyond
  // 256 KiB of them the call ends with RESOURCE_EXHAUSTED.
  virtual void on_message(std::function<void(std::string_view)> fn) = 0;
  virtual void on_half_close(std::function<void()> fn) = 0;  // the client sends no more
  virtual void on_closed(std::function<void()> fn) = 0;      // over, for whatever reason; once
  virtual void on_writable(std::function<void()> fn) = 0;    // buffered() fell low again
  virtual void send(std::string_view message) = 0;
  virtual void flush() = 0;  // what was sent goes to the socket now, not at the end of this turn
  virtual std::size_t buffered() const = 0;
  virtual void pause(bool paused) = 0;
  virtual void finish(http::GrpcStatus status) = 0;  // trailers; later calls do nothing
  virtual bool closed() const = 0;
};

// Routes calls by "/package.Service/Method". Mount it in a Handler: `if (grpc.handle(x)) return;`.
class GrpcServer {
 public:
  explicit GrpcServer(std::size_t max_message = kGrpcMaxRequest) : max_message_(max_message) {}

  // `done` is called once, now or later; after the caller's deadline it is ignored.
  using UnaryDone = std::function<void(http::GrpcStatus status, std::string response)>;
  using Unary =
      std::function<void(std::string request, std::shared_ptr<GrpcStream> call, UnaryDone done)>;
  using Streaming = std::function<void(std::shared_ptr<GrpcStream>)>;
  void unary(std::string path, Unary fn);
  void streaming(std::string path, Streaming fn);

  // True when the request is gRPC (an unknown method is answered UNIMPLEMENTED); false leaves it
  // alone.
  bool handle(const std::shared_ptr<Exchange>& exchange);

 private:
  std::size_t max_message_;
  std::map<std::string, std::variant<Unary, Streaming>, std::less<>> methods_;
};

struct GrpcCallbacks {
  std::function<void(const http::Headers& headers)> on_headers;
  std::function<void(std::string_view message)> on_message;
  std::function<void()> on_writable;
  std::function<void(http::GrpcStatus)> on_closed;  // once and last, unless the call is destroyed
};

// The client's side; destroying it cancels. Callbacks may destroy it.
class GrpcCall {
 public:
  virtual ~GrpcCall() = default;
  virtual void send(std::string_view message) = 0;
  virtual void half_close() = 0;
  virtual std::size_t buffered() const = 0;
  virtual void pause(bool paused) = 0;
};

// On an HttpClient with HttpVersion::kHttp2 (or TLS with ALPN h2). Failures to connect are
// UNAVAILABLE.
class GrpcClient {
 public:
  explicit GrpcClient(HttpClient& http, std::size_t max_message = kGrpcMaxMessage)
      : http_(http), max_message_(max_message) {}

  using UnaryDone = std::function<void(http::GrpcStatus status, std::string response)>;
  // `timeout` goes as grpc-timeout and is enforced here too; 0: none. `done` once, never before
  // unary() returns, unless the HttpClient is destroyed.
  void unary(std::string_view path, const HeaderList& metadata, std::string_view request,
             Duration timeout, UnaryDone done);
  std::unique_ptr<GrpcCall> stream(std::string_view path, const HeaderList& metadata,
                                   GrpcCallbacks callbacks);

 private:
  HttpClient& http_;
  std::size_t max_message_;
};

}  // namespace mizzen::net
