#include "control/mesh/watcher.h"

#include "base/log.h"

namespace mizzen::control {

using object::Json;

Watcher::Watcher(kube::Client& client, Store& store, WatcherCallbacks callbacks)
    : client_(client), store_(store), callbacks_(std::move(callbacks)) {
  // Namespaces and nodes first: others refer to them.
  add("Namespace", {"", "v1", "namespaces", false}, false);
  add("Node", {"", "v1", "nodes", false}, false);
  add("ConfigMap", {"", "v1", "configmaps", true}, false);
  add("Secret", {"", "v1", "secrets", true}, false);
  add("Pod", {"", "v1", "pods", true}, false);
  add("Service", {"", "v1", "services", true}, false);
  add("EndpointSlice", {"discovery.k8s.io", "v1", "endpointslices", true}, false);
  add("IngressClass", {"networking.k8s.io", "v1", "ingressclasses", false}, false);
  add("Ingress", {"networking.k8s.io", "v1", "ingresses", true}, false);
  add("VirtualService", {"networking.istio.io", "v1", "virtualservices", true}, true);
  add("DestinationRule", {"networking.istio.io", "v1", "destinationrules", true}, true);
  add("Gateway", {"networking.istio.io", "v1", "gateways", true}, true);
  add("ServiceEntry", {"networking.istio.io", "v1", "serviceentries", true}, true);
  add("WorkloadEntry", {"networking.istio.io", "v1", "workloadentries", true}, true);
  add("WorkloadGroup", {"networking.istio.io", "v1", "workloadgroups", true}, true);
  add("Sidecar", {"networking.istio.io", "v1", "sidecars", true}, true);
  add("ProxyConfig", {"networking.istio.io", "v1beta1", "proxyconfigs", true}, true);
  add("PeerAuthentication", {"security.istio.io", "v1", "peerauthentications", true}, true);
}

// `istio`: the mesh's own kinds are kept whole, so that their status can be told apart from them.
void Watcher::add(std::string kind, kube::Resource resource, bool istio) {
  const auto named = [kind](const Json& object) {
    Json copy = object;
    copy["kind"] = kind;
    return copy;
  };
  const auto apply = [this, named](const Json& object) {
    const Json whole = object.contains("kind") ? object : named(object);
    callbacks_.on_change(store_.apply(whole), whole, false);
  };
  kube::InformerCallbacks callbacks;
  callbacks.on_added = apply;
  callbacks.on_changed = [apply](const Json&, const Json& now) { apply(now); };
  callbacks.on_removed = [this, named](const Json& last) {
    const Json whole = named(last);
    callbacks_.on_change(store_.remove(whole), whole, true);
  };
  callbacks.on_synced = [this] { synced(); };
  callbacks.on_error = [kind](const Error& error) {
    log::warning("watch", "{}: {}", kind, error.message);
  };
  kube::InformerOptions options;
  // Removing an EndpointSlice needs its labels; the rest of what is removed needs its name alone.
  options.keep_objects = istio;
  if (kind == "ConfigMap") options.list.field_selector = "metadata.name=istio";
  informers_.push_back(std::make_unique<kube::Informer>(client_, std::move(resource),
                                                        std::move(options), std::move(callbacks)));
}

void Watcher::start() {
  waiting_ = informers_.size();
  for (const auto& informer : informers_) informer->start();
}

void Watcher::synced() {
  if (waiting_ == 0 || --waiting_ != 0) return;
  log::info("watch", "the cluster has been read");
  callbacks_.on_ready();
}

std::vector<std::string> Watcher::missing() const {
  std::vector<std::string> out;
  for (const auto& informer : informers_) {
    if (!informer->synced()) out.push_back(informer->resource().plural);
  }
  return out;
}

}  // namespace mizzen::control
