#include "local/controllers/endpoints.h"

#include <map>

#include "local/controllers/rollout.h"
#include "local/runtime/probe.h"

namespace mizzen::local {
namespace {

bool selected(const Json& selector, const Json& pod) {
  const Json& labels = at_path(pod, {"metadata", "labels"});
  for (const auto& [key, value] : selector.items()) {
    if (!labels.is_object() || labels.value(key, Json()) != value) return false;
  }
  return true;
}

// The number that a service port's target has in a pod; 0 when the pod names no such port.
int target_port(const Json& port, const Json& pod) {
  const Json& target = at_path(port, {"targetPort"});
  if (target.is_null()) return port.value("port", 0);
  if (target.is_number_integer())
    return target.get<int>() == 0 ? port.value("port", 0) : target.get<int>();
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : at_path(pod, {"spec", list})) {
      if (int number = container_port(container, target); number != 0) return number;
    }
  }
  return 0;
}

Json ports_of(const Json& service, const Json& pod) {
  Json out = Json::array();
  for (const Json& port : at_path(service, {"spec", "ports"})) {
    int number = target_port(port, pod);
    if (number == 0) continue;
    Json one = {{"port", number}, {"protocol", port.value("protocol", "TCP")}};
    if (std::string name = text_at(port, {"name"}); !name.empty()) one["name"] = name;
    if (std::string app = text_at(port, {"appProtocol"}); !app.empty()) one["appProtocol"] = app;
    out.push_back(std::move(one));
  }
  return out;
}

Json address_of(const Json& service, const Json& pod) {
  Json address = {{"ip", text_at(pod, {"status", "podIP"})},
                  {"nodeName", text_at(pod, {"spec", "nodeName"})},
                  {"targetRef",
                   {{"kind", "Pod"},
                    {"name", name_of(pod)},
                    {"namespace", namespace_of(pod)},
                    {"uid", uid_of(pod)}}}};
  std::string host = text_at(pod, {"spec", "hostname"});
  if (!host.empty() && text_at(pod, {"spec", "subdomain"}) == name_of(service))
    address["hostname"] = host;
  return address;
}

}  // namespace

Json endpoint_subsets(const Json& service, const std::vector<Object>& pods) {
  const Json& selector = at_path(service, {"spec", "selector"});
  bool publish = at_path(service, {"spec", "publishNotReadyAddresses"}) == Json(true);
  std::map<std::string, Json> subsets;  // by ports
  for (const Object& pod : pods) {
    std::string phase = text_at(*pod, {"status", "phase"});
    if (!selector.is_object() || selector.empty() || !selected(selector, *pod)) continue;
    if (text_at(*pod, {"status", "podIP"}).empty() || phase == "Succeeded" || phase == "Failed")
      continue;
    // A pod that is going serves nobody new, so that nothing is lost while it drains.
    if (is_deleting(*pod) && !publish) continue;
    Json ports = ports_of(service, *pod);
    if (ports.empty() && !at_path(service, {"spec", "ports"}).empty()) continue;
    Json& subset = subsets[ports.dump()];
    if (!ports.empty()) subset["ports"] = ports;
    subset[publish || pod_is_ready(*pod) ? "addresses" : "notReadyAddresses"].push_back(
        address_of(service, *pod));
  }
  Json out = Json::array();
  for (auto& [ports, subset] : subsets) out.push_back(std::move(subset));
  return out;
}

Json endpoint_slice(const Json& service, const std::string& name, const Json& subset,
                    const std::vector<Object>& pods) {
  Json endpoints = Json::array();
  for (const char* list : {"addresses", "notReadyAddresses"}) {
    bool ready = list[0] == 'a';
    for (const Json& address : at_path(subset, {list})) {
      Json one = {{"addresses", Json::array({address["ip"]})},
                  {"conditions", {{"ready", ready}, {"serving", ready}, {"terminating", false}}}};
      for (const char* member : {"targetRef", "nodeName", "hostname"}) {
        if (address.contains(member)) one[member] = address[member];
      }
      endpoints.push_back(std::move(one));
    }
  }
  Json ports = at_path(subset, {"ports"}).is_array() ? subset["ports"] : Json::array();
  for (Json& port : ports) {
    if (!port.contains("name")) port["name"] = "";
  }
  (void)pods;
  Json labels = at_path(service, {"metadata", "labels"}).is_object() ? service["metadata"]["labels"]
                                                                     : Json::object();
  labels["kubernetes.io/service-name"] = name_of(service);
  labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io";
  if (text_at(service, {"spec", "clusterIP"}) == "None")
    labels["service.kubernetes.io/headless"] = "";
  return {{"apiVersion", "discovery.k8s.io/v1"},
          {"kind", "EndpointSlice"},
          {"metadata",
           {{"name", name},
            {"namespace", namespace_of(service)},
            {"labels", labels},
            {"ownerReferences", Json::array({Json{{"apiVersion", "v1"},
                                                  {"kind", "Service"},
                                                  {"name", name_of(service)},
                                                  {"uid", uid_of(service)},
                                                  {"controller", true},
                                                  {"blockOwnerDeletion", true}}})}}},
          {"addressType", "IPv4"},
          {"endpoints", endpoints},
          {"ports", ports}};
}

std::vector<ServicePort> service_ports(const Json& service, const Json* endpoints) {
  std::vector<ServicePort> out;
  std::string ip = text_at(service, {"spec", "clusterIP"});
  if (ip.empty() || ip == "None" || text_at(service, {"spec", "type"}) == "ExternalName")
    return out;
  if (ip.find(':') != std::string::npos) return out;
  for (const Json& port : at_path(service, {"spec", "ports"})) {
    ServicePort one;
    one.addresses.push_back(ip);
    for (const Json& external : at_path(service, {"spec", "externalIPs"})) {
      one.addresses.push_back(external.get<std::string>());
    }
    one.port = port.value("port", std::uint16_t{0});
    one.udp = port.value("protocol", "TCP") == "UDP";
    one.node_port = port.value("nodePort", std::uint16_t{0});
    one.client_ip_affinity = text_at(service, {"spec", "sessionAffinity"}) == "ClientIP";
    std::string name = text_at(port, {"name"});
    if (endpoints != nullptr) {
      for (const Json& subset : at_path(*endpoints, {"subsets"})) {
        for (const Json& target : at_path(subset, {"ports"})) {
          if (text_at(target, {"name"}) != name) continue;
          for (const Json& address : at_path(subset, {"addresses"})) {
            one.backends.push_back(
                {text_at(address, {"ip"}), target.value("port", std::uint16_t{0})});
          }
        }
      }
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace mizzen::local
