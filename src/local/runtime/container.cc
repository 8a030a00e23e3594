#include "local/runtime/container.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "base/log.h"

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

// Reads one pipe to its end.
class Container::Output final : public io::StreamHandler {
 public:
  using Take = std::function<void(std::string_view)>;
  Output(std::unique_ptr<io::Stream> stream, Take take, std::function<void()> ended)
      : stream_(std::move(stream)), take_(std::move(take)), ended_(std::move(ended)) {
    stream_->set_handler(this);
  }
  void on_readable() override { drain(); }
  void on_writable() override {}
  void on_error(const Error&) override { finish(); }
  void drain() {
    std::array<std::byte, 16384> buffer;
    while (!done_) {
      auto result = stream_->read(buffer);
      if (result.status == io::IoStatus::kWouldBlock) return;
      if (result.status != io::IoStatus::kOk) return finish();
      take_({reinterpret_cast<char*>(buffer.data()), result.bytes});
    }
  }

 private:
  void finish() {
    if (done_) return;
    done_ = true;
    if (ended_) ended_();
  }
  std::unique_ptr<io::Stream> stream_;
  Take take_;
  std::function<void()> ended_;
  bool done_ = false;
};

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
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0) return refused(errno_error("pipe", errno));
  io::UniqueFd out_read(out[0]);
  io::UniqueFd out_write(out[1]);
  if (pipe2(err.data(), O_CLOEXEC) != 0) return refused(errno_error("pipe", errno));
  io::UniqueFd err_read(err[0]);
  io::UniqueFd err_write(err[1]);
  auto launched = launch(plan_.spec, plan_.netns_fd, {-1, out_write.get(), err_write.get()});
  if (!launched) return refused(launched.error());
  auto reader = [this](io::UniqueFd fd, const char* stream) -> std::unique_ptr<Output> {
    auto adopted = io::adopt(loop_, std::move(fd));
    if (!adopted) return nullptr;
    std::shared_ptr<ContainerLog> log = log_;
    return std::make_unique<Output>(
        std::move(*adopted),
        [this, log, stream](std::string_view bytes) { log->append(stream, bytes, loop_.wall()); },
        nullptr);
  };
  stdout_ = reader(std::move(out_read), "stdout");
  stderr_ = reader(std::move(err_read), "stderr");
  this->launched(std::move(*launched));
}

void Container::launched(Launched launched) {
  state_ = State::kStarting;
  pid_ = launched.pid;
  pidfd_ = std::move(launched.pidfd);
  failure_text_.clear();
  auto adopted = io::adopt(loop_, std::move(launched.failure));
  if (adopted) {
    failure_ = std::make_unique<Output>(
        std::move(*adopted), [this](std::string_view bytes) { failure_text_ += bytes; },
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
    return terminate(std::chrono::seconds(2));
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
  terminate(std::chrono::seconds(30));
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
  for (auto* output : {&stdout_, &stderr_, &failure_}) loop_.dispose(std::move(*output));
  if (log_ != nullptr) log_->close(loop_.wall());
  loop_.cancel(kill_timer_);
  kill_timer_ = 0;
  pid_ = -1;
  pidfd_.reset();
  loop_.dispose(std::move(startup_));
  loop_.dispose(std::move(readiness_));
  loop_.dispose(std::move(liveness_));
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
  const Json& command = at_path(spec_, {"lifecycle", "preStop", "exec", "command"});
  const Json& sleep = at_path(spec_, {"lifecycle", "preStop", "sleep", "seconds"});
  if (command.is_array() && grace.count() > 0 && state_ == State::kRunning) {
    std::vector<std::string> words;
    for (const Json& word : command) words.push_back(word.get<std::string>());
    MonoTime began = loop_.now();
    exec(std::move(words), grace, [this, began, grace, alive = alive_](Result<int>) {
      if (!*alive) return;
      send_term(std::max<Duration>(Duration{0}, grace - (loop_.now() - began)));
    });
    return;
  }
  if (sleep.is_number_integer() && grace.count() > 0) {
    Duration pause = std::min<Duration>(grace, std::chrono::seconds(sleep.get<int>()));
    kill_timer_ = loop_.after(pause, [this, grace, pause] { send_term(grace - pause); });
    return;
  }
  send_term(grace);
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
  run->timer = loop_.after(timeout, [run] { signal_process(run->process.pidfd.get(), SIGKILL); });
  host_.watch_child(run->process.pid, [this, run, done, alive = alive_](int status) {
    if (!*alive) return;
    loop_.cancel(run->timer);
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
