// Everything that runs inside the sandbox, put together: API server, controllers, node, network,
// names.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "local/apiserver/server.h"
#include "local/controllers/cron.h"
#include "local/controllers/services.h"
#include "local/controllers/workloads.h"
#include "local/dns/server.h"
#include "local/network/outside.h"
#include "local/network/relay.h"
#include "local/runtime/node.h"
#include "local/runtime/sandbox.h"
#include "net/http_client.h"

namespace mizzen::local {

// One object to be there once the cluster is up.
struct Manifest {
  std::string step;  // what is said while it is applied: "Istio's resource definitions"
  Json object;
};

struct ClusterOptions {
  std::string state_dir;
  std::string program_dir;
  IdMap ids = IdMap::kRoot;
  std::vector<Manifest> manifests;             // in this order
  std::vector<std::string> inject_namespaces;  // get the label istio-injection=enabled
  std::vector<std::string> wait_namespaces;    // all their Deployments are to be ready
  std::string page;  // "/productpage": must answer 200 at the ingress gateway
  Duration ready_timeout = std::chrono::minutes(3);
};

// The state that `status`, `env` and `down` read: STATE_DIR/state.json.
Json read_state(const std::string& state_dir);

class Cluster {
 public:
  Cluster(io::Loop& loop, io::UniqueFd control, ClusterOptions options);
  ~Cluster();

  // Starts everything in steps; tells progress and the outcome to the process outside. The loop is
  // stopped when the outside goes away, or when starting fails.
  void start();
  // Writes what is to be kept.
  void close();

 private:
  Status start_parts();
  void publish(io::UniqueFd listening);
  void apply_next();
  void applied(const Manifest& manifest, Result<Object> result);
  void label_namespaces();
  void wait_ready();
  std::string not_ready() const;
  void wait_page();
  void finished();
  void fail_start(const Error& error);
  void write_state();
  void forget_statuses();

  io::Loop& loop_;
  ClusterOptions options_;
  Outside outside_;
  Relays relays_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Workloads> workloads_;
  std::unique_ptr<CronJobs> cron_jobs_;
  std::unique_ptr<WayOutRelay> way_out_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<dns::Server> dns_;
  std::unique_ptr<Forwarder> api_door_;
  std::unique_ptr<net::HttpClient> page_client_;
  std::vector<Door> doors_;
  std::size_t next_manifest_ = 0;
  int tries_ = 0;
  MonoTime began_;
  std::string last_step_;
  std::string last_waiting_;
  bool ready_ = false;
};

}  // namespace mizzen::local
