// The control plane's copy of the cluster: Kubernetes and Istio objects in, snapshots out. One
// thread; snapshots may go to others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/mesh/entries.h"
#include "control/mesh/ingress.h"
#include "control/mesh/snapshot.h"
#include "object/field_error.h"
#include "object/json.h"

namespace mizzen::schema {
class PeerAuthentication;
}

namespace mizzen::control {

// What a change asks of the pushes: endpoint changes are never held back.
enum class Change : std::uint8_t { kNone, kEndpoints, kConfig };

class Store {
 public:
  // `mesh` is what holds until a ConfigMap `istio` says otherwise.
  explicit Store(MeshConfig mesh = {});

  // An object that is new or has changed; kinds that the mesh does not read are ignored. Errors of
  // an Istio object (which admission would have refused) are kept for take_errors(); what is well
  // formed of it counts.
  Change apply(const object::Json& object);
  Change remove(const object::Json& object);

  // The current state; the same pointer while nothing changed.
  std::shared_ptr<const Snapshot> snapshot();
  // The current services and endpoints under the rules of the last snapshot(): for endpoint changes
  // that must not wait while rules are still coming in.
  std::shared_ptr<const Snapshot> endpoint_snapshot();

  // Errors of objects applied since the last call: "VirtualService default/reviews: ...".
  std::vector<std::string> take_errors();

  // Whether this mesh serves the Ingress, by its class.
  bool serves(const object::Json& ingress) const;

  // What of Gateways is not served by the pods that they select, as gateway_conflicts() has it.
  std::map<std::string, std::string> gateway_conflicts();

  // Labels of a namespace; empty when it is not known.
  Labels namespace_labels(std::string_view name) const;
  std::vector<std::string> namespaces() const;
  const MeshConfig& mesh() const { return mesh_; }
  // The ProxyConfig (JSON) of a pod with `labels`: the mesh's, under ProxyConfig objects of the
  // root namespace and of its own, under `annotation` (its proxy.istio.io/config), under objects
  // that select it.
  object::Json proxy_config(const std::string& name_space, const Labels& labels,
                            const object::Json& annotation) const;
  // Null when there is no such pod.
  std::shared_ptr<const Workload> workload(std::string_view name_space, std::string_view pod) const;

 private:
  struct SliceEndpoint {
    std::string address;
    std::string pod;  // of targetRef
    bool ready = true;
    std::vector<std::pair<std::string, std::uint16_t>> ports;  // name and number
  };
  using Slices = std::map<std::string, std::vector<SliceEndpoint>>;  // by slice name
  template <class Spec>
  using Rules = std::map<std::string, Rule<Spec>>;  // by "namespace/name"

  Change apply_service(const object::Json& object);
  Change apply_slice(const object::Json& object);
  Change remove_slice(const object::Json& object);
  Change apply_pod(const object::Json& object);
  Change apply_node(const object::Json& object);
  Change apply_secret(const object::Json& object);
  Change apply_mesh(const object::Json& object);
  Change apply_ingress(const object::Json& object);
  Change apply_ingress_class(const object::Json& object, bool removed);
  void add_ingresses(Snapshot* next);
  Change apply_peer_policy(const object::Json& object);
  Change apply_namespace(const object::Json& object);
  template <class Spec>
  Change apply_rule(const object::Json& object, Rules<Spec>* rules);
  void forget_pod(const std::string& key);
  std::string locality_of(const std::string& node, const Labels& labels) const;
  std::shared_ptr<const Service> build_service(const std::string& key) const;
  void fill_services(Snapshot* next);
  void fill_rules(Snapshot* next) const;
  // True when entries of the namespace select by labels: they are built again.
  bool select_by_entries(std::string_view name_space);
  // The same for Services too, after `change` of a WorkloadEntry.
  Change select_again(Change change, const std::string& key);
  void set_mesh(MeshConfig mesh);
  bool discovers(std::string_view name_space) const;
  void note(const object::Json& object, const std::vector<object::FieldError>& errors);

  MeshConfig default_mesh_;
  MeshConfig mesh_;
  std::map<std::string, Service> services_;         // by "namespace/name", without endpoints
  std::unordered_map<std::string, Slices> slices_;  // by the service's "namespace/name"
  Pods pods_;
  std::unordered_map<std::string, std::string> pod_by_address_;
  std::unordered_map<std::string, std::string> node_localities_;
  std::map<std::string, Labels> namespaces_;
  Rules<schema::VirtualService> virtual_services_;
  Rules<schema::DestinationRule> destination_rules_;
  Rules<schema::Gateway> gateways_;
  Rules<schema::ServiceEntry> service_entries_;
  WorkloadEntries workload_entries_;
  Rules<schema::Sidecar> sidecars_;
  Rules<schema::ProxyConfig> proxy_configs_;
  std::map<std::string, PeerPolicy> peer_policies_;
  std::map<std::string, TlsSecret, std::less<>> tls_secrets_;
  struct Ingress {
    object::Json object;
    IngressRules rules;
    bool stale = true;  // `rules` are not made yet
  };
  std::map<std::string, Ingress> ingresses_;
  std::set<std::string> ingress_classes_{"istio"};

  Services kube_services_;                                      // built, by host
  std::vector<std::shared_ptr<const Service>> entry_services_;  // built
  std::set<std::string> dirty_services_;  // keys whose Service is to be built again
  bool dirty_entries_ = false;            // all of entry_services_ are
  bool dirty_ = true;                     // something changed since snapshot_ was made
  bool rules_stale_ = true;               // snapshot_ has the rules of the one before
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<std::string> errors_;
};

// What the text under key `mesh` of ConfigMap `istio` says, over `defaults`. What is wrong with it
// and what is not acted on goes to `problems`, a sentence each; the rest counts.
MeshConfig parse_mesh_config(std::string_view yaml, const MeshConfig& defaults,
                             std::vector<std::string>* problems);

}  // namespace mizzen::control
