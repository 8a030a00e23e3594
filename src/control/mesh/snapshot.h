// One immutable state of the mesh: everything that translation may read. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/mesh/model.h"

namespace mizzen::schema {
class DestinationRule;
class Gateway;
class ProxyConfig;
class Sidecar;
class VirtualService;
}  // namespace mizzen::schema

namespace mizzen::control {

// An Istio object: `spec` is the generated message of its schema.
template <class Spec>
struct Rule {
  std::string name;
  std::string name_space;
  std::int64_t created = 0;  // seconds since 1970
  std::shared_ptr<const Spec> spec;
  bool ingress = false;  // made of an Ingress, whose path prefixes end at a slash
};
using VirtualServiceRule = Rule<schema::VirtualService>;
using DestinationRuleRule = Rule<schema::DestinationRule>;
using GatewayRule = Rule<schema::Gateway>;
using SidecarRule = Rule<schema::Sidecar>;
using ProxyConfigRule = Rule<schema::ProxyConfig>;

enum class MtlsMode : std::uint8_t { kUnset, kDisable, kPermissive, kStrict };

// A PeerAuthentication.
struct PeerPolicy {
  std::string name;
  std::string name_space;
  std::int64_t created = 0;
  Labels selector;  // empty: the whole namespace, or the mesh in the root namespace
  MtlsMode mode = MtlsMode::kUnset;
  std::map<std::uint16_t, MtlsMode> ports;  // by the workload's port
};

// A Secret of type tls, as gateways use it.
struct TlsSecret {
  std::string certificate;  // PEM chain
  std::string key;          // PEM
  std::string ca;           // PEM bundle for the other side's certificates, may be empty
  std::string crl;          // PEM, beside `ca`, may be empty
};

// A service port behind which a workload stands.
struct Instance {
  const Service* service = nullptr;
  const ServicePort* port = nullptr;
  std::uint16_t target = 0;  // the workload's own port
};

// Where a sidecar listens towards the mesh, as its Sidecar says.
struct EgressListener {
  std::string bind;           // empty: the services' own addresses, 0.0.0.0 for HTTP
  bool bind_to_port = false;  // a socket of its own, not fed by captured connections
};

// What connections to a port that no address tells apart are looked at for.
struct SharedPort {
  bool http = false;
  bool tls = false;  // the server name decides
  bool operator==(const SharedPort&) const = default;
};

using Services = std::map<std::string, std::shared_ptr<const Service>, std::less<>>;  // by host
using Instances = std::unordered_map<std::string, std::vector<Instance>>;             // by address

// What is said of services; lists are oldest first, then by namespace and name.
struct MeshRules {
  MeshConfig mesh;
  std::vector<VirtualServiceRule> virtual_services;
  std::vector<DestinationRuleRule> destination_rules;
  std::vector<GatewayRule> gateways;
  std::vector<SidecarRule> sidecars;
  std::vector<PeerPolicy> peer_policies;
};

// The mesh, or what one proxy may see of it (scope.h).
struct Snapshot : MeshRules {
  std::uint64_t number = 0;  // grows with every snapshot of a process

  Services services;
  // Hosts that `services` has already, from entries of other namespaces; oldest first.
  std::vector<std::shared_ptr<const Service>> rivals;
  std::shared_ptr<const Instances> instances = std::make_shared<const Instances>();

  std::map<std::string, TlsSecret, std::less<>> tls_secrets;  // "namespace/name"

  // Only in what one proxy sees: the mesh that it was taken from, its Sidecar, and the listeners
  // that this asks for; port 0 is every port that no other names.
  std::shared_ptr<const Snapshot> whole;
  const SidecarRule* sidecar = nullptr;
  std::map<std::uint16_t, EgressListener> egress;

  // Only in what one proxy asked for (learned_scope.h): all that it may see, and the ports that it
  // asked for, as they are there.
  std::shared_ptr<const Snapshot> asked_of;
  std::map<std::uint16_t, SharedPort> shared_ports;
  const Snapshot& everything() const { return asked_of ? *asked_of : *this; }

  const Service* service(std::string_view host) const;
  const std::vector<Instance>* instances_at(const std::string& address) const;

  // What a workload with these labels demands of connections to `port`: the narrowest of port,
  // workload, namespace and mesh that says anything; the oldest of equals. Permissive by default.
  // `port` 0 asks for ports that no policy names.
  MtlsMode mtls_mode(std::string_view name_space, const Labels& labels, std::uint16_t port) const;

  // The rule for `host` that `proxy` obeys: of its own namespace, else of the service's, else of
  // the root namespace; the most specific host first, then one whose workloadSelector names the
  // proxy, then the oldest. Null when there is none.
  const DestinationRuleRule* destination_rule(std::string_view host, const Proxy& proxy) const;

  // Fills `instances`; call once when `services` is complete.
  void index_instances();
};

// Whether `export_to` of an object in `owner` lets `name_space` see it; empty is everywhere.
bool exported_to(const std::vector<std::string>& export_to, std::string_view owner,
                 std::string_view name_space);

}  // namespace mizzen::control
