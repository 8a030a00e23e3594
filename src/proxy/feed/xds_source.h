// Configuration by gRPC, delta or state of the world, aggregated (ADS) or of one type: one stream
// to the control plane, opened again with back-off and jitter when it is lost; what was received
// before stays. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "io/loop.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/feed/feed.h"
#include "xds/client.h"

namespace mizzen::proxy {

// A client of the control plane, its root certificates read now; and the headers of a stream, with
// the token as it stands now.
Result<std::unique_ptr<net::HttpClient>> discovery_client(io::Loop& loop,
                                                          const DiscoverySettings& settings);
Result<net::HeaderList> discovery_headers(const DiscoverySettings& settings);

// What one stream is asked for.
struct XdsScope {
  ConfigOrigin origin;                  // as the store's needs name it; kAds: aggregated
  std::vector<std::string> everything;  // type URLs of which all there is
  std::vector<std::string> named;       // type URLs of which what the store needs from `origin`
  static XdsScope all();                // by ADS: all clusters and listeners, and what they need
};

class XdsSource {
 public:
  // `feed` and `loop` outlive this.
  XdsSource(io::Loop& loop, ConfigFeed& feed, DiscoverySettings settings, const xds::NodeInfo& node,
            XdsScope scope = XdsScope::all());
  ~XdsSource();
  XdsSource(const XdsSource&) = delete;
  XdsSource& operator=(const XdsSource&) = delete;

  // Subscribes to the names that the agent answers for, too; `take` gets each NameTable and says
  // what is wrong with it. Before start().
  void follow_names(std::function<Status(std::string_view)> take);
  void start();

  // For tests and for `server_info`.
  bool connected() const { return received_; }
  std::uint64_t updates() const { return updates_; }
  std::uint64_t rejected() const { return rejected_; }
  std::uint64_t connect_failures() const { return failures_; }
  const std::string& last_error() const { return last_error_; }

 private:
  std::string_view method() const;
  void connect();
  void on_message(std::string_view message);
  std::vector<xds::Rejection> apply(const xds::Update& update);
  void on_closed(const http::GrpcStatus& status);
  void lost(std::string why);
  void follow_needs();
  void flush();

  io::Loop& loop_;
  ConfigFeed& feed_;
  DiscoverySettings settings_;
  XdsScope scope_;
  std::unique_ptr<xds::Client> client_;
  std::function<Status(std::string_view)> take_names_;
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::GrpcClient> grpc_;
  std::unique_ptr<net::GrpcCall> call_;
  io::TimerId timer_ = 0;
  Duration back_off_;
  std::minstd_rand random_;
  bool received_ = false;  // something, on this stream
  std::uint64_t updates_ = 0;
  std::uint64_t rejected_ = 0;
  std::uint64_t failures_ = 0;
  std::string last_error_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::proxy
