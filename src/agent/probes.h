// The application's health probes, asked from inside the pod: the kubelet asks the agent, the agent
// asks the application on loopback, so that mutual TLS does not stand in the kubelet's way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/loop.h"

namespace mizzen::agent {

struct Probe {
  enum class Kind : std::uint8_t { kHttp, kTcp, kGrpc };
  Kind kind = Kind::kHttp;
  std::uint16_t port = 0;
  std::string path = "/";
  bool https = false;  // the certificate is not verified, as the kubelet does not
  std::string host;    // Host header, or empty
  std::vector<std::pair<std::string, std::string>> headers;
  std::string service;  // kGrpc
  Duration timeout = std::chrono::seconds(1);
};

// ISTIO_KUBE_APP_PROBERS: {"/app-health/<container>/readyz": {"httpGet": {...}, "timeoutSeconds":
// 1}}. Empty text gives no probes. kInvalid names the path and the field.
Result<std::map<std::string, Probe>> parse_probes(std::string_view json);

// Asks once; `done` gets the HTTP status to answer with (200, the application's own, or 500 with
// the reason). Never called before this returns.
void run_probe(io::Loop& loop, const Probe& probe,
               std::function<void(int status, std::string reason)> done);

}  // namespace mizzen::agent
