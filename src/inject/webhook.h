// The admission webhooks: /inject and /validate (AdmissionReview, admission.k8s.io/v1).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "inject/inject.h"
#include "net/http_server.h"

namespace mizzen::inject {

struct WebhookCounters {
  std::uint64_t injected = 0;
  std::uint64_t skipped = 0;
  std::uint64_t accepted = 0;  // by validation
  std::uint64_t refused = 0;
  std::uint64_t malformed = 0;
};

// Loop thread only. Must outlive the server it handles requests of.
class Webhooks {
 public:
  // `namespace_labels` gives a namespace's labels as an object (empty when it is not known).
  Webhooks(Settings settings, std::function<Json(const std::string& name_space)> namespace_labels);

  // True when the request's path is one of ours (below /inject and /validate too).
  bool handle(const std::shared_ptr<net::Exchange>& exchange);
  void set_settings(Settings settings) { settings_ = std::move(settings); }
  const Settings& settings() const { return settings_; }
  const WebhookCounters& counters() const { return counters_; }

  // The answers themselves: an AdmissionReview in, one out.
  Json review_injection(const Json& review);
  Json review_validity(const Json& review);

 private:
  Settings settings_;
  std::function<Json(const std::string&)> namespace_labels_;
  WebhookCounters counters_;
};

}  // namespace mizzen::inject
