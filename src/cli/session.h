// A command's conversation with the cluster: one loop, one API client, calls that wait for their
// answer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/client.h"

namespace mizzen::net {
class HttpClient;
}

namespace mizzen::cli {

using kube::Json;

// Flags that every command of a cluster takes.
struct ClusterFlags {
  std::string kubeconfig;
  std::string context;
  std::string name_space;  // "": the context's
  std::string istio_namespace = "istio-system";
};

struct PodName {
  std::string name_space;
  std::string name;
};

class Session {
 public:
  // Errors: no kubeconfig, one that does not parse, credentials that do not load.
  static Result<std::unique_ptr<Session>> open(const ClusterFlags& flags);
  ~Session();

  const std::string& name_space() const { return name_space_; }
  const std::string& istio_namespace() const { return flags_.istio_namespace; }
  const kube::Config& config() const { return config_; }
  io::Loop& loop() { return *loop_; }

  Result<Json> get(const kube::Resource& resource, std::string_view name_space,
                   std::string_view name);
  Result<std::vector<Json>> list(const kube::Resource& resource, std::string_view name_space,
                                 std::string_view label_selector);

  // Server-side apply, which takes fields over from others; removal; any GET.
  Result<Json> apply(const kube::Resource& resource, std::string_view name_space,
                     const Json& object, std::string_view owner);
  Result<Json> remove(const kube::Resource& resource, std::string_view name_space,
                      std::string_view name);
  Result<Json> raw(std::string_view target);

  // What istioctl takes for a proxy: "pod", "pod.namespace", "deploy/name", "pod/name" and other
  // kinds with a selector. For a workload one of its running pods.
  Result<PodName> find_pod(std::string_view name);
  // A running pod with these labels; nothing when there is none.
  Result<std::optional<PodName>> running_pod(std::string_view name_space,
                                             std::string_view label_selector);
  Result<std::vector<PodName>> running_pods(std::string_view name_space,
                                            std::string_view label_selector);
  // A running pod of the control plane.
  Result<PodName> control_plane_pod();

  // Runs a command in a container and returns its standard output; standard error is in the message
  // of a failure. Over WebSocket with v5.channel.k8s.io, as kubectl does.
  Result<std::string> exec(const PodName& pod, std::string_view container,
                           const std::vector<std::string>& command);
  // A page of the proxy's administration, e.g. "/config_dump".
  Result<std::string> admin_page(const PodName& pod, std::string_view path);
  // POST to one; an answer other than 200 is an error with its text.
  Result<std::string> admin_post(const PodName& pod, std::string_view path);
  // A page of the control plane's, e.g. "/debug/syncz".
  Result<std::string> control_page(const PodName& pod, std::string_view path);

 private:
  Session(ClusterFlags flags, kube::Config config);
  template <class T>
  Result<T> wait(const std::function<void(std::function<void(Result<T>)>)>& start);

  ClusterFlags flags_;
  kube::Config config_;
  std::string name_space_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<kube::Client> client_;
};

}  // namespace mizzen::cli
