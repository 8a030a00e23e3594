// The agent's HTTP pages: readiness and the application's probes (15020, 15021), metrics merged
// with the application's (15020) and the proxy's own (15090). Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/probes.h"
#include "base/result.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::agent {

// ISTIO_PROMETHEUS_ANNOTATIONS: {"scrape":"true","path":"/metrics","port":"9080"}.
struct AppMetrics {
  std::uint16_t port = 0;
  std::string path = "/metrics";
};
// Nothing when the application is not to be scraped.
Result<std::optional<AppMetrics>> parse_app_metrics(std::string_view json);

struct StatusOptions {
  // Why the proxy is not ready; nothing when it is.
  std::function<std::optional<std::string>()> not_ready;
  // The proxy's metrics in Prometheus' text format.
  std::function<void(std::function<void(std::string)>)> metrics;
  // POST /quitquitquit, which only the pod itself may ask for (403).
  std::function<void()> quit;
  std::map<std::string, Probe> probes;
  std::optional<AppMetrics> app_metrics;
};

class StatusServer {
 public:
  StatusServer(io::Loop& loop, StatusOptions options);
  ~StatusServer();

  // All pages; of the addresses that cannot be bound the first error is returned.
  Status listen(const std::vector<io::Address>& addresses);
  // Readiness alone (15021), and the proxy's own metrics alone (15090).
  Status listen_readiness(const std::vector<io::Address>& addresses);
  Status listen_metrics(const std::vector<io::Address>& addresses);

  // From now on readiness says no: the pod is going.
  void set_draining() { draining_ = true; }

 private:
  using ExchangeRef = std::shared_ptr<net::Exchange>;
  Status listen_on(std::unique_ptr<net::HttpServer>& server, net::Handler handler,
                   const std::vector<io::Address>& addresses);
  void handle(const ExchangeRef& exchange);
  void ready(const ExchangeRef& exchange);
  void probe(const ExchangeRef& exchange);
  void metrics(const ExchangeRef& exchange, bool merged);

  io::Loop& loop_;
  StatusOptions options_;
  std::unique_ptr<net::HttpServer> all_;
  std::unique_ptr<net::HttpServer> readiness_;
  std::unique_ptr<net::HttpServer> metrics_;
  std::unique_ptr<net::HttpClient> application_;
  bool draining_ = false;
};

}  // namespace mizzen::agent
