// The node: starts the pods that are bound to it, reaps processes, lets the API server into
// containers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "io/loop.h"
#include "local/apiserver/pod_access.h"
#include "local/apiserver/store.h"
#include "local/runtime/pod.h"

namespace mizzen::local {

class Node final : public PodAccess {
 public:
  // Takes over SIGCHLD of the process, which must be the first of its PID namespace.
  // `context` comes filled but for `watch_child`; its loop and store outlive the node.
  Node(NodeContext context);
  ~Node() override;

  // Registers the Node object and starts to run pods: those that are there already anew.
  Status start();
  // Ends every pod's processes without touching the objects; `done` when none is left.
  void stop(std::function<void()> done);

  Result<std::unique_ptr<PodSession>> logs(const ContainerRef& where, const LogOptions& options,
                                           PodSessionEvents events) override;
  Result<std::unique_ptr<PodSession>> exec(const ContainerRef& where, const ExecOptions& options,
                                           PodSessionEvents events) override;
  Result<std::unique_ptr<PodSession>> attach(const ContainerRef& where, const ExecOptions& options,
                                             PodSessionEvents events) override;
  void port_forward(const std::string& ns, const std::string& pod, std::uint16_t port,
                    io::ConnectDone done) override;
  void dial(const std::string& ip, std::uint16_t port, io::ConnectDone done) override;

 private:
  void register_node();
  void pod_event(const Event& event);
  void content_changed(const std::string& ns);
  void reap();
  Result<Container*> find(const ContainerRef& where) const;
  Pod* find_pod(const std::string& ns, const std::string& name) const;
  void keep_connecting(std::function<std::unique_ptr<io::Connecting>(io::ConnectDone)> begin,
                       io::ConnectDone done);

  NodeContext context_;
  std::map<std::string, std::unique_ptr<Pod>> pods_;  // by uid
  std::vector<std::unique_ptr<Watch>> watches_;
  std::unique_ptr<io::Signals> signals_;
  std::unordered_map<pid_t, std::function<void(int)>> children_;
  std::map<std::uint64_t, std::unique_ptr<io::Connecting>> connecting_;
  std::uint64_t last_connecting_ = 0;
};

}  // namespace mizzen::local
