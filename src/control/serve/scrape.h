// Which pods want to be scraped, for Prometheus' `http_sd_configs`
// (https://prometheus.io/docs/prometheus/latest/http_sd/): a Prometheus that is built without
// Kubernetes discovery finds the proxies by the pods' annotations all the same. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "net/http_server.h"
#include "object/json.h"

namespace mizzen::control {

class ScrapeTargets {
 public:
  static constexpr std::string_view kPath = "/prometheus/targets";

  // Any object of the watches; those that are no pods are ignored.
  void apply(const object::Json& object);
  void remove(const object::Json& object);

  // One entry {targets, labels} per pod that runs and has `prometheus.io/scrape: "true"`. Its
  // address is `prometheus.io/port`, without that every TCP port that its containers name.
  // `prometheus.io/path` and `/scheme` become __metrics_path__ and __scheme__; namespace, pod and
  // app are labels already, the rest has the names of Kubernetes discovery
  // (__meta_kubernetes_pod_...), so that relabelling written for that works.
  object::Json targets() const;

  // Answers kPath; false when the request is for something else.
  bool handle(const std::shared_ptr<net::Exchange>& exchange) const;

 private:
  std::map<std::string, object::Json> entries_;  // by "namespace/pod"
};

}  // namespace mizzen::control
