// One container of a pod: its process, log, probes and restarts.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "io/loop.h"
#include "local/apiserver/store.h"
#include "local/runtime/catalogue.h"
#include "local/runtime/container_log.h"
#include "local/runtime/launch.h"
#include "local/runtime/marked_sockets.h"
#include "local/runtime/probe.h"

namespace mizzen::local {

// All that it takes to start a container, worked out anew at each start.
struct StartPlan {
  LaunchSpec spec;
  Program program;  // of the image
  int netns_fd = -1;
};

// What makes the sockets of `launched`, if it wants that; null otherwise, and after a failure,
// which is logged.
std::unique_ptr<MarkedSockets> serve_sockets(io::Loop& loop, Launched& launched, int netns_fd);

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
  virtual Duration grace() = 0;  // terminationGracePeriodSeconds
  // Children are reaped in one place; `exited` is called once with the wait status.
  virtual void watch_child(pid_t pid, std::function<void(int status)> exited) = 0;

 protected:
  ~ContainerHost() = default;
};

// What someone attached to a container hears: its output as it comes, until it ends.
struct ContainerTap {
  std::function<void(bool is_stderr, std::string_view bytes)> bytes;
  std::function<void()> ended;
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
  int netns_fd() const { return plan_.netns_fd; }
  const std::shared_ptr<ContainerLog>& log() const { return log_; }
  std::string previous_log() const { return previous_log_; }

  // As in pod.status.containerStatuses.
  Json status() const;

  // For `kubectl attach`. Input goes nowhere unless the container asks for it (stdin: true).
  std::uint64_t tap(ContainerTap tap);
  void untap(std::uint64_t id) { taps_.erase(id); }
  void write_input(std::string_view bytes);
  void end_input();  // as stdinOnce has it: a container that is to be met again keeps its input
  void resize_terminal(int columns, int rows);

  // Runs a command within, its output dropped.
  void exec(std::vector<std::string> command, Duration timeout,
            std::function<void(Result<int>)> done);

 private:
  class Output;
  struct Exec;
  Status open_streams(Stdio* stdio, std::array<io::UniqueFd, 3>* theirs);
  Status read_output(std::unique_ptr<Output>* output, io::UniqueFd fd, bool is_stderr);
  void launched(Launched launched);
  void check_failure();
  void running();
  void wait_with(std::string reason, std::string message);
  void refused(const Error& error);
  void exited(int status);
  void end(int exit_code, int signal_number, std::string reason, std::string message);
  void consider_restart(bool failed);
  void started_up();
  void start_probes();
  // A lifecycle handler (exec, httpGet, sleep or tcpSocket); `done` once, later, unless the
  // container is destroyed (container_hooks.cc).
  void run_hook(const Json& handler, Duration timeout, std::function<void(Status)> done);
  Duration probe_grace(const char* kind);
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
  std::unique_ptr<MarkedSockets> sockets_;
  pid_t pid_ = -1;
  io::UniqueFd pidfd_;
  std::unique_ptr<Output> stdout_;
  std::unique_ptr<Output> stderr_;
  std::unique_ptr<Output> stdin_;  // a pipe's end; with a terminal input goes to stdout_
  std::map<std::uint64_t, ContainerTap> taps_;
  std::uint64_t last_tap_ = 0;
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
  std::unique_ptr<net::HttpClient> hook_client_;
  bool hook_running_ = false;  // preStop
  bool startup_ok_ = false;
  bool ready_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
