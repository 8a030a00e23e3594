// Sends a case to a proxy and watches both of its sides: what the client gets, and what reaches the
// server, which is the probe's own. Blocking, one case at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cases.h"
#include "io/unique_fd.h"

namespace mizzen::conformance {

struct Observed {
  std::vector<std::string> upstream;  // complete requests, the clean last one left out
  std::vector<int> statuses;          // as the client saw them, 1xx too
  std::string client;                 // HTTP/1: its bytes, the clean last one's answer left out
  bool last_served = false;
  bool reset = false;      // HTTP/2: RST_STREAM, GOAWAY, or the end of the connection
  bool timed_out = false;  // neither side went on
};

// The server behind the proxy: keeps its connections between cases, as a pool would have it.
class Backend {
 public:
  // Listens on 127.0.0.1; port 0 lets the kernel choose.
  static Result<Backend> listen(std::uint16_t port);
  std::uint16_t port() const { return port_; }

  // Sends the case to 127.0.0.1:`proxy` and returns when the client's connection (HTTP/2: its
  // stream) has ended, or nothing has ended for `patience`.
  Observed run(const Case& c, std::uint16_t proxy, std::chrono::milliseconds patience);

 private:
  struct Peer {
    io::UniqueFd fd;
    std::string bytes;  // not a whole request yet
  };
  bool serve(Peer& peer, const Case& c, Observed& to);  // false: the connection is over
  void answer_requests(Peer& peer, const Case& c, Observed& to);

  io::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::vector<Peer> peers_;
  std::vector<std::string> may_reach_;  // of all cases so far
  bool answered_ = false;               // the case's own answer was given
  bool close_wanted_ = false;
};

// What came of it against what should have; empty when they agree.
std::string differences(const Case& c, const Observed& seen);

// One cell of the comparison: "400", "refused", "200, 1 request", "reset", "waits".
std::string summary(const Case& c, const Observed& seen);

}  // namespace mizzen::conformance
