// `mizzen-proxy agent`: the agent alone, beside a stock Envoy. It writes Envoy's bootstrap
// (envoy.json), serves ADS and SDS on UNIX sockets (XDS, SDS) and answers the pages of 15020, 15021
// and 15090 from Envoy's admin. All files go to the directory of MIZZEN_AGENT_DIR, else
// /etc/istio/proxy.
#pragma once

#include <memory>
#include <string>

#include "agent/ads_relay.h"
#include "agent/identity.h"
#include "agent/sds_server.h"
#include "agent/status_server.h"
#include "io/loop.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "proxy/bootstrap/bootstrap.h"

namespace mizzen {

class AgentProcess {
 public:
  explicit AgentProcess(proxy::Bootstrap bootstrap);
  Status start();
  void run();  // until SIGTERM or SIGINT

 private:
  Status serve_sockets();
  Status serve_pages();
  void watch_envoy();

  proxy::Bootstrap bootstrap_;
  std::string directory_;
  io::EpollLoop loop_;
  io::Signals signals_;
  net::GrpcServer ads_grpc_;
  net::GrpcServer sds_grpc_;
  std::unique_ptr<net::HttpServer> ads_;
  std::unique_ptr<net::HttpServer> sds_;
  agent::AdsRelay relay_;
  agent::SdsServer secrets_;
  std::unique_ptr<agent::IdentitySource> identity_;
  std::unique_ptr<net::HttpClient> envoy_;  // its admin
  std::unique_ptr<agent::StatusServer> pages_;
  bool envoy_ready_ = false;
};

}  // namespace mizzen
