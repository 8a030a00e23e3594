#include "local/controllers/services.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "local/controllers/endpoints.h"
#include "local/controllers/rollout.h"

namespace mizzen::local {
namespace {

bool wants_doors(const Json& service) {
  std::string type = text_at(service, {"spec", "type"});
  return type == "NodePort" || type == "LoadBalancer";
}

// Where a service port should answer on 127.0.0.1: the ingress gateway at well-known high ports, so
// that addresses written down stay true; others at their node port.
std::uint16_t preferred_port(const Json& service, const Json& port) {
  int number = port.value("port", 0);
  if (name_of(service) == "istio-ingressgateway") {
    if (number == 80) return 8080;
    if (number == 443) return 8443;
    if (number == 15021) return 15021;
  }
  return port.value("nodePort", std::uint16_t{0});
}

}  // namespace

Services::Services(io::Loop& loop, Store& store, Outside& outside, Relays& relays,
                   io::Address api_server, WayOut way_out,
                   std::function<void(const std::vector<Door>&)> doors_changed)
    : loop_(loop),
      store_(store),
      outside_(outside),
      relays_(relays),
      api_server_(std::move(api_server)),
      way_out_(way_out),
      doors_changed_(std::move(doors_changed)),
      queue_(loop, [this](const Key& key) { reconcile(key); }) {}

Services::~Services() { *alive_ = false; }

Status Services::start() {
  MIZZEN_TRY(auto services, store_.watch("services", {}, [this](const Event& event) {
    const Json& object = *event.object;
    queue_.add({"services", namespace_of(object), name_of(object)});
    schedule_rules();
  }));
  watches_.push_back(std::move(services));
  MIZZEN_TRY(auto endpoints,
             store_.watch("endpoints", {}, [this](const Event&) { schedule_rules(); }));
  watches_.push_back(std::move(endpoints));
  MIZZEN_TRY(auto pods, store_.watch("pods", {}, [this](const Event& event) { pod_event(event); }));
  watches_.push_back(std::move(pods));
  publish_kubernetes();
  write_rules();
  return {};
}

void Services::pod_event(const Event& event) {
  // Any service of the namespace whose selector matches the pod, before or after.
  std::string ns = namespace_of(*event.object);
  for (const Object& service : store_.list("services", ns)) {
    const Json& selector = at_path(*service, {"spec", "selector"});
    if (!selector.is_object() || selector.empty()) continue;
    for (const Object& pod : {event.object, event.previous}) {
      if (pod == nullptr) continue;
      const Json& labels = at_path(*pod, {"metadata", "labels"});
      bool matches = labels.is_object();
      for (const auto& [key, value] : selector.items())
        matches = matches && labels.value(key, Json()) == value;
      if (matches) queue_.add({"services", ns, name_of(*service)});
    }
  }
}

void Services::reconcile(const Key& key) {
  Object object = store_.get(key);
  if (object == nullptr || is_deleting(*object)) {
    (void)store_.remove({"endpoints", key.ns, key.name});
    return close_doors(key.ns, key.name);
  }
  service(key, *object);
}

void Services::service(const Key& key, const Json& object) {
  const Json& selector = at_path(object, {"spec", "selector"});
  if (selector.is_object() && !selector.empty()) {
    auto pods = store_.list("pods", key.ns);
    Json subsets = endpoint_subsets(object, pods);
    write_endpoints(object, subsets);
    write_slices(object, subsets);
  }
  if (wants_doors(object))
    open_doors(object);
  else
    close_doors(key.ns, key.name);
  load_balancer_status(key, object);
}

void Services::write_endpoints(const Json& service, const Json& subsets) {
  Key key{"endpoints", namespace_of(service), name_of(service)};
  auto changed = store_.modify(key, [&](Json& object) {
    if (object.value("subsets", Json::array()) == subsets) return false;
    object["subsets"] = subsets;
    return true;
  });
  if (changed) return;
  Json labels = at_path(service, {"metadata", "labels"});
  Json object = {{"apiVersion", "v1"},
                 {"kind", "Endpoints"},
                 {"metadata", {{"name", key.name}, {"namespace", key.ns}}},
                 {"subsets", subsets}};
  if (labels.is_object()) object["metadata"]["labels"] = labels;
  (void)store_.create("endpoints", std::move(object));
}

// One slice per subset; the first always there, for watchers that wait for it.
void Services::write_slices(const Json& service, const Json& subsets) {
  const std::string resource = "endpointslices.discovery.k8s.io";
  std::string ns = namespace_of(service);
  std::size_t wanted = std::max<std::size_t>(1, subsets.size());
  std::string stem = name_of(service) + "-" + short_suffix(fnv1a(uid_of(service)));
  for (std::size_t i = 0; i < wanted; ++i) {
    std::string name = i == 0 ? stem : fmt::format("{}-{}", stem, i);
    Json slice =
        endpoint_slice(service, name, i < subsets.size() ? subsets[i] : Json::object(), {});
    auto changed = store_.modify({resource, ns, name}, [&](Json& object) {
      if (object["endpoints"] == slice["endpoints"] && object["ports"] == slice["ports"])
        return false;
      object["endpoints"] = slice["endpoints"];
      object["ports"] = slice["ports"];
      return true;
    });
    if (!changed) (void)store_.create(resource, std::move(slice));
  }
  for (std::size_t i = wanted; store_.get({resource, ns, fmt::format("{}-{}", stem, i)}) != nullptr;
       ++i) {
    (void)store_.remove({resource, ns, fmt::format("{}-{}", stem, i)});
  }
}

// The API server is no pod: its endpoint is the node.
void Services::publish_kubernetes() {
  Object service = store_.get({"services", "default", "kubernetes"});
  if (service == nullptr) return;
  Json subset = {
      {"addresses", Json::array({Json{{"ip", api_server_.ip()}}})},
      {"ports",
       Json::array({Json{{"name", "https"}, {"port", api_server_.port()}, {"protocol", "TCP"}}})}};
  Json subsets = Json::array({subset});
  write_endpoints(*service, subsets);
  write_slices(*service, subsets);
}

void Services::load_balancer_status(const Key& key, const Json& service) {
  Json wanted = Json::object();
  if (text_at(service, {"spec", "type"}) == "LoadBalancer") {
    wanted["ingress"] = Json::array({Json{{"ip", "127.0.0.1"}}});
  }
  (void)store_.modify(key, [&](Json& object) {
    if (at_path(object, {"status", "loadBalancer"}) == wanted) return false;
    object["status"]["loadBalancer"] = wanted;
    return true;
  });
}

void Services::schedule_rules() {
  if (rules_scheduled_) return;
  rules_scheduled_ = true;
  // A few changes of one cause become one transaction; more would be felt at a pod's start.
  loop_.after(std::chrono::milliseconds(5), [this, alive = alive_] {
    if (!*alive) return;
    rules_scheduled_ = false;
    write_rules();
  });
}

void Services::write_rules() {
  std::vector<ServicePort> ports;
  for (const Object& service : store_.list("services")) {
    Object endpoints = store_.get({"endpoints", namespace_of(*service), name_of(*service)});
    for (ServicePort& port : service_ports(*service, endpoints.get()))
      ports.push_back(std::move(port));
  }
  std::string rules = service_rules(ports, way_out_);
  if (rules == applied_) return;
  if (auto status = apply_rules(rules); !status) {
    log::error("network", "{}", status.error().message);
    return;
  }
  applied_ = std::move(rules);
}

void Services::open_doors(const Json& service) {
  std::string ns = namespace_of(service);
  std::string name = name_of(service);
  std::string ip = text_at(service, {"spec", "clusterIP"});
  for (const Json& port : at_path(service, {"spec", "ports"})) {
    std::uint16_t number = port.value("port", std::uint16_t{0});
    std::uint16_t preferred = preferred_port(service, port);
    DoorKey key{ns, name, number};
    if (port.value("protocol", "TCP") != "TCP" || doors_.contains(key)) continue;
    doors_[key] = {{ns, name, text_at(port, {"name"}), number, 0}, nullptr};
    outside_.listen(
        io::Address::loopback(preferred), true, [this, key, ip, number](Result<io::UniqueFd> fd) {
          auto found = doors_.find(key);
          if (found == doors_.end()) return;
          auto target = io::Address::parse_ip(ip, number);
          auto forwarder = fd && target ? Forwarder::start(relays_, std::move(*fd),
                                                           [to = *target] { return to; })
                                        : Result<std::unique_ptr<Forwarder>>(
                                              fail(Code::kUnavailable, "no listening socket"));
          if (!forwarder) {
            log::error("network", "{}/{}: {}", std::get<0>(key), std::get<1>(key),
                       fd ? forwarder.error().message : fd.error().message);
            doors_.erase(found);
            return;
          }
          found->second.door.outside = (*forwarder)->port();
          found->second.forwarder = std::move(*forwarder);
          tell_doors();
        });
  }
}

void Services::close_doors(const std::string& ns, const std::string& name) {
  bool any = false;
  for (auto it = doors_.begin(); it != doors_.end();) {
    if (std::get<0>(it->first) == ns && std::get<1>(it->first) == name) {
      loop_.dispose(std::move(it->second.forwarder));
      it = doors_.erase(it);
      any = true;
    } else {
      ++it;
    }
  }
  if (any) tell_doors();
}

void Services::tell_doors() {
  std::vector<Door> open;
  for (const auto& [key, door] : doors_) {
    if (door.forwarder != nullptr) open.push_back(door.door);
  }
  doors_changed_(open);
}

}  // namespace mizzen::local
