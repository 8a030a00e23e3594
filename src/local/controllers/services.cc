#include "local/controllers/services.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "local/controllers/endpoints.h"
#include "local/controllers/rollout.h"
#include "local/network/pod_network.h"

namespace mizzen::local {
namespace {

bool wants_doors(const Json& service) {
  std::string type = text_at(service, {"spec", "type"});
  return type == "NodePort" || type == "LoadBalancer";
}

// Ports of 127.0.0.1 where a service port should answer, the best known first: the node port, and
// for the ingress gateway well-known high ports, so that addresses written down stay true.
std::vector<std::uint16_t> wanted_ports(const Json& service, const Json& port) {
  std::vector<std::uint16_t> wanted;
  const int number = port.value("port", 0);
  if (name_of(service) == "istio-ingressgateway") {
    for (auto [inside, outside] : {std::pair{80, 8080}, {443, 8443}, {15021, 15021}}) {
      if (number == inside) wanted.push_back(static_cast<std::uint16_t>(outside));
    }
  }
  const auto node_port = port.value("nodePort", std::uint16_t{0});
  if (node_port != 0 || wanted.empty()) wanted.push_back(node_port);
  return wanted;
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
  MIZZEN_TRY(auto endpoints, store_.watch("endpoints", {}, [this](const Event& event) {
    queue_.add({"services", namespace_of(*event.object), name_of(*event.object)});
    schedule_rules();
  }));
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
    write_slices(object, subsets, 1);  // for watchers that wait for it
  } else {
    // Endpoints that a user wrote are mirrored, as Kubernetes does: control planes read slices.
    Object written = store_.get({"endpoints", key.ns, key.name});
    const Json subsets = written ? at_path(*written, {"subsets"}) : Json();
    write_slices(object, subsets.is_array() ? subsets : Json::array(), 0);
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

// One slice per subset, `least` even when there are fewer.
void Services::write_slices(const Json& service, const Json& subsets, std::size_t least) {
  const std::string resource = "endpointslices.discovery.k8s.io";
  std::string ns = namespace_of(service);
  std::size_t wanted = std::max(least, subsets.size());
  std::string stem = name_of(service) + "-" + short_suffix(fnv1a(uid_of(service)));
  const auto key = [&](std::size_t i) {
    return Key{resource, ns, i == 0 ? stem : fmt::format("{}-{}", stem, i)};
  };
  for (std::size_t i = 0; i < wanted; ++i) {
    Json slice =
        endpoint_slice(service, key(i).name, i < subsets.size() ? subsets[i] : Json::object(), {});
    auto changed = store_.modify(key(i), [&](Json& object) {
      if (object["endpoints"] == slice["endpoints"] && object["ports"] == slice["ports"])
        return false;
      object["endpoints"] = slice["endpoints"];
      object["ports"] = slice["ports"];
      return true;
    });
    if (!changed) (void)store_.create(resource, std::move(slice));
  }
  for (std::size_t i = wanted; store_.get(key(i)) != nullptr; ++i) (void)store_.remove(key(i));
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
  write_slices(*service, subsets, 1);
}

void Services::load_balancer_status(const Key& key, const Json& service) {
  Json wanted = Json::object();
  if (text_at(service, {"spec", "type"}) == "LoadBalancer") {
    wanted["ingress"] = Json::array({Json{{"ip", ipv4_text(kDoorAddress)}}});
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
  // A few changes of one cause become one transaction; more would be felt at a pod's start. Where
  // there are thousands of services, writing them leaves the others three quarters of the time.
  const Duration wait = std::max<Duration>(std::chrono::milliseconds(5), 3 * rules_took_);
  loop_.after(wait, [this, alive = alive_] {
    if (!*alive) return;
    rules_scheduled_ = false;
    const MonoTime began = system_clock().mono();
    write_rules();
    rules_took_ = system_clock().mono() - began;
  });
}

void Services::write_rules() {
  std::vector<ServicePort> ports;
  for (const Object& service : store_.list("services")) {
    Object endpoints = store_.get({"endpoints", namespace_of(*service), name_of(*service)});
    for (ServicePort& port : service_ports(*service, endpoints.get())) {
      for (const auto& [key, open] : doors_) {
        const Door& door = open.door;
        if (door.shared && door.port == port.port && door.service == name_of(*service) &&
            door.ns == namespace_of(*service)) {
          port.doors.push_back(door.outside);
        }
      }
      ports.push_back(std::move(port));
    }
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
  std::set<DoorKey> wanted;
  for (const Json& port : at_path(service, {"spec", "ports"})) {
    if (port.value("protocol", "TCP") != "TCP") continue;
    const auto number = port.value("port", std::uint16_t{0});
    bool first = true;
    for (std::uint16_t outside : wanted_ports(service, port)) {
      wanted.insert({ns, name, number, outside});
      Door door{.ns = ns, .service = name, .port_name = text_at(port, {"name"}), .port = number};
      door.first = std::exchange(first, false);
      open_door(std::move(door), outside, text_at(service, {"spec", "clusterIP"}));
    }
  }
  bool any = false;
  for (auto it = doors_.begin(); it != doors_.end();) {
    const auto& [key, open] = *it;
    const bool own = open.door.ns == ns && open.door.service == name;
    if (own && !wanted.contains(key))
      any = close_door(&it);
    else
      ++it;
  }
  if (any) tell_doors();
}

void Services::open_door(Door door, std::uint16_t wanted, const std::string& cluster_ip) {
  const DoorKey key{door.ns, door.service, door.port, wanted};
  if (doors_.contains(key)) return;
  auto target = io::Address::parse_ip(cluster_ip, door.port);
  if (!target) return;
  // A service answers somewhere in any case; a second port is there when it is free.
  const bool or_any = door.first;
  doors_[key] = {std::move(door), nullptr};
  outside_.listen(
      io::Address::loopback(wanted), or_any, [this, key, to = *target](Result<io::UniqueFd> fd) {
        auto found = doors_.find(key);
        if (found == doors_.end()) return;
        Door& opened = found->second.door;
        auto forwarder =
            fd ? Forwarder::start(
                     relays_, std::move(*fd), [to] { return to; }, Forwarder::Source::kClient)
               : Result<std::unique_ptr<Forwarder>>(std::unexpected(fd.error()));
        if (!forwarder) {
          log::warning("network", "{}/{}:{} does not answer on 127.0.0.1:{}: {}", opened.ns,
                       opened.service, opened.port, std::get<3>(key), forwarder.error().message);
          // Kept without a forwarder where another port does: not to be tried at every change.
          if (opened.first) doors_.erase(found);
          return;
        }
        opened.outside = (*forwarder)->port();
        found->second.forwarder = std::move(*forwarder);
        open_shared(key, to);
        tell_doors();
      });
}

// The same port on the address that pods reach as well; a machine that has it taken does without.
void Services::open_shared(const DoorKey& key, const io::Address& to) {
  const auto where = io::Address::from_ipv4(kDoorAddress, doors_[key].door.outside);
  outside_.listen(where, false, [this, key, to](Result<io::UniqueFd> fd) {
    auto found = doors_.find(key);
    if (found == doors_.end() || !fd) return;
    auto forwarder = Forwarder::start(
        relays_, std::move(*fd), [to] { return to; }, Forwarder::Source::kClient);
    if (!forwarder) return;
    found->second.shared = std::move(*forwarder);
    found->second.door.shared = true;
    schedule_rules();
    tell_doors();
  });
}

// Leaves `at` at the next one.
bool Services::close_door(DoorMap::iterator* at) {
  loop_.dispose(std::move((*at)->second.forwarder));
  loop_.dispose(std::move((*at)->second.shared));
  *at = doors_.erase(*at);
  return true;
}

void Services::close_doors(const std::string& ns, const std::string& name) {
  bool any = false;
  for (auto it = doors_.begin(); it != doors_.end();) {
    const Door& door = it->second.door;
    if (door.ns == ns && door.service == name)
      any = close_door(&it);
    else
      ++it;
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
