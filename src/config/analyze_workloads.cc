// Namespaces, pods and services: whether a sidecar stands beside each pod, and whether ports say
// what they speak.
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "config/analyze_world.h"

namespace mizzen::config {
namespace {

constexpr std::string_view kInjectLabel = "istio-injection";
constexpr std::string_view kRevisionLabel = "istio.io/rev";
constexpr std::string_view kPodSwitch = "sidecar.istio.io/inject";

bool has_proxy(const Json& pod) {
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : list_at(pod, {"spec", list})) {
      if (object::string_at(container, {"name"}) == "istio-proxy") return true;
    }
  }
  return false;
}

// A pod that asks for no sidecar.
bool opted_out(const Json& pod) {
  if (object::bool_at(pod, {"spec", "hostNetwork"})) return true;
  const auto label = object::label_of(pod, kPodSwitch);
  const auto annotation = object::annotation_of(pod, kPodSwitch);
  return (label && *label == "false") || (!label && annotation && *annotation == "false");
}

void check_namespace(AnalysisWorld& world, const SourcedObject& one) {
  const std::string name = object::name_of(one.value);
  if (is_system_namespace(name) || name == world.scope().root_namespace) return;
  const auto inject = object::label_of(one.value, kInjectLabel);
  const auto revision = object::label_of(one.value, kRevisionLabel);
  if (inject && revision) {
    world.tell(
        one, Severity::kWarning, "IST0123",
        "The namespace has more than one type of injection labels [{} {}], which may lead to "
        "undefined behavior. Make sure only one injection label exists.",
        kInjectLabel, kRevisionLabel);
  }
  if (!inject && !revision) {
    world.tell(one, Severity::kInfo, "IST0102",
               "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {} "
               "istio-injection=enabled' to enable it, or 'kubectl label namespace {} "
               "istio-injection=disabled' to explicitly mark it as not needing injection.",
               name, name);
  }
}

// What a port's name says before its first dash is a protocol that the mesh knows.
bool follows_convention(const std::string& name) {
  static const std::set<std::string_view> kProtocols = {
      "http", "http2", "https", "grpc",  "grpc-web", "tcp", "tls",
      "udp",  "mongo", "mysql", "redis", "hbone",    "auto"};
  const std::string low = lower(name);
  if (low == "grpc-web" || low.starts_with("grpc-web-")) return true;
  return kProtocols.contains(std::string_view(low).substr(0, low.find('-')));
}

std::string target_of(const Json& port) {
  const Json* target = object::find(port, {"targetPort"});
  if (target == nullptr) return std::to_string(object::int_at(port, {"port"}));
  return target->is_string() ? target->get<std::string>() : target->dump();
}

void check_port_names(AnalysisWorld& world, const SourcedObject& service) {
  const bool external = object::string_at(service.value, {"spec", "type"}) == "ExternalName";
  for (const Json& port : list_at(service.value, {"spec", "ports"})) {
    const std::string name = object::string_at(port, {"name"});
    const bool named = !object::string_at(port, {"appProtocol"}).empty() ||
                       object::string_at(port, {"protocol"}, "TCP") == "UDP" ||
                       follows_convention(name);
    if (named) continue;
    if (external) {
      world.tell(service, Severity::kWarning, "IST0150",
                 "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports "
                 "and unmatched traffic for ports serving TCP protocol from being forwarded "
                 "correctly");
    } else {
      world.tell(service, Severity::kInfo, "IST0118",
                 "Port name {} (port: {}, targetPort: {}) doesn't follow the naming convention of "
                 "Istio port.",
                 name, object::int_at(port, {"port"}), target_of(port));
    }
  }
}

struct ServicePort {
  std::string service;
  std::int64_t port;
  std::string protocol;
};

// Services that stand before the same pods and disagree about a port of theirs.
void check_deployment(AnalysisWorld& world, const SourcedObject& deployment) {
  const std::string name_space = object::namespace_of(deployment.value);
  const std::string name = object::name_of(deployment.value);
  const StringMap labels = object::string_map(
      object::find(deployment.value, {"spec", "template", "metadata", "labels"}));
  std::map<std::string, std::vector<ServicePort>> by_target;
  std::map<std::int64_t, std::vector<ServicePort>> by_port;
  for (const SourcedObject* service : world.of_kind("Service")) {
    if (object::namespace_of(service->value) != name_space) continue;
    const StringMap selector =
        object::string_map(object::find(service->value, {"spec", "selector"}));
    if (selector.empty() || !covers(selector, labels)) continue;
    for (const Json& port : list_at(service->value, {"spec", "ports"})) {
      const ServicePort one{object::name_of(service->value), object::int_at(port, {"port"}),
                            object::string_at(port, {"protocol"}, "TCP")};
      by_target[target_of(port)].push_back(one);
      by_port[one.port].push_back(one);
    }
  }
  for (const auto& [target, ports] : by_target) {
    std::set<std::string> services;
    std::set<std::int64_t> numbers;
    for (const ServicePort& one : ports) {
      services.insert(one.service);
      numbers.insert(one.port);
    }
    if (services.size() < 2 || numbers.size() < 2) continue;
    world.tell(deployment, Severity::kWarning, "IST0137",
               "This deployment {}.{} is associated with multiple services [{}] using targetPort "
               "\"{}\" but different ports: [{}].",
               name, name_space, fmt::join(services, " "), target, fmt::join(numbers, " "));
  }
  for (const auto& [port, ports] : by_port) {
    std::set<std::string> services;
    std::set<std::string> protocols;
    for (const ServicePort& one : ports) {
      services.insert(one.service);
      protocols.insert(one.protocol);
    }
    if (protocols.size() < 2) continue;
    world.tell(deployment, Severity::kWarning, "IST0116",
               "This deployment {}.{} is associated with multiple services using port {} but "
               "different protocols: [{}]",
               name, name_space, port, fmt::join(services, " "));
  }
}

}  // namespace

void analyze_injection(AnalysisWorld& world) {
  for (const SourcedObject* one : world.of_kind("Namespace")) check_namespace(world, *one);
  for (const KnownPod& pod : world.pods()) {
    if (pod.is_template || !world.injects(pod.name_space)) continue;
    if (opted_out(pod.source->value) || has_proxy(pod.source->value)) continue;
    world.tell(*pod.source, Severity::kWarning, "IST0103",
               "The pod {}/{} is missing the Istio proxy. This can often be resolved by restarting "
               "or redeploying the workload.",
               pod.name_space, pod.name);
  }
}

void analyze_services(AnalysisWorld& world) {
  for (const SourcedObject* service : world.of_kind("Service")) {
    const std::string name_space = object::namespace_of(service->value);
    if (is_system_namespace(name_space) || name_space == world.scope().root_namespace) continue;
    if (name_space == "default" && object::name_of(service->value) == "kubernetes") continue;
    check_port_names(world, *service);
  }
  for (const SourcedObject* deployment : world.of_kind("Deployment")) {
    if (object::namespace_of(deployment->value) == world.scope().root_namespace) continue;
    check_deployment(world, *deployment);
  }
}

}  // namespace mizzen::config
