#include "local/runtime/cluster.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/types.h"
#include "local/controllers/rollout.h"
#include "object/patch.h"

namespace mizzen::local {
namespace {

constexpr std::uint16_t kApiPort = 6443;
constexpr std::uint16_t kApiPortOutside = 16443;
constexpr const char* kAppliedHash = "mizzen.local/applied-hash";

Status write_private(const std::string& path, const std::string& text) {
  std::string next = path + ".new";
  {
    std::ofstream out(next, std::ios::trunc);
    out << text;
    if (!out) return fail(Code::kInternal, "cannot write " + next);
  }
  std::error_code error;
  std::filesystem::permissions(
      next, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  std::filesystem::rename(next, path, error);
  if (error) return fail(Code::kInternal, fmt::format("write {}: {}", path, error.message()));
  return {};
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string describe(const Json& object) {
  return fmt::format("{} {}", object.value("kind", ""), name_of(object));
}

// What `kubectl apply` leaves, so that one of the same manifest goes on from here without a
// warning. Definitions are longer than an annotation may be.
void note_applied(Json& object) {
  if (object.value("kind", "") == "CustomResourceDefinition") return;
  Json written = object;
  written["metadata"].emplace("annotations", Json::object());
  object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
      written.dump() + "\n";
}

}  // namespace

Json read_state(const std::string& state_dir) {
  std::ifstream in(state_dir + "/state.json");
  Json state = Json::parse(in, nullptr, false);
  return state.is_object() ? state : Json::object();
}

Cluster::Cluster(io::Loop& loop, io::UniqueFd control, ClusterOptions options)
    : loop_(loop),
      options_(std::move(options)),
      outside_(loop, std::move(control), [this] { loop_.stop(); }),
      relays_(loop) {}

Cluster::~Cluster() = default;

void Cluster::start() {
  began_ = loop_.now();
  outside_.progress("Starting the API server");
  if (auto status = start_parts(); !status) return fail_start(status.error());
  outside_.listen(io::Address::loopback(kApiPortOutside), true, [this](Result<io::UniqueFd> fd) {
    if (!fd) return fail_start(fd.error().in("API server's door"));
    publish(std::move(*fd));
  });
}

Status Cluster::start_parts() {
  std::string run_dir = options_.state_dir + "/run";
  MIZZEN_CHECKED(set_up_sandbox_mounts(run_dir));
  MIZZEN_CHECKED(set_up_node_network());
  ServerOptions server;
  server.listen = io::Address::from_ipv4(kNodeAddress, kApiPort);
  server.data_dir = options_.state_dir + "/api";
  server.server_names = {"127.0.0.1",
                         "localhost",
                         "10.96.0.1",
                         ipv4_text(kNodeAddress),
                         "kubernetes",
                         "kubernetes.default",
                         "kubernetes.default.svc",
                         "kubernetes.default.svc.cluster.local"};
  MIZZEN_TRY(server_, Server::start(loop_, server));
  forget_statuses();
  MIZZEN_TRY(way_out_, WayOutRelay::start(relays_, outside_));
  Store& store = server_->store();
  services_ =
      std::make_unique<Services>(loop_, store, outside_, relays_, server_->address(),
                                 WayOut{way_out_->port()}, [this](const std::vector<Door>& doors) {
                                   doors_ = doors;
                                   write_state();
                                 });
  MIZZEN_CHECKED(services_->start());
  MIZZEN_TRY(dns_,
             dns::Server::start(loop_, store, outside_, io::Address::from_ipv4(kDnsAddress, 53)));
  NodeContext context;
  context.loop = &loop_;
  context.store = &store;
  context.run_dir = run_dir;
  context.log_dir = options_.state_dir + "/pods";
  context.program_dir = options_.program_dir;
  context.catalogue_path = options_.state_dir + "/images";
  context.ids = options_.ids;
  context.issue_token = [api = &server_->api()](const std::string& ns, const std::string& account,
                                                const std::string& audience, std::int64_t seconds,
                                                const std::string& pod,
                                                const std::string& pod_uid) {
    std::vector<std::string> audiences;
    if (!audience.empty()) audiences.push_back(audience);
    return api->issue_token(ns, account, std::move(audiences), std::chrono::seconds(seconds), pod,
                            pod_uid);
  };
  node_ = std::make_unique<Node>(std::move(context));
  server_->set_pods(node_.get());
  MIZZEN_CHECKED(node_->start());
  workloads_ = std::make_unique<Workloads>(loop_, server_->api());
  MIZZEN_CHECKED(workloads_->start());
  cron_jobs_ = std::make_unique<CronJobs>(loop_, server_->api());
  return cron_jobs_->start();
}

// Pods of an earlier life of the cluster run no more: they start anew, and nobody may take them for
// ready.
void Cluster::forget_statuses() {
  Store& store = server_->store();
  for (const Object& pod : store.list("pods")) {
    std::string phase = text_at(*pod, {"status", "phase"});
    if (phase == "Succeeded" || phase == "Failed") continue;
    (void)store.modify({"pods", namespace_of(*pod), name_of(*pod)}, [](Json& object) {
      object["status"] = {{"phase", "Pending"}};
      return true;
    });
  }
}

void Cluster::publish(io::UniqueFd listening) {
  io::Address inside = server_->address();
  auto door = Forwarder::start(relays_, std::move(listening), [inside] { return inside; });
  if (!door) return fail_start(door.error());
  api_door_ = std::move(*door);
  auto kubeconfig = server_->admin_kubeconfig();
  if (!kubeconfig) return fail_start(kubeconfig.error());
  std::string text = std::move(*kubeconfig);
  replace_all(text, inside.to_string(), fmt::format("127.0.0.1:{}", api_door_->port()));
  if (auto status = write_private(options_.state_dir + "/kubeconfig", text); !status)
    return fail_start(status.error());
  write_state();
  // Before the first pod: what is not injected at its creation never is.
  label_namespaces();
  apply_next();
}

// One object after the other: later ones may need earlier ones (namespaces, definitions, webhooks).
void Cluster::apply_next() {
  if (next_manifest_ >= options_.manifests.size()) {
    return wait_ready();
  }
  const Manifest& manifest = options_.manifests[next_manifest_];
  if (manifest.step != last_step_) outside_.progress(last_step_ = manifest.step);
  Json object = manifest.object;
  std::string hash = fmt::format("{:016x}", fnv1a(object.dump()));
  note_applied(object);
  object["metadata"]["annotations"][kAppliedHash] = hash;
  const Types& types = server_->api().types();
  std::string api_version = object.value("apiVersion", "");
  auto slash = api_version.find('/');
  auto type =
      types.find_kind(slash == std::string::npos ? "" : api_version.substr(0, slash),
                      slash == std::string::npos ? api_version : api_version.substr(slash + 1),
                      object.value("kind", ""));
  if (type == nullptr) {
    return applied(manifest, fail(Code::kNotFound,
                                  "no kind " + object.value("kind", "") + " in " + api_version));
  }
  if (type->namespaced && namespace_of(object).empty()) object["metadata"]["namespace"] = "default";
  Object present = server_->store().get(
      {type->resource(), type->namespaced ? namespace_of(object) : "", name_of(object)});
  auto done = [this, &manifest](Result<Object> result) { applied(manifest, std::move(result)); };
  if (present == nullptr) return server_->api().create_object(std::move(object), done);
  // What was applied before is left as the user has made it since.
  if (text_at(*present, {"metadata", "annotations", kAppliedHash}) == hash)
    return applied(manifest, present);
  Json merged = *present;
  object::merge_patch(merged, object);
  server_->api().update_object(std::move(merged), done);
}

void Cluster::applied(const Manifest& manifest, Result<Object> result) {
  if (!result) {
    // A webhook may not be up yet, and a definition not served yet.
    bool late = loop_.now() - began_ > std::chrono::seconds(30);
    if (late) return fail_start(result.error().in(describe(manifest.object)));
    if (++tries_ % 20 == 1)
      log::info("up", "{}: {}", describe(manifest.object), result.error().message);
    loop_.after(std::chrono::milliseconds(50), [this] { apply_next(); });
    return;
  }
  tries_ = 0;
  ++next_manifest_;
  loop_.defer([this] { apply_next(); });
}

void Cluster::label_namespaces() {
  for (const std::string& name : options_.inject_namespaces) {
    (void)server_->store().modify({"namespaces", "", name}, [](Json& object) {
      Json& labels = object["metadata"]["labels"];
      if (labels.is_object() && labels.contains("istio-injection")) return false;
      labels["istio-injection"] = "enabled";
      return true;
    });
  }
}

// The first Deployment that has fewer ready pods than it wants; empty when all have.
std::string Cluster::not_ready() const {
  const Store& store = server_->store();
  for (const std::string& ns : options_.wait_namespaces) {
    auto pods = store.list("pods", ns);
    for (const Object& deployment : store.list("deployments.apps", ns)) {
      const Json& wanted = at_path(*deployment, {"spec", "replicas"});
      const Json& selector = at_path(*deployment, {"spec", "selector", "matchLabels"});
      std::int64_t ready = std::count_if(pods.begin(), pods.end(), [&](const Object& pod) {
        for (const auto& [key, value] : selector.items()) {
          if (at_path(*pod, {"metadata", "labels", key}) != value) return false;
        }
        return pod_is_active(*pod) && pod_is_ready(*pod);
      });
      if (ready < (wanted.is_number_integer() ? wanted.get<std::int64_t>() : 1))
        return ns + "/" + name_of(*deployment);
    }
  }
  return {};
}

void Cluster::wait_ready() {
  std::string waiting = not_ready();
  if (waiting.empty()) return options_.page.empty() ? finished() : wait_page();
  if (loop_.now() - began_ > options_.ready_timeout) {
    return fail_start({Code::kTimeout, Side::kInternal, false,
                       fmt::format("Deployment {} did not become ready; look at it with: kubectl "
                                   "--kubeconfig {}/kubeconfig "
                                   "get pods -A",
                                   waiting, options_.state_dir)});
  }
  if (waiting != last_waiting_) outside_.progress("Waiting for " + (last_waiting_ = waiting));
  loop_.after(std::chrono::milliseconds(20), [this] { wait_ready(); });
}

// Ready pods serve once the gateway has its routes: the first page is the proof.
void Cluster::wait_page() {
  if (page_client_ == nullptr) {
    Object service = server_->store().get({"services", "istio-system", "istio-ingressgateway"});
    net::HttpClientOptions options;
    options.base.host = service == nullptr ? "" : text_at(*service, {"spec", "clusterIP"});
    options.base.port = 80;
    options.version = net::HttpVersion::kHttp1;
    page_client_ = std::make_unique<net::HttpClient>(loop_, std::move(options));
    outside_.progress("Waiting for " + options_.page);
  }
  net::Request request;
  request.target = options_.page;
  request.headers = {{"connection", "close"}};
  request.timeout = std::chrono::seconds(5);
  page_client_->fetch(std::move(request), [this](Result<net::Response> response) {
    if (response && response->status == 200) return finished();
    if (loop_.now() - began_ > options_.ready_timeout) {
      return fail_start({Code::kTimeout, Side::kInternal, false,
                         fmt::format("{} does not answer at the ingress gateway: {}", options_.page,
                                     response ? fmt::format("status {}", response->status)
                                              : response.error().message)});
    }
    loop_.after(std::chrono::milliseconds(20), [this] { wait_page(); });
  });
}

void Cluster::finished() {
  ready_ = true;
  write_state();
  double seconds = std::chrono::duration<double>(loop_.now() - began_).count();
  log::info("up", "ready after {:.1f} s", seconds);
  outside_.started(fmt::format("Ready after {:.1f} s", seconds));
}

void Cluster::fail_start(const Error& error) {
  log::error("up", "{}", error.message);
  outside_.failed(error.message);
}

void Cluster::write_state() {
  if (api_door_ == nullptr) return;
  Json doors = Json::array();
  Json ingress = Json::object();
  std::string ingress_host = "127.0.0.1";
  for (const Door& door : doors_) {
    doors.push_back({{"namespace", door.ns},
                     {"service", door.service},
                     {"port", door.port},
                     {"name", door.port_name},
                     {"address", fmt::format("127.0.0.1:{}", door.outside)}});
    if (door.first && door.service == "istio-ingressgateway" && door.ns == "istio-system") {
      ingress[std::to_string(door.port)] = door.outside;
      if (door.port == 80 && door.shared) ingress_host = ipv4_text(kDoorAddress);
    }
  }
  Json state = {{"api", fmt::format("127.0.0.1:{}", api_door_->port())},
                {"kubeconfig", options_.state_dir + "/kubeconfig"},
                {"ids", std::string(to_string(options_.ids))},
                {"ready", ready_},
                {"ingress", ingress},
                {"ingressHost", ingress_host},
                {"doors", doors}};
  if (auto status = write_private(options_.state_dir + "/state.json", state.dump(2)); !status) {
    log::error("local", "{}", status.error().message);
  }
}

void Cluster::close() {
  if (server_ == nullptr) return;
  if (auto status = server_->store().flush(); !status)
    log::error("local", "store: {}", status.error().message);
}

}  // namespace mizzen::local
