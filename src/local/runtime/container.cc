#include "local/runtime/container.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "base/log.h"
#include "local/runtime/container_output.h"

namespace mizzen::local {
namespace {

// A container's first process does not get SIGTERM unless it handles it: nothing to wait for then.
bool handles_term(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("SigCgt:")) continue;
    return (std::strtoull(line.c_str() + 7, nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
  }
  return false;
}

void signal_process(int pidfd, int number) {
  syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);
}

}  // namespace

std::unique_ptr<MarkedSockets> serve_sockets(io::Loop& loop, Launched& launched, int netns_fd) {
  if (!launched.sockets) return nullptr;
  auto sockets = MarkedSockets::start(loop, std::move(launched.sockets), netns_fd, kUncapturedMark);
  if (sockets) return std::move(*sockets);
  log::error("runtime", "sockets of a proxy: {}", sockets.error().message);
  return nullptr;
}

Container::Container(io::Loop& loop, ContainerHost& host, Json spec, bool init, Restart restart)
    : loop_(loop),
      host_(host),
      spec_(std::move(spec)),
      name_(spec_.value("name", "")),
      init_(init),
      restart_(restart) {
  if (init) waiting_reason_ = "PodInitializing";
}

Container::~Container() {
  *alive_ = false;
  loop_.cancel(restart_timer_);
  loop_.cancel(kill_timer_);
  for (auto& [id, tap] : std::exchange(taps_, {})) tap.ended();
  if (pidfd_) signal_process(pidfd_.get(), SIGKILL);
}

void Container::start() {
  restart_timer_ = 0;
  if (stopping_ || state_ == State::kRunning || state_ == State::kStarting) return;
  auto plan = host_.plan(spec_);
  if (!plan) return refused(plan.error());
  plan_ = std::move(*plan);
  if (log_ != nullptr) previous_log_ = log_->path();
  log_ = std::make_shared<ContainerLog>(host_.log_path(name_, restart_count_));
  Stdio stdio;
  std::array<io::UniqueFd, 3> theirs;
  if (auto status = open_streams(&stdio, &theirs); !status) return refused(status.error());
  auto launched = launch(plan_.spec, plan_.netns_fd, stdio);
  if (!launched) return refused(launched.error());
  this->launched(std::move(*launched));
}

Status Container::open_streams(Stdio* stdio, std::array<io::UniqueFd, 3>* theirs) {
  plan_.spec.tty = spec_.value("tty", false);
  if (plan_.spec.tty) {
    MIZZEN_TRY(Terminal terminal, open_terminal());
    (*theirs)[0] = std::move(terminal.slave);
    *stdio = {(*theirs)[0].get(), (*theirs)[0].get(), (*theirs)[0].get()};
    return read_output(&stdout_, std::move(terminal.master), false);
  }
  auto open_pipe = [](io::UniqueFd* read, io::UniqueFd* write) -> Status {
    std::array<int, 2> fds{};
    if (pipe2(fds.data(), O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
    read->reset(fds[0]);
    write->reset(fds[1]);
    return {};
  };
  io::UniqueFd ours;
  if (spec_.value("stdin", false)) {
    MIZZEN_CHECKED(open_pipe(&(*theirs)[0], &ours));
    MIZZEN_TRY(auto stream, io::adopt(loop_, std::move(ours)));
    stdin_ = std::make_unique<Output>(
        loop_, std::move(stream), [](std::string_view) {}, nullptr);
  }
  MIZZEN_CHECKED(open_pipe(&ours, &(*theirs)[1]));
  MIZZEN_CHECKED(read_output(&stdout_, std::move(ours), false));
  MIZZEN_CHECKED(open_pipe(&ours, &(*theirs)[2]));
  MIZZEN_CHECKED(read_output(&stderr_, std::move(ours), true));
  *stdio = {(*theirs)[0].get(), (*theirs)[1].get(), (*theirs)[2].get()};
  return {};
}

Status Container::read_output(std::unique_ptr<Output>* output, io::UniqueFd fd, bool is_stderr) {
  MIZZEN_TRY(auto stream, io::adopt(loop_, std::move(fd)));
  auto take = [this, log = log_, is_stderr](std::string_view bytes) {
    log->append(is_stderr ? "stderr" : "stdout", bytes, loop_.wall());
    for (const auto& [id, tap] : std::map(taps_)) tap.bytes(is_stderr, bytes);
  };
  *output = std::make_unique<Output>(loop_, std::move(stream), std::move(take), nullptr);
  return {};
}

std::uint64_t Container::tap(ContainerTap tap) {
  taps_.emplace(++last_tap_, std::move(tap));
  return last_tap_;
}

void Container::write_input(std::string_view bytes) {
  Output* to = plan_.spec.tty ? stdout_.get() : stdin_.get();
  if (to != nullptr && spec_.value("stdin", false)) to->write(bytes);
}

void Container::end_input() {
  if (!spec_.value("stdinOnce", false)) return;
  if (plan_.spec.tty) return write_input("\x04");
  if (stdin_ != nullptr) stdin_->end_writing();
}

void Container::resize_terminal(int columns, int rows) {
  if (!plan_.spec.tty || stdout_ == nullptr) return;
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  ioctl(stdout_->fd(), TIOCSWINSZ, &size);
}

void Container::launched(Launched launched) {
  state_ = State::kStarting;
  pid_ = launched.pid;
  pidfd_ = std::move(launched.pidfd);
  sockets_ = serve_sockets(loop_, launched, plan_.netns_fd);
  failure_text_.clear();
  auto adopted = io::adopt(loop_, std::move(launched.failure));
  if (adopted) {
    failure_ = std::make_unique<Output>(
        loop_, std::move(*adopted), [this](std::string_view bytes) { failure_text_ += bytes; },
        [this] { check_failure(); });
  }
  host_.watch_child(pid_, [this, alive = alive_](int status) {
    if (*alive) exited(status);
  });
}

// The failure pipe has ended: by exec, or with the process.
void Container::check_failure() {
  loop_.dispose(std::move(failure_));
  if (failure_text_.empty() && state_ == State::kStarting) running();
}

void Container::running() {
  state_ = State::kRunning;
  started_at_ = rfc3339(loop_.wall());
  running_since_ = loop_.now();
  waiting_reason_.clear();
  waiting_message_.clear();
  terminated_ = nullptr;
  killed_by_probe_ = false;
  host_.event("Normal", "Started", "Started container " + name_, name_);
  startup_ok_ = false;
  ready_ = false;
  const Json& hook = at_path(spec_, {"lifecycle", "postStart"});
  host_.changed();
  if (!hook.is_object() || hook.empty()) return started_up();
  // Until it is through the container counts as not started.
  run_hook(hook, std::chrono::minutes(10), [this, run = restart_count_](Status status) {
    if (run != restart_count_ || state_ != State::kRunning) return;
    if (status) return started_up();
    host_.event("Warning", "FailedPostStartHook",
                fmt::format("PostStartHook failed: {}", status.error().message), name_);
    killed_by_probe_ = true;
    terminate(host_.grace());
  });
}

void Container::started_up() {
  start_probes();
  host_.changed();
}

void Container::start_probes() {
  startup_ok_ = true;
  ready_ = true;
  ProbeTarget target{host_.pod_ip(), &spec_,
                     [this](std::vector<std::string> command, Duration timeout,
                            std::function<void(Result<int>)> done) {
                       exec(std::move(command), timeout, std::move(done));
                     }};
  auto make = [&](const char* kind, bool initially,
                  Probe::Changed changed) -> std::unique_ptr<Probe> {
    if (!spec_.contains(kind)) return nullptr;
    auto probe = Probe::start(loop_, spec_[kind], target, initially, std::move(changed));
    if (probe) return std::move(*probe);
    host_.event("Warning", "ProbeIgnored", fmt::format("{}: {}", kind, probe.error().message),
                name_);
    return nullptr;
  };
  startup_ = make("startupProbe", false,
                  [this](bool ok, const std::string& message) { startup_changed(ok, message); });
  if (startup_ != nullptr) {
    startup_ok_ = false;
    ready_ = false;
    return;
  }
  readiness_ = make("readinessProbe", false, [this](bool ok, const std::string& message) {
    if (!ok) host_.event("Warning", "Unhealthy", "Readiness probe failed: " + message, name_);
    ready_ = ok;
    host_.changed();
  });
  if (readiness_ != nullptr) ready_ = false;
  liveness_ = make("livenessProbe", true,
                   [this](bool ok, const std::string& message) { liveness_changed(ok, message); });
}

void Container::startup_changed(bool ok, const std::string& message) {
  if (!ok) {
    host_.event("Warning", "Unhealthy", "Startup probe failed: " + message, name_);
    killed_by_probe_ = true;
    return terminate(probe_grace("startupProbe"));
  }
  Json without = spec_;
  without.erase("startupProbe");
  std::swap(spec_, without);
  loop_.dispose(std::move(startup_));
  start_probes();
  std::swap(spec_, without);
  host_.changed();
}

void Container::liveness_changed(bool ok, const std::string& message) {
  if (ok || state_ != State::kRunning) return;
  host_.event("Warning", "Unhealthy", "Liveness probe failed: " + message, name_);
  host_.event("Normal", "Killing",
              fmt::format("Container {} failed liveness probe, will be restarted", name_), name_);
  killed_by_probe_ = true;
  terminate(probe_grace("livenessProbe"));
}

// A probe may have a grace period of its own.
Duration Container::probe_grace(const char* kind) {
  const Json& own = at_path(spec_, {kind, "terminationGracePeriodSeconds"});
  return own.is_number_integer() ? Duration(std::chrono::seconds(own.get<int>())) : host_.grace();
}

void Container::refused(const Error& error) {
  bool image = error.message.find("image \"") != std::string::npos;
  std::string reason = image ? (backoff_.count() == 0 ? "ErrImagePull" : "ImagePullBackOff")
                             : "CreateContainerConfigError";
  host_.event("Warning", image ? "Failed" : "FailedMount", error.message, name_);
  // Tried again, for the image may be mapped and the missing object made.
  backoff_ = backoff_.count() == 0 ? Duration(std::chrono::seconds(1))
                                   : std::min<Duration>(backoff_ * 2, std::chrono::seconds(10));
  restart_timer_ = loop_.after(backoff_, [this] { start(); });
  state_ = State::kWaiting;
  wait_with(reason, error.message);
}

void Container::wait_with(std::string reason, std::string message) {
  waiting_reason_ = std::move(reason);
  waiting_message_ = std::move(message);
  host_.changed();
}

void Container::exited(int status) {
  for (auto* output : {&stdout_, &stderr_, &failure_}) {
    if (*output != nullptr) (*output)->drain();
  }
  // What is left of the pipes belongs to nobody: the PID namespace has ended with its first
  // process.
  for (auto* output : {&stdout_, &stderr_, &stdin_, &failure_}) loop_.dispose(std::move(*output));
  for (auto& [id, tap] : std::exchange(taps_, {})) tap.ended();
  if (log_ != nullptr) log_->close(loop_.wall());
  loop_.cancel(kill_timer_);
  kill_timer_ = 0;
  pid_ = -1;
  pidfd_.reset();
  loop_.dispose(std::move(sockets_));
  loop_.dispose(std::move(startup_));
  loop_.dispose(std::move(readiness_));
  loop_.dispose(std::move(liveness_));
  loop_.dispose(std::move(hook_client_));
  hook_running_ = false;
  ready_ = false;
  startup_ok_ = false;
  if (!failure_text_.empty()) {
    host_.event("Warning", "Failed", "Error: " + failure_text_, name_);
    return end(128, 0, "StartError", failure_text_);
  }
  if (started_at_.empty()) started_at_ = rfc3339(loop_.wall());
  if (WIFSIGNALED(status)) return end(128 + WTERMSIG(status), WTERMSIG(status), "Error", "");
  end(WEXITSTATUS(status), 0, WEXITSTATUS(status) == 0 ? "Completed" : "Error", "");
}

void Container::end(int exit_code, int signal_number, std::string reason, std::string message) {
  state_ = State::kTerminated;
  exit_code_ = exit_code;
  terminated_ = {{"exitCode", exit_code},
                 {"reason", reason},
                 {"startedAt", started_at_.empty() ? rfc3339(loop_.wall()) : started_at_},
                 {"finishedAt", rfc3339(loop_.wall())},
                 {"containerID", fmt::format("mizzen://{}-{}", name_, restart_count_)}};
  if (signal_number != 0) terminated_["signal"] = signal_number;
  if (!message.empty()) terminated_["message"] = message;
  consider_restart(exit_code != 0 || killed_by_probe_);
  host_.changed();
}

void Container::consider_restart(bool failed) {
  bool wanted = restart_ == Restart::kAlways || (restart_ == Restart::kOnFailure && failed);
  if (!wanted || stopping_) return;
  // Ten good minutes wipe the slate.
  bool lasted = loop_.now() - running_since_ > std::chrono::minutes(10);
  if (lasted) backoff_ = Duration{0};
  // The first restart is immediate, and quick ones stay cheap: a proxy that was killed comes back
  // at once.
  Duration delay = backoff_;
  bool quick = loop_.now() - running_since_ > std::chrono::seconds(10);
  backoff_ = backoff_.count() == 0 ? Duration(std::chrono::seconds(quick ? 1 : 10))
                                   : std::min<Duration>(backoff_ * 2, std::chrono::minutes(5));
  last_terminated_ = terminated_;
  ++restart_count_;
  restart_timer_ = loop_.after(delay, [this] {
    host_.event("Normal", "Created", "Created container: " + name_, name_);
    start();
  });
  if (delay.count() > 0) {
    state_ = State::kWaiting;
    waiting_reason_ = "CrashLoopBackOff";
    waiting_message_ =
        fmt::format("back-off {}s restarting failed container={}",
                    std::chrono::duration_cast<std::chrono::seconds>(delay).count(), name_);
    host_.event("Warning", "BackOff", "Back-off restarting failed container " + name_, name_);
  }
}

bool Container::ready() const {
  if (init_ && !is_sidecar()) return state_ == State::kTerminated && exit_code_ == 0;
  return state_ == State::kRunning && ready_;
}

void Container::stop(Duration grace) {
  stopping_ = true;
  loop_.cancel(restart_timer_);
  restart_timer_ = 0;
  if (state_ == State::kWaiting) state_ = State::kTerminated;
  if (pid_ > 0) terminate(grace);
}

void Container::terminate(Duration grace) {
  const Json& hook = at_path(spec_, {"lifecycle", "preStop"});
  if (!hook.is_object() || hook.empty() || grace.count() <= 0 || state_ != State::kRunning) {
    return send_term(grace);
  }
  if (hook_running_) return;
  hook_running_ = true;
  const MonoTime began = loop_.now();
  run_hook(hook, grace, [this, began, grace, run = restart_count_](Status status) {
    hook_running_ = false;
    if (run != restart_count_) return;
    if (!status) {
      host_.event("Warning", "FailedPreStopHook",
                  fmt::format("PreStopHook failed: {}", status.error().message), name_);
    }
    // As Kubernetes has it, what the hook used up is gone, but two seconds are always left.
    send_term(std::max<Duration>(std::chrono::seconds(2), grace - (loop_.now() - began)));
  });
}

void Container::send_term(Duration grace) {
  if (pid_ <= 0) return;
  if (grace.count() <= 0 || !handles_term(pid_)) return kill_now();
  signal_process(pidfd_.get(), SIGTERM);
  loop_.cancel(kill_timer_);
  kill_timer_ = loop_.after(grace, [this] { kill_now(); });
}

void Container::kill_now() {
  if (pidfd_) signal_process(pidfd_.get(), SIGKILL);
}

struct Container::Exec {
  Launched process;
  std::unique_ptr<MarkedSockets> sockets;
  io::TimerId timer = 0;
};

LaunchSpec Container::spec_within(std::vector<std::string> command) const {
  LaunchSpec spec = plan_.spec;
  spec.command = plan_.program.here(std::move(command));
  return spec;
}

void Container::exec(std::vector<std::string> command, Duration timeout,
                     std::function<void(Result<int>)> done) {
  auto later = [this, done](Error error) {
    loop_.defer([done, error] { done(std::unexpected(error)); });
  };
  if (state_ != State::kRunning) {
    return later({Code::kUnavailable, Side::kInternal, true, "container is not running"});
  }
  auto launched = launch_within(spec_within(std::move(command)), pid_, {});
  if (!launched) return later(launched.error());
  auto run = std::make_shared<Exec>();
  run->process = std::move(*launched);
  run->sockets = serve_sockets(loop_, run->process, plan_.netns_fd);
  run->timer = loop_.after(timeout, [run] { signal_process(run->process.pidfd.get(), SIGKILL); });
  host_.watch_child(run->process.pid, [this, run, done, alive = alive_](int status) {
    if (!*alive) return;
    loop_.cancel(run->timer);
    loop_.dispose(std::move(run->sockets));
    if (WIFSIGNALED(status)) {
      done(fail(Code::kTimeout, "command timed out"));
    } else {
      done(WEXITSTATUS(status));
    }
  });
}

Json Container::status() const {
  Json out = {{"name", name_},
              {"image", spec_.value("image", "")},
              {"imageID", "mizzen://" + spec_.value("image", "")},
              {"ready", ready()},
              {"restartCount", restart_count_},
              {"lastState", Json::object()},
              {"started", started()}};
  if (!last_terminated_.is_null()) out["lastState"] = {{"terminated", last_terminated_}};
  if (state_ != State::kWaiting || restart_count_ > 0) {
    out["containerID"] = fmt::format("mizzen://{}-{}", name_, restart_count_);
  }
  if (state_ == State::kRunning) {
    out["state"] = {{"running", {{"startedAt", started_at_}}}};
  } else if (state_ == State::kTerminated && !terminated_.is_null()) {
    out["state"] = {{"terminated", terminated_}};
  } else {
    Json waiting = {{"reason", waiting_reason_.empty() ? "ContainerCreating" : waiting_reason_}};
    if (!waiting_message_.empty()) waiting["message"] = waiting_message_;
    out["state"] = {{"waiting", waiting}};
  }
  return out;
}

}  // namespace mizzen::local
