// What the sample services share: an HTTP server with one handler, calls to other services, and the
// headers that belong to a trace and travel on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mizzen::io {
class Loop;
}

namespace mizzen::samples {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Call {
  std::string method;
  std::string scheme;
  std::string authority;
  std::string path;   // without the query
  std::string query;  // without "?"
  std::string peer;   // the caller's address, without a port
  HeaderList headers;
  std::string body;

  std::string_view header(std::string_view name) const;  // empty when absent
  std::string query_value(std::string_view name) const;  // decoded, empty when absent
};

struct Reply {
  int status = 200;
  HeaderList headers;
  std::string body;
};

Reply text(int status, std::string body);
Reply json(int status, std::string body);
Reply html(std::string body);

// The headers of `call` that a service passes on so that its own calls belong to the same trace and
// the same user: request id, B3, W3C, end-user, and the like.
HeaderList trace_headers(const Call& call);

std::string percent_decode(std::string_view text);  // also "+" to space
std::string percent_encode(std::string_view text);
// The value of `name` in the request's cookies; empty when absent.
std::string cookie_of(const Call& call, std::string_view name);
std::string env_or(const char* name, std::string_view otherwise);

struct Outgoing {
  std::string method = "GET";
  std::string url;  // "http://host:port/path?query"
  HeaderList headers;
  std::string body;
  Duration timeout = std::chrono::seconds(30);
};

using Answer = std::function<void(Reply)>;
using Handler = std::function<void(const Call&, Answer)>;

// One service on one loop. Handlers run on the loop's thread and may answer later.
class Service {
 public:
  explicit Service(io::Loop& loop);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Serves HTTP/1.1 and HTTP/2 (prior knowledge) on every address of `port`; 0: a free one.
  Status serve(std::uint16_t port, Handler handler);
  // An error when nobody answered within the request's time.
  void send(Outgoing request, std::function<void(Result<Reply>)> done);
  // send() of a request without a body.
  void call(std::string_view method, std::string_view url, HeaderList headers, Duration timeout,
            std::function<void(Result<Reply>)> done);
  // Runs `then` after `delay`.
  void after(Duration delay, std::function<void()> then);
  io::Loop& loop();
  std::uint16_t port() const;  // that is served

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mizzen::samples
