#include "local/runtime/pod.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/strings.h"

namespace mizzen::local {
namespace {

Container::Restart restart_of(const Json& pod, const Json& container, bool init) {
  std::string policy = text_at(pod, {"spec", "restartPolicy"});
  if (init) {
    if (container.value("restartPolicy", "") == "Always") return Container::Restart::kAlways;
    return policy == "Never" ? Container::Restart::kNever : Container::Restart::kOnFailure;
  }
  if (policy == "Never") return Container::Restart::kNever;
  if (policy == "OnFailure") return Container::Restart::kOnFailure;
  return Container::Restart::kAlways;
}

Duration grace_of(const Json& pod) {
  const Json& deletion = at_path(pod, {"metadata", "deletionGracePeriodSeconds"});
  if (deletion.is_number_integer()) return std::chrono::seconds(deletion.get<int>());
  const Json& own = at_path(pod, {"spec", "terminationGracePeriodSeconds"});
  return std::chrono::seconds(own.is_number_integer() ? own.get<int>() : 30);
}

std::vector<std::string> words_at(const Json& object, const char* member) {
  std::vector<std::string> out;
  for (const Json& word : at_path(object, {member})) {
    if (word.is_string()) out.push_back(word.get<std::string>());
  }
  return out;
}

}  // namespace

Pod::Pod(NodeContext& node, Object pod, std::function<void()> gone)
    : node_(node),
      pod_(std::move(pod)),
      key_{"pods", namespace_of(*pod_), name_of(*pod_)},
      uid_(uid_of(*pod_)),
      gone_(std::move(gone)) {
  // What the containers run with is fixed at the start; later only metadata is looked at anew.
  Json full = *pod_;
  add_token_volume(*node_.store, full);
  pod_ = std::make_shared<const Json>(std::move(full));
  ContainerHost& host = *this;
  for (const Json& container : at_path(*pod_, {"spec", "initContainers"})) {
    init_.push_back(std::make_unique<Container>(*node_.loop, host, container, true,
                                                restart_of(*pod_, container, true)));
  }
  for (const Json& container : at_path(*pod_, {"spec", "containers"})) {
    main_.push_back(std::make_unique<Container>(*node_.loop, host, container, false,
                                                restart_of(*pod_, container, false)));
  }
}

Pod::~Pod() {
  *alive_ = false;
  node_.loop->cancel(retry_);
  node_.loop->cancel(refresh_);
  if (network_.address != 0) node_.addresses.give_back(network_.address);
}

std::string Pod::log_dir() const {
  return fmt::format("{}/{}_{}_{}", node_.log_dir, key_.ns, key_.name, uid_);
}

void Pod::start() {
  if (at_path(*pod_, {"spec", "hostNetwork"}) == Json(true)) {
    return fail_pod("HostNetworkUnsupported", "hostNetwork is not supported by the local cluster");
  }
  std::error_code error;
  std::filesystem::create_directories(log_dir(), error);
  prepare();
}

// Network and volumes; tried again while something is missing.
void Pod::prepare() {
  if (life_ != Life::kPreparing) return;
  retry_ = 0;
  if (network_.address == 0) {
    std::uint32_t address = node_.addresses.take();
    auto network = make_pod_network(address);
    if (!network) {
      node_.addresses.give_back(address);
      event("Warning", "FailedCreatePodSandBox", network.error().message, "");
      retry_ = node_.loop->after(std::chrono::seconds(1), [this] { prepare(); });
      return;
    }
    network_ = std::move(*network);
  }
  auto filled = fill_volumes(volumes(), true);
  if (!filled) {
    if (last_mount_error_ != filled.error().message) {
      last_mount_error_ = filled.error().message;
      event("Warning", "FailedMount", last_mount_error_, "");
    }
    if (filled.error().code == Code::kUnsupported)
      return fail_pod("UnsupportedVolume", last_mount_error_);
    retry_ = node_.loop->after(std::chrono::milliseconds(300), [this] { prepare(); });
    return changed();
  }
  life_ = Life::kLive;
  refresh_ = node_.loop->after(std::chrono::seconds(30), [this] { refresh_volumes(); });
  step();
  changed();
}

void Pod::refresh_volumes() {
  node_.loop->cancel(refresh_);
  refresh_ = node_.loop->after(std::chrono::seconds(30), [this] { refresh_volumes(); });
  if (life_ != Life::kLive) return;
  if (auto status = fill_volumes(volumes(), false); !status) {
    log::warning("runtime", "{}: {}", key_.to_string(), status.error().message);
  }
}

// Goes on with whatever comes next. Called after every change of a container.
void Pod::step() {
  if (life_ == Life::kLive) step_running();
  if (life_ == Life::kStopping || life_ == Life::kEnded) finish_stop();
}

// True when every init container is through, or up and started if it is a sidecar.
bool Pod::step_init() {
  for (auto& container : init_) {
    if (container->is_sidecar() ? container->started()
                                : container->finished() && container->exit_code() == 0) {
      continue;
    }
    if (container->state() == Container::State::kWaiting && !container->ever_started() &&
        !container->waits()) {
      container->start();
    }
    if (!container->is_sidecar() && container->finished() && container->exit_code() != 0) {
      life_ = Life::kEnded;
    }
    return false;
  }
  return true;
}

void Pod::step_running() {
  if (!step_init()) return;
  bool all_finished = true;
  for (auto& container : main_) {
    if (container->state() == Container::State::kWaiting && !container->ever_started() &&
        !container->waits()) {
      container->start();
    }
    all_finished = all_finished && container->finished();
  }
  if (!all_finished) return;
  life_ = Life::kEnded;
  for (auto& container : init_) container->stop(grace_of(*pod_));
}

void Pod::update(Object pod) {
  Json merged = *pod_;
  merged["metadata"] = (*pod)["metadata"];
  pod_ = std::make_shared<const Json>(std::move(merged));
  if (is_deleting(*pod)) begin_stop();
}

void Pod::vanished() {
  object_gone_ = true;
  begin_stop();
}

void Pod::begin_stop() {
  if (life_ == Life::kGone) return;
  bool first = life_ != Life::kStopping;
  life_ = Life::kStopping;
  if (first) node_.loop->cancel(retry_);
  Duration grace = object_gone_ ? Duration{0} : grace_of(*pod_);
  if (first) {
    for (auto& container : main_) {
      if (container->pid() > 0)
        event("Normal", "Killing", "Stopping container " + container->name(), container->name());
    }
  }
  if (grace.count() == 0) return stop_containers(grace);
  if (!first) return;  // only metadata or status has changed
  // New connections must have stopped coming before the process does: endpoints, rules and proxies
  // learn of it in the meantime.
  bool serves = std::any_of(main_.begin(), main_.end(),
                            [](const auto& container) { return container->ready(); });
  retry_ = node_.loop->after(std::chrono::milliseconds(serves ? 200 : 0),
                             [this, grace] { stop_containers(grace); });
  changed();
}

void Pod::stop_containers(Duration grace) {
  stop_begun_ = true;
  for (auto& container : main_) container->stop(grace);
  // A sidecar outlives the containers that it serves.
  bool main_running = false;
  for (auto& container : main_) main_running = main_running || container->pid() > 0;
  for (auto& container : init_) {
    if (!main_running || !container->is_sidecar()) container->stop(grace);
  }
  changed();
}

void Pod::finish_stop() {
  bool main_running = false;
  bool running = false;
  for (auto& container : main_) main_running = main_running || container->pid() > 0;
  if (!main_running && (stop_begun_ || life_ == Life::kEnded)) {
    for (auto& container : init_) container->stop(grace_of(*pod_));
  }
  for (auto& container : init_) running = running || container->pid() > 0;
  if (main_running || running || !stop_begun_ || life_ != Life::kStopping) return;
  life_ = Life::kGone;
  remove_volumes(volumes().dir);
  std::error_code error;
  std::filesystem::remove_all(log_dir(), error);
  network_.netns.reset();
  if (!object_gone_) {
    RemoveOptions options;
    options.grace_seconds = 0;
    options.uid = uid_;
    (void)node_.store->remove(key_, options);
  }
  gone_();
}

void Pod::fail_pod(const std::string& reason, const std::string& message) {
  life_ = Life::kEnded;
  failed_reason_ = reason;
  failed_message_ = message;
  event("Warning", reason, message, "");
  changed();
}

Container* Pod::find(const std::string& name) const {
  for (const auto* list : {&main_, &init_}) {
    for (const auto& container : *list) {
      if (container->name() == name) return container.get();
    }
  }
  return nullptr;
}

void Pod::changed() {
  if (scheduled_ || life_ == Life::kGone) return;
  scheduled_ = true;
  node_.loop->defer([this, alive = alive_] {
    if (!*alive) return;
    scheduled_ = false;
    step();
    if (life_ != Life::kGone) write_status();
  });
}

void Pod::event(std::string_view type, std::string_view reason, const std::string& message,
                const std::string& container) {
  std::string field = container.empty() ? "" : fmt::format("spec.containers{{{}}}", container);
  record_event(*node_.store, *pod_, type, reason, message, "kubelet", field);
}

std::string Pod::log_path(const std::string& container, int restart_count) {
  std::string dir = log_dir() + "/" + container;
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  // The run before the last is of no use to anyone.
  if (restart_count >= 2) {
    for (const char* suffix : {"", ".1"}) {
      std::filesystem::remove(fmt::format("{}/{}.log{}", dir, restart_count - 2, suffix), error);
    }
  }
  return fmt::format("{}/{}.log", dir, restart_count);
}

std::string Pod::pod_ip() { return network_.address == 0 ? "" : ipv4_text(network_.address); }

Duration Pod::grace() { return grace_of(*pod_); }

void Pod::watch_child(pid_t pid, std::function<void(int status)> exited) {
  node_.watch_child(pid, std::move(exited));
}

PodPlace Pod::place() const {
  return {network_.address == 0 ? "" : ipv4_text(network_.address), ipv4_text(kNodeAddress),
          "mizzen"};
}

VolumeContext Pod::volumes() const {
  VolumeContext context{node_.store, pod_.get(), place(), node_.run_dir + "/volumes/" + uid_, {}};
  context.token = [self = const_cast<Pod*>(this)](const std::string& audience,
                                                  std::int64_t seconds) {
    return self->token(audience, seconds);
  };
  return context;
}

Result<std::string> Pod::token(const std::string& audience, std::int64_t seconds) {
  WallTime now = node_.loop->wall();
  auto& cached = tokens_[audience];
  if (!cached.text.empty() && now < cached.refresh_at) return cached.text;
  std::string account = text_at(*pod_, {"spec", "serviceAccountName"});
  MIZZEN_TRY(cached.text, node_.issue_token(key_.ns, account.empty() ? "default" : account,
                                            audience, seconds, key_.name, uid_));
  cached.refresh_at = now + std::chrono::seconds(seconds * 8 / 10);
  return cached.text;
}

Status Pod::set_security(const Json& container, LaunchSpec* spec) const {
  const Json& own = at_path(container, {"securityContext"});
  const Json& pod = at_path(*pod_, {"spec", "securityContext"});
  auto number = [&](const char* name) -> std::optional<std::uint32_t> {
    for (const Json* context : {&own, &pod}) {
      const Json& value = at_path(*context, {name});
      if (value.is_number_integer()) return value.get<std::uint32_t>();
    }
    return std::nullopt;
  };
  auto flag = [&](const char* name) { return at_path(own, {name}) == Json(true); };
  spec->uid = number("runAsUser").value_or(0);
  spec->gid = number("runAsGroup").value_or(0);
  if (at_path(own, {"runAsNonRoot"}) == Json(true) && spec->uid == 0 && number("runAsUser")) {
    return fail(Code::kInvalid, "container has runAsNonRoot and runAsUser 0");
  }
  for (const Json& group : at_path(pod, {"supplementalGroups"}))
    spec->groups.push_back(group.get<std::uint32_t>());
  if (const Json& fs = at_path(pod, {"fsGroup"}); fs.is_number_integer())
    spec->groups.push_back(fs.get<std::uint32_t>());
  spec->add_capabilities = words_at(at_path(own, {"capabilities"}), "add");
  spec->drop_capabilities = words_at(at_path(own, {"capabilities"}), "drop");
  spec->privileged = flag("privileged");
  spec->read_only_root = flag("readOnlyRootFilesystem");
  spec->no_new_privileges = at_path(own, {"allowPrivilegeEscalation"}) == Json(false);
  if (node_.ids == IdMap::kSingle) {
    // One id for all: a proxy is told from its application by the mark on its sockets instead.
    spec->marked_sockets = spec->uid == 1337;
    spec->uid = 0;
    spec->gid = 0;
    spec->groups.clear();
  }
  return {};
}

std::string Pod::hostname() const {
  std::string own = text_at(*pod_, {"spec", "hostname"});
  return (own.empty() ? key_.name : own).substr(0, 63);
}

std::string Pod::hosts_file() const {
  std::string ip = ipv4_text(network_.address);
  std::string out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  std::string subdomain = text_at(*pod_, {"spec", "subdomain"});
  if (!subdomain.empty()) {
    out += fmt::format("{}\t{}.{}.{}.svc.cluster.local\t{}\n", ip, hostname(), subdomain, key_.ns,
                       hostname());
  } else {
    out += fmt::format("{}\t{}\n", ip, hostname());
  }
  for (const Json& alias : at_path(*pod_, {"spec", "hostAliases"})) {
    for (const Json& name : at_path(alias, {"hostnames"})) {
      out += fmt::format("{}\t{}\n", text_at(alias, {"ip"}), name.get<std::string>());
    }
  }
  return out;
}

std::string Pod::resolv_conf() const {
  std::string policy = text_at(*pod_, {"spec", "dnsPolicy"});
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::string options = "ndots:5";
  if (policy != "None") servers.push_back(ipv4_text(kDnsAddress));
  if (policy != "None" && policy != "Default") {
    searches = {key_.ns + ".svc.cluster.local", "svc.cluster.local", "cluster.local"};
  }
  const Json& config = at_path(*pod_, {"spec", "dnsConfig"});
  for (auto& server : words_at(config, "nameservers")) servers.push_back(server);
  for (auto& search : words_at(config, "searches")) searches.push_back(search);
  for (const Json& option : at_path(config, {"options"})) {
    options += " " + text_at(option, {"name"});
    if (std::string value = text_at(option, {"value"}); !value.empty()) options += ":" + value;
  }
  std::string out;
  if (!searches.empty()) out += "search " + join(searches, " ") + "\n";
  for (const std::string& server : servers) out += "nameserver " + server + "\n";
  return out + "options " + options + "\n";
}

Result<StartPlan> Pod::plan(const Json& container) {
  Catalogue catalogue;
  MIZZEN_CHECKED(catalogue.load(node_.catalogue_path));
  MIZZEN_TRY(Environment own, container_environment(*node_.store, *pod_, container, place()));
  auto expand_all = [&own](std::vector<std::string> words) {
    for (std::string& word : words) word = expand_variables(word, own);
    return words;
  };
  StartPlan plan;
  MIZZEN_TRY(plan.program, catalogue.resolve(container.value("image", ""),
                                             expand_all(words_at(container, "command")),
                                             expand_all(words_at(container, "args"))));
  plan.netns_fd = network_.netns.get();
  LaunchSpec& spec = plan.spec;
  spec.command = plan.program.argv;
  spec.env = {
      {"PATH", "/opt/mizzen/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOSTNAME", hostname()},
      {"HOME", "/root"}};
  for (auto* more : {&plan.program.env, &own}) {
    for (auto& [name, value] : *more) {
      auto same = std::find_if(spec.env.begin(), spec.env.end(),
                               [&name = name](const auto& one) { return one.first == name; });
      if (same != spec.env.end())
        same->second = value;
      else
        spec.env.emplace_back(name, value);
    }
  }
  std::string dir = text_at(container, {"workingDir"});
  spec.working_dir = dir.empty() ? "/" : dir;
  spec.hostname = hostname();
  MIZZEN_TRY(spec.mounts, container_mounts(volumes(), container, own));
  spec.files = {{"/etc/hosts", hosts_file()},
                {"/etc/resolv.conf", resolv_conf()},
                {"/etc/hostname", hostname() + "\n"},
                {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
                {"/etc/passwd",
                 "root:x:0:0:root:/root:/bin/sh\nistio-proxy:x:1337:1337:proxy:/home:/bin/sh\n"
                 "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
                {"/etc/group", "root:x:0:\nistio-proxy:x:1337:\nnogroup:x:65534:\n"}};
  spec.staging_dir = node_.run_dir + "/root";
  spec.program_dir = node_.program_dir;
  MIZZEN_CHECKED(set_security(container, &spec));
  std::string name = container.value("name", "");
  event("Normal", "Pulled",
        fmt::format("Container image \"{}\" already present on machine",
                    container.value("image", "")),
        name);
  event("Normal", "Created", "Created container: " + name, name);
  return plan;
}

}  // namespace mizzen::local
