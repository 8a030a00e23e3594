// One case's mesh: what the control plane makes of the objects, compiled by the proxy that routes.
#pragma once

#include <memory>
#include <string>

#include "control/mesh/store.h"
#include "control/translate/translate.h"
#include "proxy/config/live_config.h"
#include "proxy/feed/store.h"
#include "table.h"

namespace mizzen::sim {

// A certificate and its key for `host`, signed by a root of this process.
struct Certified {
  std::string chain_pem;
  std::string key_pem;
};
const std::string& root_pem();
Certified certify(const std::string& host);
// One of "revoked.client", which the root's revocation list names.
const Certified& revoked();

class Mesh {
 public:
  // Errors: objects that admission or the store refuses, resources that the proxy refuses or does
  // not understand whole.
  static Result<std::unique_ptr<Mesh>> make(const Table& table, const Case& one);

  // The same proxy with an on-demand scope, which has asked for these names
  // (api::kDestinationType). Null when its scope is not on demand.
  Result<std::unique_ptr<Mesh>> asking_for(const std::vector<std::string>& names) const;

  const Case& rules() const { return case_; }
  const control::Proxy& proxy() const { return proxy_; }
  const control::Snapshot& snapshot() const { return *snapshot_; }
  bool is_gateway() const { return proxy_.kind == control::ProxyKind::kGateway; }
  // What the proxy runs on.
  proxy::LiveConfigRef live() const { return live_; }
  // The control plane's resources by type URL.
  const xds::World& world() const { return world_; }

  // Where a request or connection to `host` and `port` arrives: the address of the service, the
  // one that the host is written as, or one that nobody has.
  io::Address destination(const Ask& ask) const;
  // The listener that takes it; never null.
  std::shared_ptr<const proxy::Listener> listener(const io::Address& destination) const;

 private:
  Status translate();
  void translate(const control::Snapshot& snapshot);
  Status compile();

  Case case_;
  control::Store store_;
  std::shared_ptr<const control::Snapshot> snapshot_;
  control::Proxy proxy_;
  xds::World world_;
  std::unique_ptr<proxy::ConfigStore> config_;
  proxy::LiveConfigRef live_;
};

// What admission says of the case's objects: errors, then warnings, one a line.
struct Admission {
  std::string errors;
  std::string warnings;
};
Admission admit(const Case& one);

}  // namespace mizzen::sim
