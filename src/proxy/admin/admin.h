// The admin server (Envoy's pages) on the bootstrap's admin address, in Envoy's formats:
// config_dump, clusters, listeners, certs, server_info, stats, logging, ready, quitquitquit,
// drain_listeners, healthcheck; and /explain, which is ours. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "proxy/admin/dump.h"
#include "proxy/admin/explain.h"
#include "proxy/feed/feed.h"
#include "proxy/feed/xds_source.h"
#include "proxy/observe/stats.h"

namespace mizzen::proxy {

struct AdminHooks {
  std::function<void(std::function<void(StatsReport)>)> collect;
  std::function<bool()> ready;
  std::function<bool()> draining;
  std::function<void()> quit;
  std::function<void()> drain;           // POST /drain_listeners
  std::function<void(bool)> set_failed;  // POST /healthcheck/fail (true) and /healthcheck/ok
  std::function<bool()> renew;  // POST /certs/renew: asks for a new certificate; false: no agent
  // POST /upgrade: another process of the program as it now stands on disk takes over; with
  // `concurrency` workers, 0: as many as now.
  std::function<Status(unsigned concurrency)> upgrade;
  unsigned epoch = 0;                    // how many processes have been replaced before this one
  const SharedLimits* limits = nullptr;  // of the workers; outlives the server
  std::function<const XdsSource*()> source;  // null: static configuration only
  unsigned concurrency = 0;
  Duration drain_time{};
};

class AdminServer {
 public:
  // All that is given outlives this.
  AdminServer(io::Loop& loop, ConfigFeed& feed, const Bootstrap& bootstrap, AdminHooks hooks);
  ~AdminServer();

  Result<io::Address> listen(const SocketAddr& address);

 private:
  using ExchangeRef = std::shared_ptr<net::Exchange>;
  using Page = void (AdminServer::*)(const ExchangeRef&);
  struct Entry {
    std::string_view path;
    std::string_view help;
    bool post;  // changes something: POST only
    Page page;
  };
  static const Entry* find(std::string_view path);

  void handle(const ExchangeRef& exchange);
  void help(const ExchangeRef& exchange);
  void config_dump(const ExchangeRef& exchange);
  void clusters(const ExchangeRef& exchange);
  void listeners(const ExchangeRef& exchange);
  void explain(const ExchangeRef& exchange);
  void explain_when_known(const ExchangeRef& exchange, const ExplainRequest& asked,
                          const std::vector<std::string>& before);
  void certs(const ExchangeRef& exchange);
  void renew(const ExchangeRef& exchange);
  void server_info(const ExchangeRef& exchange);
  void stats(const ExchangeRef& exchange);
  void prometheus(const ExchangeRef& exchange);
  void logging(const ExchangeRef& exchange);
  void ready(const ExchangeRef& exchange);
  void quit(const ExchangeRef& exchange);
  void drain(const ExchangeRef& exchange);
  void upgrade(const ExchangeRef& exchange);
  void fail(const ExchangeRef& exchange);
  void ok(const ExchangeRef& exchange);
  SnapshotRef snapshot() const;
  void add_own(StatsReport& report) const;

  io::Loop& loop_;
  ConfigFeed& feed_;
  const Bootstrap& bootstrap_;
  AdminHooks hooks_;
  MonoTime started_;
  std::unique_ptr<net::HttpServer> server_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::proxy
