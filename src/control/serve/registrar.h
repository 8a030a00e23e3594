// Machines outside of the cluster that register themselves: a proxy that names a WorkloadGroup
// (AUTO_REGISTER_GROUP in its node's metadata) becomes a WorkloadEntry made of the group's
// template; it goes ten seconds after the proxy's last stream has ended. Names and annotations are
// Istio's (`istio.io/autoRegistrationGroup`, `.../workloadController`, `.../connectedAt`,
// `.../disconnectedAt`). Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "control/mesh/model.h"
#include "kube/client.h"
#include "object/json.h"
#include "pki/spiffe.h"

namespace mizzen::control {

// Of a node's metadata.
inline constexpr std::string_view kGroupOfNode = "AUTO_REGISTER_GROUP";
inline constexpr std::string_view kNetworkOfNode = "NETWORK";

// What a proxy says of itself, and whom it has shown to be.
struct Registration {
  std::string group;  // the WorkloadGroup's name, in the proxy's namespace
  std::string name_space;
  std::string address;
  std::string network;  // may be empty
  Labels labels;        // go over the group's own
  pki::SpiffeId identity;
};

class Registrar {
 public:
  // `instance` names this control plane in what it writes. The client must outlive it.
  Registrar(kube::Client& client, std::string instance);
  ~Registrar() { *alive_ = false; }
  Registrar(const Registrar&) = delete;
  Registrar& operator=(const Registrar&) = delete;

  // What the cluster holds: WorkloadGroups and WorkloadEntries; other kinds are passed over.
  void apply(const object::Json& object);
  void remove(const object::Json& object);

  // A stream has begun; each one is told of by disconnect() when it ends. Gives the workload's
  // labels. Errors: kNotFound when the group is not there, kUnauthenticated when it is for another
  // service account.
  Result<Labels> connect(const Registration& registration);
  void disconnect(const Registration& registration);
  // The cluster has been read: entries of ours whose proxies do not come back are taken away.
  void start();

  // "group-address" or "group-address-network", as Istio names them.
  static std::string entry_name(const Registration& registration);

 private:
  struct Connected {
    int streams = 0;
    object::Json entry;  // to be created
    std::string since;   // RFC 3339
  };

  void write(const std::string& key, int attempt);
  void mark_connected(const std::string& key, int attempt);
  void mark_disconnected(const std::string& key);
  void remove_later(const std::string& key);
  void try_again(const std::string& key, int attempt, const Error& error);

  kube::Client& client_;
  std::string instance_;
  std::map<std::string, object::Json> groups_;   // by "namespace/name"
  std::map<std::string, object::Json> entries_;  // those that were made of a group
  std::map<std::string, Connected> connected_;
  std::set<std::string> leaving_;  // a removal is on its way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::control
