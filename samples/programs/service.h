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
std::string env_or(const char* name, std::string_view otherwise);

using Answer = std::function<void(Reply)>;
using Handler = std::function<void(const Call&, Answer)>;

// One service on one loop. Handlers run on the loop's thread and may answer later.
class Service {
 public:
  explicit Service(io::Loop& loop);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Serves HTTP/1.1 and HTTP/2 (prior knowledge) on every address of `port`.
  Status serve(std::uint16_t port, Handler handler);
  // Sends a request to `url` ("http://host:port/path"); an error when none answered within
  // `timeout`.
  void call(std::string_view method, std::string_view url, HeaderList headers, Duration timeout,
            std::function<void(Result<Reply>)> done);
  // Runs `then` after `delay`.
  void after(Duration delay, std::function<void()> then);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mizzen::samples
