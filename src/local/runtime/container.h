// One container of a pod: its process, log, probes and restarts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "io/loop.h"
#include "local/apiserver/store.h"
#include "local/runtime/catalogue.h"
#include "local/runtime/container_log.h"
#include "local/runtime/launch.h"
#include "local/runtime/probe.h"

namespace mizzen::local {

// All that it takes to start a container, worked out anew at each start.
struct StartPlan {
  LaunchSpec spec;
  Program program;  // of the image
  int netns_fd = -1;
};

// What a container asks of its pod. Outlives the container.
class ContainerHost {
 public:
  // Errors become the container's waiting reason: kNotFound of an image is ErrImagePull, others
  // CreateContainerConfigError.
  virtual Result<StartPlan> plan(const Json& container) = 0;
  virtual void changed() = 0;  // status is to be written, next steps to be thought of
  virtual void event(std::string_view type, std::string_view reason, const std::string& message,
                     const std::string& container) = 0;
  virtual std::string log_path(const std::string& container, int restart_count) = 0;
  virtual std::string pod_ip() = 0;
  // Children are reaped in one place; `exited` is called once with the wait status.
  virtual void watch_child(pid_t pid, std::function<void(int status)> exited) = 0;

 protected:
  ~ContainerHost() = default;
};

class Container {
 public:
  enum class State : std::uint8_t { kWaiting, kStarting, kRunning, kTerminated };
  // How it is to be treated when it ends.
  enum class Restart : std::uint8_t { kNever, kOnFailure, kAlways };

  Container(io::Loop& loop, ContainerHost& host, Json spec, bool init, Restart restart);
  ~Container();

  void start();  // now; from kWaiting or kTerminated
  // SIGTERM (after preStop), then SIGKILL when `grace` has passed; no restart from now on.
  void stop(Duration grace);
  void kill_now();

  State state() const { return state_; }
  bool ready() const;
  bool started() const { return state_ == State::kRunning && startup_ok_; }
  // Ended for good, under its restart policy.
  bool finished() const { return state_ == State::kTerminated && !restart_timer_; }
  int exit_code() const { return exit_code_; }
  bool ever_started() const { return restart_count_ > 0 || !started_at_.empty(); }
  bool waits() const { return restart_timer_ != 0; }  // for a restart, or another try
  bool is_init() const { return init_; }
  bool is_sidecar() const { return init_ && restart_ == Restart::kAlways; }
  pid_t pid() const { return pid_; }
  const std::string& name() const { return name_; }
  const Json& spec() const { return spec_; }
  // How `command` is run within: as the container was, by the image's own programs.
  LaunchSpec spec_within(std::vector<std::string> command) const;
  const std::shared_ptr<ContainerLog>& log() const { return log_; }
  std::string previous_log() const { return previous_log_; }

  // As in pod.status.containerStatuses.
  Json status() const;

  // Runs a command within, its output dropped.
  void exec(std::vector<std::string> command, Duration timeout,
            std::function<void(Result<int>)> done);

 private:
  class Output;
  struct Exec;
  void launched(Launched launched);
  void check_failure();
  void running();
  void wait_with(std::string reason, std::string message);
  void refused(const Error& error);
  void exited(int status);
  void end(int exit_code, int signal_number, std::string reason, std::string message);
  void consider_restart(bool failed);
  void start_probes();
  void startup_changed(bool ok, const std::string& message);
  void liveness_changed(bool ok, const std::string& message);
  void terminate(Duration grace);
  void send_term(Duration grace);

  io::Loop& loop_;
  ContainerHost& host_;
  Json spec_;
  std::string name_;
  bool init_;
  Restart restart_;
  State state_ = State::kWaiting;
  StartPlan plan_;
  pid_t pid_ = -1;
  io::UniqueFd pidfd_;
  std::unique_ptr<Output> stdout_;
  std::unique_ptr<Output> stderr_;
  std::unique_ptr<Output> failure_;
  std::string failure_text_;
  std::shared_ptr<ContainerLog> log_;
  std::string previous_log_;

  int restart_count_ = 0;
  Duration backoff_{};
  MonoTime running_since_;
  io::TimerId restart_timer_ = 0;
  io::TimerId kill_timer_ = 0;
  bool stopping_ = false;
  bool killed_by_probe_ = false;

  std::string waiting_reason_ = "ContainerCreating";
  std::string waiting_message_;
  std::string started_at_;
  Json terminated_;       // state of the run that ended, when state_ is kTerminated
  Json last_terminated_;  // of the run before
  int exit_code_ = 0;

  std::unique_ptr<Probe> startup_;
  std::unique_ptr<Probe> readiness_;
  std::unique_ptr<Probe> liveness_;
  bool startup_ok_ = false;
  bool ready_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
