// Pages that show what the control plane knows: /debug/... and /metrics. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/serve/discovery.h"
#include "net/http_server.h"

namespace mizzen::control {

class DebugPages {
 public:
  // `ready` answers /ready, with the reason when it is not. `extra_metrics` is put after our own.
  DebugPages(Store& store, Discovery& discovery, std::function<Status()> ready,
             std::function<std::string()> extra_metrics);

  // True when the request was one of ours: /ready, /version, /metrics and /debug/{syncz, registryz,
  // endpointz, configz, config_dump?proxyID=, mesh, adsz, push_status, instancesz}. JSON where
  // Istio has JSON.
  bool handle(const std::shared_ptr<net::Exchange>& exchange);

 private:
  std::string metrics() const;

  Store& store_;
  Discovery& discovery_;
  std::function<Status()> ready_;
  std::function<std::string()> extra_metrics_;
};

// In the form that `istioctl proxy-status` reads.
object::Json syncz(const std::vector<ProxyStatus>& proxies);

}  // namespace mizzen::control
