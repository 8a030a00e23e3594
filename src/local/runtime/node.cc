#include "local/runtime/node.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/log.h"
#include "local/runtime/session.h"

namespace mizzen::local {
namespace {

std::int64_t memory_kib() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::int64_t value = 0;
  file >> word >> value;
  return value;
}

Json node_status() {
  utsname name{};
  uname(&name);
  std::string now = rfc3339(system_clock().wall());
  Json amounts = {{"cpu", std::to_string(std::thread::hardware_concurrency())},
                  {"memory", fmt::format("{}Ki", memory_kib())},
                  {"pods", "1000"}};
  Json ready = {{"type", "Ready"},          {"status", "True"},
                {"reason", "MizzenReady"},  {"message", "pods can be run"},
                {"lastHeartbeatTime", now}, {"lastTransitionTime", now}};
  return {
      {"capacity", amounts},
      {"allocatable", amounts},
      {"conditions", Json::array({ready})},
      {"addresses", Json::array({Json{{"type", "InternalIP"}, {"address", ipv4_text(kNodeAddress)}},
                                 Json{{"type", "Hostname"}, {"address", "mizzen"}}})},
      {"nodeInfo",
       {{"kernelVersion", name.release},
        {"osImage", "the machine's own"},
        {"containerRuntimeVersion", "mizzen://1"},
        {"kubeletVersion", "v1.32.0"},
        {"kubeProxyVersion", "v1.32.0"},
        {"operatingSystem", "linux"},
        {"architecture", "amd64"},
        {"machineID", ""},
        {"systemUUID", ""},
        {"bootID", ""}}}};
}

}  // namespace

Node::Node(NodeContext context) : context_(std::move(context)) {
  context_.watch_child = [this](pid_t pid, std::function<void(int)> exited) {
    children_[pid] = std::move(exited);
  };
}

Node::~Node() = default;

Status Node::start() {
  std::error_code error;
  // Logs of pods of an earlier life have no pod any more.
  std::filesystem::remove_all(context_.log_dir, error);
  for (const std::string& dir :
       {context_.run_dir + "/root", context_.run_dir + "/volumes", context_.log_dir}) {
    std::filesystem::create_directories(dir, error);
    if (error) return fail(Code::kInternal, fmt::format("create {}: {}", dir, error.message()));
  }
  signals_ = std::make_unique<io::Signals>(*context_.loop, std::vector<int>{SIGCHLD},
                                           [this](int) { reap(); });
  register_node();
  MIZZEN_TRY(auto pods, context_.store->watch("pods", {}, [this](const Event& event) {
    try {
      pod_event(event);
    } catch (const Json::exception& error) {
      record_event(*context_.store, *event.object, "Warning", "FailedCreatePod", error.what(),
                   "kubelet");
    }
  }));
  watches_.push_back(std::move(pods));
  for (const char* resource : {"configmaps", "secrets"}) {
    MIZZEN_TRY(auto watch, context_.store->watch(resource, {}, [this](const Event& event) {
      if (event.type == EventType::kModified || event.type == EventType::kAdded) {
        content_changed(namespace_of(*event.object));
      }
    }));
    watches_.push_back(std::move(watch));
  }
  return {};
}

void Node::register_node() {
  Json status = node_status();
  auto known = context_.store->modify({"nodes", "", "mizzen"}, [&](Json& node) {
    node["status"] = status;
    return true;
  });
  if (known) return;
  (void)context_.store->create("nodes", {{"apiVersion", "v1"},
                                         {"kind", "Node"},
                                         {"metadata",
                                          {{"name", "mizzen"},
                                           {"labels",
                                            {{"kubernetes.io/hostname", "mizzen"},
                                             {"kubernetes.io/os", "linux"},
                                             {"kubernetes.io/arch", "amd64"},
                                             {"node-role.kubernetes.io/control-plane", ""}}}}},
                                         {"spec", {{"podCIDR", "10.244.0.0/16"}}},
                                         {"status", status}});
}

void Node::pod_event(const Event& event) {
  const Json& object = *event.object;
  std::string uid = uid_of(object);
  auto found = pods_.find(uid);
  if (event.type == EventType::kDeleted) {
    if (found != pods_.end()) found->second->vanished();
    return;
  }
  if (found != pods_.end()) return found->second->update(event.object);
  if (text_at(object, {"spec", "nodeName"}) != "mizzen") return;
  std::string phase = text_at(object, {"status", "phase"});
  if (phase == "Succeeded" || phase == "Failed") {
    if (!is_deleting(object)) return;
    RemoveOptions now;
    now.grace_seconds = 0;
    (void)context_.store->remove({"pods", namespace_of(object), name_of(object)}, now);
    return;
  }
  if (is_deleting(object)) {
    RemoveOptions now;
    now.grace_seconds = 0;
    (void)context_.store->remove({"pods", namespace_of(object), name_of(object)}, now);
    return;
  }
  auto pod = std::make_unique<Pod>(context_, event.object, [this, uid] {
    auto gone = pods_.find(uid);
    if (gone == pods_.end()) return;
    context_.loop->dispose(std::move(gone->second));
    pods_.erase(gone);
  });
  Pod* raw = pod.get();
  pods_.emplace(uid, std::move(pod));
  raw->start();
}

void Node::content_changed(const std::string& ns) {
  for (auto& [uid, pod] : pods_) {
    if (pod->key().ns == ns) pod->refresh_volumes();
  }
}

void Node::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    auto found = children_.find(pid);
    if (found == children_.end()) continue;
    auto exited = std::move(found->second);
    children_.erase(found);
    exited(status);
  }
}

void Node::stop(std::function<void()> done) {
  watches_.clear();
  for (auto& [uid, pod] : pods_) pod->vanished();
  context_.loop->defer(std::move(done));
}

Pod* Node::find_pod(const std::string& ns, const std::string& name) const {
  for (const auto& [uid, pod] : pods_) {
    if (pod->key().ns == ns && pod->key().name == name) return pod.get();
  }
  return nullptr;
}

Result<Container*> Node::find(const ContainerRef& where) const {
  Pod* pod = find_pod(where.ns, where.pod);
  if (pod == nullptr) {
    return fail(Code::kUnavailable, fmt::format("pod {}/{} is not running", where.ns, where.pod));
  }
  Container* container = pod->find(where.container);
  if (container == nullptr) {
    return fail(Code::kNotFound,
                fmt::format("container {} is not valid for pod {}", where.container, where.pod));
  }
  return container;
}

Result<std::unique_ptr<PodSession>> Node::logs(const ContainerRef& where, const LogOptions& options,
                                               PodSessionEvents events) {
  MIZZEN_TRY(Container * container, find(where));
  if (options.previous && container->previous_log().empty()) {
    return fail(Code::kNotFound,
                fmt::format("previous terminated container \"{}\" in pod \"{}\" not found",
                            where.container, where.pod));
  }
  if (container->log() == nullptr) {
    return fail(
        Code::kUnavailable,
        fmt::format("container \"{}\" in pod \"{}\" is waiting to start: {}", where.container,
                    where.pod, text_at(container->status(), {"state", "waiting", "reason"})));
  }
  return open_log_session(*context_.loop, *container, options, std::move(events));
}

Result<std::unique_ptr<PodSession>> Node::exec(const ContainerRef& where,
                                               const ExecOptions& options,
                                               PodSessionEvents events) {
  MIZZEN_TRY(Container * container, find(where));
  if (container->state() != Container::State::kRunning) {
    return fail(Code::kUnavailable, fmt::format("container not running ({})", where.container));
  }
  return open_exec_session(*context_.loop, *container, options, std::move(events),
                           context_.watch_child);
}

Result<std::unique_ptr<PodSession>> Node::attach(const ContainerRef& where, const ExecOptions&,
                                                 PodSessionEvents events) {
  MIZZEN_TRY(Container * container, find(where));
  if (container->state() != Container::State::kRunning) {
    return fail(Code::kUnavailable, fmt::format("container not running ({})", where.container));
  }
  return open_attach_session(*context_.loop, *container, std::move(events));
}

void Node::keep_connecting(std::function<std::unique_ptr<io::Connecting>(io::ConnectDone)> begin,
                           io::ConnectDone done) {
  std::uint64_t id = ++last_connecting_;
  auto connecting = begin([this, id, done](Result<std::unique_ptr<io::Stream>> stream) {
    auto found = connecting_.find(id);
    if (found != connecting_.end()) {
      context_.loop->dispose(std::move(found->second));
      connecting_.erase(found);
    }
    done(std::move(stream));
  });
  connecting_.emplace(id, std::move(connecting));
}

void Node::port_forward(const std::string& ns, const std::string& name, std::uint16_t port,
                        io::ConnectDone done) {
  Pod* pod = find_pod(ns, name);
  if (pod == nullptr || pod->netns_fd() < 0) {
    context_.loop->defer(
        [done, name] { done(fail(Code::kNotFound, fmt::format("pod {} is not running", name))); });
    return;
  }
  // A socket belongs to the namespace that it was made in, wherever it is used.
  auto begin = [&](io::ConnectDone connected) {
    std::unique_ptr<io::Connecting> out;
    auto status = within_netns(pod->netns_fd(), [&]() -> Status {
      out = io::connect(*context_.loop, io::Address::loopback(port), {}, std::move(connected));
      return {};
    });
    if (!status) log::warning("runtime", "port-forward: {}", status.error().message);
    return out;
  };
  keep_connecting(begin, std::move(done));
}

void Node::dial(const std::string& ip, std::uint16_t port, io::ConnectDone done) {
  auto address = io::Address::parse_ip(ip, port);
  if (!address) {
    context_.loop->defer([done, error = address.error()] { done(std::unexpected(error)); });
    return;
  }
  keep_connecting(
      [&](io::ConnectDone connected) {
        return io::connect(*context_.loop, *address, {}, std::move(connected));
      },
      std::move(done));
}

}  // namespace mizzen::local
