// The connections to one host for one kind of request, and the requests that wait for one.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "proxy/upstream.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/host.h"

namespace mizzen::proxy::upstream {

class Call;
class Conn;

// kHttp1 may find a Mizzen at the other end, and rides on one HTTP/2 connection then. kUpgrade has
// a connection per request, HTTP/1.1, used once.
enum class Lane : std::uint8_t { kHttp1, kHttp2, kUpgrade };

class Pool {
 public:
  // `preamble`: the PROXY header that its connections begin with; empty: none.
  Pool(Host& host, Lane lane, std::string sni, std::string preamble = {});
  ~Pool();

  // Attaches the call to a connection, or has it wait for one; `fresh`: for a new one.
  std::expected<void, UpstreamFailure> open(Call& call, bool fresh = false);
  void cancel(Call& call);  // it waits no more
  void grow();              // connections for those who wait
  void drain();             // connections that are there end after their requests
  bool close_one_idle();
  bool empty() const { return conns_.empty() && pending_.empty(); }

  // From connections.
  void on_connected(Conn& conn);
  void on_connect_failed(Conn& conn, const UpstreamFailure& failure);
  void on_room(Conn& conn);  // a request has ended there
  void on_closed(Conn& conn);

  Host& host() { return host_; }
  Lane lane() const { return lane_; }
  const std::string& sni() const { return sni_; }
  const std::string& preamble() const { return preamble_; }
  // Whether the next connection offers mizzen-h2.
  bool may_be_mizzen() const;

 private:
  Conn* ready();
  void foresee() const;
  bool shares() const;  // whether one connection serves many requests
  bool start_one();
  void serve_pending(Conn& conn);
  void fail_pending(const UpstreamFailure& failure);
  std::unique_ptr<Conn> take_out(Conn& conn);

  Host& host_;
  const Lane lane_;
  const std::string sni_;
  const std::string preamble_;
  std::vector<std::unique_ptr<Conn>> conns_;
  std::vector<Conn*> idle_;  // HTTP/1: last in, first out
  std::vector<Call*> pending_;
  std::vector<Call*> failing_;  // being told
};

}  // namespace mizzen::proxy::upstream
