// Carries AdmissionReviews to webhooks: to a URL, or to a ready endpoint of a Service.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "io/loop.h"
#include "local/apiserver/api.h"
#include "local/apiserver/pod_access.h"
#include "net/http_client.h"

namespace mizzen::local {

// A ready address of a Service's port: from Endpoints, by the name of the port.
struct EndpointAddress {
  std::string ip;
  std::uint16_t port = 0;
};
// kUnavailable when there is none; the message is Kubernetes'.
Result<EndpointAddress> pick_endpoint(const Store& store, const std::string& ns,
                                      const std::string& service, std::uint16_t port);

// On the loop's thread. Clients are kept per webhook, their connections pooled.
class WebhookClient {
 public:
  WebhookClient(io::Loop& loop, Store& store) : loop_(loop), store_(store) {}
  ~WebhookClient() { *alive_ = false; }

  // Through `pods` into the cluster's network; null connects directly.
  void set_pods(PodAccess* pods) { pods_ = pods; }

  // A connection that breaks, or is refused, is tried again within the call's timeout (a review may
  // be asked twice): a webhook that restarts is not noticed.
  void call(WebhookCall call, std::function<void(Result<std::string>)> done);

 private:
  using Done = std::function<void(Result<std::string>)>;
  void attempt(std::shared_ptr<const WebhookCall> call, Duration pause, MonoTime deadline,
               Done done);
  Result<net::HttpClient*> client_for(const WebhookCall& call, const net::BaseUrl& base);
  std::unique_ptr<io::Connecting> dial(const WebhookCall& call, io::ConnectDone done);

  io::Loop& loop_;
  Store& store_;
  PodAccess* pods_ = nullptr;
  std::map<std::string, std::unique_ptr<net::HttpClient>> clients_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// PodAccess::dial (or a direct connection when `pods` is null) as io::connect has it: abandoned
// when the Connecting is destroyed, `done` never called from inside.
std::unique_ptr<io::Connecting> dial_pod(io::Loop& loop, PodAccess* pods, const std::string& ip,
                                         std::uint16_t port, io::ConnectDone done);

}  // namespace mizzen::local
