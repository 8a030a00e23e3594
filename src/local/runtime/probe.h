// Liveness, readiness and startup probes of a container.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/loop.h"
#include "io/stream.h"
#include "local/apiserver/store.h"
#include "net/grpc.h"
#include "net/http_client.h"

namespace mizzen::local {

// Runs a command in the container; `done` gets its exit code, or an error.
using ProbeExec = std::function<void(std::vector<std::string> command, Duration timeout,
                                     std::function<void(Result<int>)> done)>;

struct ProbeTarget {
  std::string pod_ip;
  const Json* container = nullptr;  // for port names; alive during start() only
  ProbeExec exec;
};

// One probe that runs until destroyed. `changed(ok, message)` is called when a threshold is met, in
// either direction, and only when that is news. Loop thread only.
class Probe {
 public:
  using Changed = std::function<void(bool ok, const std::string& message)>;
  // `spec` is livenessProbe, readinessProbe or startupProbe as the pod has it.
  // Errors: kInvalid, kUnsupported.
  static Result<std::unique_ptr<Probe>> start(io::Loop& loop, const Json& spec,
                                              const ProbeTarget& target, bool initially_ok,
                                              Changed changed);
  ~Probe();

 private:
  explicit Probe(io::Loop& loop) : loop_(loop) {}
  Status set_action(const Json& spec, const ProbeTarget& target);
  void schedule(Duration delay);
  void run();
  void run_http();
  void run_grpc();
  void run_tcp();
  void finish(bool ok, const std::string& message);

  io::Loop& loop_;
  enum class Kind : std::uint8_t { kHttp, kGrpc, kTcp, kExec } kind_ = Kind::kTcp;
  std::string host_;
  std::uint16_t port_ = 0;
  net::Request request_;
  std::string service_;  // of a gRPC health check
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<io::Connecting> connecting_;
  std::vector<std::string> command_;
  ProbeExec exec_;
  Duration period_{};
  Duration timeout_{};
  int success_threshold_ = 1;
  int failure_threshold_ = 3;
  int successes_ = 0;
  int failures_ = 0;
  bool ok_ = false;
  bool ever_succeeded_ = false;
  int tries_ = 0;
  MonoTime counts_from_;  // tries before this do not count as failures
  io::TimerId timer_ = 0;
  Changed changed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// What httpGet of a probe or a lifecycle hook asks for.
struct HttpAction {
  net::HttpClientOptions client;
  net::Request request;
};
// `pod_ip` is where it goes unless the action names a host. A server's certificate is not judged.
// Errors: kInvalid (no such port).
Result<HttpAction> http_action(const Json& http_get, const Json& container,
                               const std::string& pod_ip, Duration timeout);

// A port given by number or by the name of a containerPort; 0 when there is none.
std::uint16_t container_port(const Json& container, const Json& port);

}  // namespace mizzen::local
