// One pod of this node: its network, volumes and containers, from its first start to its removal.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "local/apiserver/store.h"
#include "local/network/pod_network.h"
#include "local/runtime/catalogue.h"
#include "local/runtime/container.h"
#include "local/runtime/sandbox.h"
#include "local/runtime/volumes.h"

namespace mizzen::local {

// A token for a pod's service account.
using IssueToken = std::function<Result<std::string>(
    const std::string& ns, const std::string& account, const std::string& audience,
    std::int64_t seconds, const std::string& pod, const std::string& pod_uid)>;

// What all pods of the node share. Outlives them.
struct NodeContext {
  io::Loop* loop = nullptr;
  Store* store = nullptr;
  std::string run_dir;      // tmpfs of the sandbox: staging, volumes
  std::string log_dir;      // survives the cluster
  std::string program_dir;  // Mizzen's programs
  std::string catalogue_path;
  IdMap ids = IdMap::kRoot;
  IssueToken issue_token;
  PodAddresses addresses;
  std::function<void(pid_t, std::function<void(int)>)> watch_child;
};

// Writes a Kubernetes Event about `object`, counting up one that says the same.
void record_event(Store& store, const Json& object, std::string_view type, std::string_view reason,
                  const std::string& message, std::string_view component,
                  const std::string& field_path = {});

class Pod final : private ContainerHost {
 public:
  // `gone`: every process has ended and the object is removed; destroy by Loop::dispose().
  Pod(NodeContext& node, Object pod, std::function<void()> gone);
  ~Pod();

  void start();
  void update(Object pod);  // the object has changed
  void refresh_volumes();  // a ConfigMap or Secret of the namespace has changed, or time has passed
  void vanished();         // the object is gone from the store: stop at once

  const Json& object() const { return *pod_; }
  const Key& key() const { return key_; }
  Container* find(const std::string& name) const;
  int netns_fd() const { return network_.netns.get(); }
  std::string log_dir() const;

 private:
  Result<StartPlan> plan(const Json& container) override;
  void changed() override;
  void event(std::string_view type, std::string_view reason, const std::string& message,
             const std::string& container) override;
  std::string log_path(const std::string& container, int restart_count) override;
  std::string pod_ip() override;
  Duration grace() override;
  void watch_child(pid_t pid, std::function<void(int status)> exited) override;

  void prepare();
  void step();
  void step_running();
  bool step_init();
  void begin_stop();
  void stop_containers(Duration grace);
  void finish_stop();
  void write_status();
  Json status() const;
  std::string phase() const;
  void fail_pod(const std::string& reason, const std::string& message);
  VolumeContext volumes() const;
  PodPlace place() const;
  Status set_security(const Json& container, LaunchSpec* spec) const;
  Result<std::string> token(const std::string& audience, std::int64_t seconds);
  std::string hosts_file() const;
  std::string resolv_conf() const;
  std::string hostname() const;

  struct CachedToken {
    std::string text;
    WallTime refresh_at;
  };

  NodeContext& node_;
  Object pod_;
  Key key_;
  std::string uid_;
  std::function<void()> gone_;
  PodNetwork network_;
  std::vector<std::unique_ptr<Container>> init_;
  std::vector<std::unique_ptr<Container>> main_;
  std::map<std::string, CachedToken> tokens_;
  enum class Life : std::uint8_t {
    kPreparing,
    kLive,
    kEnded,
    kStopping,
    kGone
  } life_ = Life::kPreparing;
  std::string failed_reason_;
  std::string failed_message_;
  std::string last_mount_error_;
  io::TimerId retry_ = 0;
  io::TimerId refresh_ = 0;
  bool scheduled_ = false;
  bool object_gone_ = false;
  bool stop_begun_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
