// Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs: from what is wanted to pods.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "local/apiserver/api.h"
#include "local/apiserver/store.h"
#include "local/controllers/queue.h"

namespace mizzen::local {

// One object of these, for all kinds of workloads. Loop thread only; api and its store outlive it.
class Workloads {
 public:
  Workloads(io::Loop& loop, Api& api);
  Status start();

 private:
  void reconcile(const Key& key);
  void deployment(const Key& key, const Json& object);
  void replica_set(const Key& key, const Json& object);
  void stateful_set(const Key& key, const Json& object);
  Json stateful_template(const Json& set, int ordinal, const std::string& name,
                         const std::string& revision);
  void daemon_set(const Key& key, const Json& object);
  void job(const Key& key, const Json& object);
  void select_pods(const Key& key);
  void expire_job(const Key& key, const Json& object, const std::string& ended);

  void workload_event(const std::string& resource, const Event& event);
  void pod_event(const Event& event);
  void enqueue_owner(const Json& object);
  std::vector<Object> owned(const std::string& resource, const Json& owner) const;

  // Deployment's parts.
  Object ensure_replica_set(const Json& deployment, const std::vector<Object>& sets);
  void scale(const Json& set, int replicas);
  void deployment_status(const Key& key, const Json& deployment, const Object& current,
                         const std::vector<Object>& sets);

  // Pods by admission; `name` "" lets the API server choose.
  void create_pod(const Key& owner_key, const Json& owner, const std::string& name,
                  Json pod_template);
  void delete_pod(const Json& pod);
  int pending(const std::string& uid) const;
  void set_status(const Key& key, const Json& status);

  io::Loop& loop_;
  Api& api_;
  Store& store_;
  Queue queue_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::map<std::string, int> pending_;     // pods being created, by owner's uid
  std::map<std::string, Duration> retry_;  // after refused creations, by owner's uid
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
