#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "cli/exec.h"
#include "object/json.h"
#include "object/meta.h"

namespace mizzen::cli {
namespace {

constexpr Duration kPatience = std::chrono::seconds(60);
const kube::Resource kPods{"", "v1", "pods"};

struct WorkloadKind {
  std::string_view prefix;  // as typed before the slash
  kube::Resource resource;
};

const WorkloadKind* workload_kind(std::string_view prefix) {
  static const WorkloadKind kKinds[] = {
      {"deploy", {"apps", "v1", "deployments"}},
      {"deployment", {"apps", "v1", "deployments"}},
      {"deployments", {"apps", "v1", "deployments"}},
      {"rs", {"apps", "v1", "replicasets"}},
      {"replicaset", {"apps", "v1", "replicasets"}},
      {"sts", {"apps", "v1", "statefulsets"}},
      {"statefulset", {"apps", "v1", "statefulsets"}},
      {"ds", {"apps", "v1", "daemonsets"}},
      {"daemonset", {"apps", "v1", "daemonsets"}},
      {"svc", {"", "v1", "services"}},
      {"service", {"", "v1", "services"}},
  };
  for (const WorkloadKind& kind : kKinds) {
    if (kind.prefix == prefix) return &kind;
  }
  return nullptr;
}

// The labels that a workload's or a service's pods carry, as a selector.
std::string selector_of(const Json& workload) {
  const Json* labels = object::find(workload, {"spec", "selector", "matchLabels"});
  if (labels == nullptr) labels = object::find(workload, {"spec", "selector"});
  std::string out;
  if (labels == nullptr) return out;
  for (const auto& [key, value] : labels->items()) {
    if (value.is_string())
      out += fmt::format("{}{}={}", out.empty() ? "" : ",", key, value.get<std::string>());
  }
  return out;
}

}  // namespace

Session::Session(ClusterFlags flags, kube::Config config)
    : flags_(std::move(flags)),
      config_(std::move(config)),
      name_space_(flags_.name_space.empty() ? config_.name_space : flags_.name_space),
      loop_(std::make_unique<io::EpollLoop>()) {}

Session::~Session() {
  client_.reset();
  loop_.reset();
}

Result<std::unique_ptr<Session>> Session::open(const ClusterFlags& flags) {
  auto config = kube::load_config(flags.kubeconfig, flags.context);
  if (!config) {
    return std::unexpected(config.error().in("no cluster to talk to (is it up? see mizzenctl up)"));
  }
  std::unique_ptr<Session> session(new Session(flags, std::move(*config)));
  MIZZEN_TRY(session->client_, kube::Client::make(*session->loop_, session->config_));
  return session;
}

template <class T>
Result<T> Session::wait(const std::function<void(std::function<void(Result<T>)>)>& start) {
  auto got = std::make_shared<std::optional<Result<T>>>();
  start([got](Result<T> result) { *got = std::move(result); });
  if (!loop_->run_until([&got] { return got->has_value(); }, kPatience)) {
    return fail(Code::kTimeout, "the API server at " + config_.server + " does not answer");
  }
  return std::move(**got);
}

Result<Json> Session::get(const kube::Resource& resource, std::string_view name_space,
                          std::string_view name) {
  return wait<Json>([&](auto done) { client_->get(resource, name_space, name, done); });
}

Result<std::vector<Json>> Session::list(const kube::Resource& resource, std::string_view name_space,
                                        std::string_view label_selector) {
  kube::ListOptions options;
  options.name_space = name_space;
  options.label_selector = label_selector;
  auto all = wait<kube::ObjectList>([&](auto done) { client_->list(resource, options, done); });
  if (!all) return std::unexpected(all.error());
  return std::move(all->items);
}

Result<Json> Session::apply(const kube::Resource& resource, std::string_view name_space,
                            const Json& object, std::string_view owner) {
  return wait<Json>([&](auto done) {
    client_->patch(resource, name_space, object::name_of(object), kube::PatchType::kApply, object,
                   done, {}, owner);
  });
}

Result<Json> Session::remove(const kube::Resource& resource, std::string_view name_space,
                             std::string_view name) {
  return wait<Json>([&](auto done) { client_->remove(resource, name_space, name, done); });
}

Result<Json> Session::raw(std::string_view target) {
  auto answer =
      wait<kube::Client::Raw>([&](auto done) { client_->request("GET", target, "", "", done); });
  if (!answer) return std::unexpected(answer.error());
  return object::parse_json(answer->body);
}

Result<PodName> Session::find_pod(std::string_view name) {
  std::size_t slash = name.find('/');
  std::string_view prefix = slash == name.npos ? "pod" : name.substr(0, slash);
  std::string_view rest = slash == name.npos ? name : name.substr(slash + 1);
  // "name.namespace": names of pods have no dots here, as istioctl assumes too.
  std::size_t dot = rest.find('.');
  std::string name_space(dot == rest.npos ? std::string_view(name_space_) : rest.substr(dot + 1));
  std::string_view plain = rest.substr(0, dot);
  if (prefix == "pod" || prefix == "pods" || prefix == "po") {
    auto pod = get(kPods, name_space, plain);
    if (!pod) return std::unexpected(pod.error());
    return PodName{name_space, std::string(plain)};
  }
  const WorkloadKind* kind = workload_kind(prefix);
  if (kind == nullptr) {
    return fail(Code::kInvalid,
                fmt::format("\"{}\" is not a kind with pods; write pod, deploy, rs, sts, ds or svc",
                            prefix));
  }
  auto workload = get(kind->resource, name_space, plain);
  if (!workload) return std::unexpected(workload.error());
  MIZZEN_TRY(auto pod, running_pod(name_space, selector_of(*workload)));
  if (pod) return *pod;
  return fail(Code::kNotFound, fmt::format("{} has no running pod", name));
}

Result<std::vector<PodName>> Session::running_pods(std::string_view name_space,
                                                   std::string_view label_selector) {
  MIZZEN_TRY(auto pods, list(kPods, name_space, label_selector));
  std::vector<PodName> out;
  for (const Json& pod : pods) {
    if (object::string_at(pod, {"status", "phase"}) == "Running")
      out.push_back({object::namespace_of(pod), object::name_of(pod)});
  }
  return out;
}

Result<std::optional<PodName>> Session::running_pod(std::string_view name_space,
                                                    std::string_view label_selector) {
  MIZZEN_TRY(auto pods, running_pods(name_space, label_selector));
  if (pods.empty()) return std::nullopt;
  return pods.front();
}

Result<PodName> Session::control_plane_pod() {
  MIZZEN_TRY(auto pod, running_pod(flags_.istio_namespace, "app=istiod"));
  if (pod) return *pod;
  return fail(Code::kNotFound, fmt::format("no running Istio pods in \"{}\" (label app=istiod)",
                                           flags_.istio_namespace));
}

Result<std::string> Session::exec(const PodName& pod, std::string_view container,
                                  const std::vector<std::string>& command) {
  std::unique_ptr<Exec> running;
  auto result = wait<std::string>([&](auto done) {
    auto started = Exec::start(*loop_, config_,
                               {pod.name_space, pod.name, std::string(container), command}, done);
    if (!started) return done(std::unexpected(started.error()));
    running = std::move(*started);
  });
  if (!result) {
    return std::unexpected(result.error().in(fmt::format("pod {}.{}", pod.name, pod.name_space)));
  }
  return result;
}

Result<std::string> Session::admin_page(const PodName& pod, std::string_view path) {
  return exec(pod, "istio-proxy", {"curl", "-sS", fmt::format("http://localhost:15000{}", path)});
}

Result<std::string> Session::admin_post(const PodName& pod, std::string_view path) {
  MIZZEN_TRY(std::string text, exec(pod, "istio-proxy",
                                    {"curl", "-sS", "-X", "POST", "-w", "%{http_code}",
                                     fmt::format("http://localhost:15000{}", path)}));
  // The status stands behind the body: three digits.
  const std::string status = text.substr(text.size() - std::min<std::size_t>(3, text.size()));
  text.resize(text.size() - status.size());
  if (status == "200") return text;
  return fail(Code::kInvalid, std::string(trim(text)));
}

Result<std::string> Session::control_page(const PodName& pod, std::string_view path) {
  return exec(pod, "discovery", {"curl", "-sS", fmt::format("http://localhost:8080{}", path)});
}

}  // namespace mizzen::cli
