// The API server on a socket: HTTPS, client certificates and tokens, REST (api.h), watches and the
// streams into pods.
#pragma once

#include <memory>
#include <string>

#include "io/listener.h"
#include "io/loop.h"
#include "local/apiserver/api.h"
#include "local/apiserver/pod_access.h"

namespace mizzen::local {

struct ServerOptions {
  io::Address listen = io::Address::loopback(0);
  int listen_fd = -1;    // >= 0: adopt this listening socket instead
  std::string data_dir;  // pki and database; made when missing. "" keeps all in memory
  std::vector<std::string> server_names;  // further DNS names and IPs of the serving certificate
  std::string service_cidr = "10.96.0.0/16";
  PodAccess* pods = nullptr;  // outlives the server; null: streams answer 501 and webhooks fail
};

// Owns store and API. On one loop.
class Server {
 public:
  // Opens the store, makes or loads keys and certificates, listens. The root CA's ConfigMaps, the
  // default namespaces and the `kubernetes` Service are there when this returns.
  static Result<std::unique_ptr<Server>> start(io::Loop& loop, ServerOptions options);
  virtual ~Server() = default;

  virtual Store& store() = 0;
  virtual Api& api() = 0;
  virtual io::Address address() const = 0;
  // For pods: they reach the API server by the Service `kubernetes` (first address of
  // service_cidr); the network redirects it to address().
  virtual std::string root_ca_pem() const = 0;
  // A kubeconfig for an administrator (client certificate of group system:masters).
  virtual Result<std::string> admin_kubeconfig() = 0;
  // Set once the runtime stands, when it was not there at start().
  virtual void set_pods(PodAccess* pods) = 0;
};

}  // namespace mizzen::local
