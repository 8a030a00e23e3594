// SDS for a foreign proxy (envoy.service.secret.v3.SecretDiscoveryService, state of the world), on
// a UNIX socket: the secrets `default` and `ROOTCA` of this workload. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "agent/identity.h"
#include "base/result.h"
#include "io/loop.h"
#include "net/grpc.h"
#include "net/http_server.h"

namespace mizzen::agent {

class SdsServer {
 public:
  explicit SdsServer(net::GrpcServer& grpc);
  ~SdsServer();
  SdsServer(const SdsServer&) = delete;
  SdsServer& operator=(const SdsServer&) = delete;

  // Sends the new secrets to all who asked for them.
  void set_identity(const Identity& identity);

 private:
  struct Client;
  void accept(std::shared_ptr<net::GrpcStream> stream);
  void on_request(const std::shared_ptr<Client>& client, std::string_view message);
  void push(Client& client);

  std::map<std::string, std::string> secrets_;  // serialized, by name
  std::uint64_t version_ = 0;
  std::set<std::shared_ptr<Client>> clients_;
};

}  // namespace mizzen::agent
