// Services made real: Endpoints and EndpointSlices, rules in the kernel, doors on the machine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "local/apiserver/store.h"
#include "local/controllers/queue.h"
#include "local/network/outside.h"
#include "local/network/relay.h"
#include "local/network/rules.h"

namespace mizzen::local {

// A port of a NodePort or LoadBalancer service as it answers on the machine: on 127.0.0.1, and on
// 127.10.0.1, which pods reach as well.
struct Door {
  std::string ns;
  std::string service;
  std::string port_name;
  std::uint16_t port = 0;     // of the service
  std::uint16_t outside = 0;  // port there
  bool shared = false;        // on 127.10.0.1 as well
  bool first = true;          // where users are led; others answer as well
};

class Services {
 public:
  // `api_server` stands behind the Service `kubernetes`. `doors_changed` is told all doors whenever
  // one opens or closes. Loop thread only; everything outlives this.
  Services(io::Loop& loop, Store& store, Outside& outside, Relays& relays, io::Address api_server,
           WayOut way_out, std::function<void(const std::vector<Door>&)> doors_changed);
  ~Services();
  Status start();

 private:
  struct OpenDoor {
    Door door;
    std::unique_ptr<Forwarder> forwarder;  // null while it is being opened
    std::unique_ptr<Forwarder> shared;     // on 127.10.0.1
  };
  // Namespace, name, port and the port wanted outside.
  using DoorKey = std::tuple<std::string, std::string, std::uint16_t, std::uint16_t>;
  using DoorMap = std::map<DoorKey, OpenDoor>;

  void reconcile(const Key& key);
  void service(const Key& key, const Json& object);
  void write_endpoints(const Json& service, const Json& subsets);
  void write_slices(const Json& service, const Json& subsets, std::size_t least);
  void publish_kubernetes();
  void load_balancer_status(const Key& key, const Json& service);
  void pod_event(const Event& event);
  void schedule_rules();
  void write_rules();
  void open_doors(const Json& service);
  void open_door(Door door, std::uint16_t wanted, const std::string& cluster_ip);
  void open_shared(const DoorKey& key, const io::Address& to);
  void close_doors(const std::string& ns, const std::string& name);
  void tell_doors();

  bool close_door(DoorMap::iterator* at);

  io::Loop& loop_;
  Store& store_;
  Outside& outside_;
  Relays& relays_;
  io::Address api_server_;
  WayOut way_out_;
  std::function<void(const std::vector<Door>&)> doors_changed_;
  Queue queue_;
  std::vector<std::unique_ptr<Watch>> watches_;
  DoorMap doors_;
  std::string applied_;
  bool rules_scheduled_ = false;
  Duration rules_took_{0};  // to write, the last time
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
