#include "up.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "home.h"
#include "io/loop.h"
#include "local/network/outside.h"
#include "local/runtime/cluster.h"
#include "local/runtime/sandbox.h"
#include "manifests.h"
#include "report.h"

namespace mizzen::local {
namespace {

int complain(const Error& error) {
  fmt::print(stderr, "mizzen-local: {}\n", error.message);
  return 1;
}

// What the process outside tells the one that the person started: a letter and a line.
void tell(int fd, char kind, std::string_view text) {
  std::string line = fmt::format("{}{}\n", kind, text);
  (void)!write(fd, line.data(), line.size());
}

// The process outside: starts the sandbox, serves it, and ends it.
class Keeper final : private io::FdHandler {
 public:
  Keeper(io::Loop& loop, int report_fd) : loop_(loop), report_fd_(report_fd) {}

  Status start(IdMap ids, const UpOptions& options) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
      return std::unexpected(errno_error("socketpair", errno));
    }
    io::UniqueFd inside(sockets[1]);
    server_ = std::make_unique<OutsideServer>(loop_, io::UniqueFd(sockets[0]), events());
    std::vector<std::string> arguments = {"mizzen-local", "inside",
                                          std::string(1, "rus"[static_cast<int>(ids)]),
                                          fmt::format("--timeout={}", options.timeout_seconds)};
    if (options.demo) arguments.push_back("--demo");
    if (options.bare) arguments.push_back("--bare");
    MIZZEN_TRY(sandbox_, start_sandbox(ids, arguments, inside.get()));
    return loop_.watch_level(sandbox_.pidfd.get(), this);
  }

  // Ends the sandbox and everything in it.
  void stop() {
    stopping_ = true;
    syscall(SYS_pidfd_send_signal, sandbox_.pidfd.get(), SIGTERM, nullptr, 0);
    loop_.after(std::chrono::seconds(3), [this] {
      syscall(SYS_pidfd_send_signal, sandbox_.pidfd.get(), SIGKILL, nullptr, 0);
    });
  }

 private:
  OutsideEvents events() {
    OutsideEvents out;
    out.progress = [this](std::string_view line) { report('P', line); };
    out.started = [this](std::string_view line) {
      report('S', line);
      close_report();
    };
    out.failed = [this](std::string_view line) {
      report('F', line);
      close_report();
    };
    out.closed = [] {};
    return out;
  }
  void report(char kind, std::string_view line) {
    if (report_fd_ >= 0) tell(report_fd_, kind, line);
  }
  void close_report() {
    if (report_fd_ >= 0) close(std::exchange(report_fd_, -1));
  }
  void on_events(unsigned) override {
    loop_.unwatch(sandbox_.pidfd.get());
    int status = 0;
    waitpid(sandbox_.pid, &status, 0);
    if (!stopping_) {
      log::error("local", "the cluster has ended by itself, wait status {}", status);
      report('F', "the cluster has ended by itself; its log says why");
    }
    loop_.stop();
  }

  io::Loop& loop_;
  int report_fd_;
  std::unique_ptr<OutsideServer> server_;
  Sandbox sandbox_;
  bool stopping_ = false;
};

// The rest of the process outside's life; never returns.
[[noreturn]] void keep(const std::string& dir, const UpOptions& options, IdMap ids, int report_fd) {
  setsid();
  auto lock = take_lock(dir);
  if (!lock) {
    tell(report_fd, 'F', lock.error().message);
    _exit(1);
  }
  std::error_code error;
  std::filesystem::remove(dir + "/state.json", error);
  std::filesystem::rename(dir + "/log", dir + "/log.1", error);
  int log_fd = open((dir + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null_fd, 0);
  dup2(log_fd, 1);
  dup2(log_fd, 2);
  if (chdir("/") != 0) _exit(1);
  setenv("MIZZEN_HOME", dir.c_str(), 1);
  io::EpollLoop loop;
  Keeper keeper(loop, report_fd);
  io::Signals signals(loop, {SIGTERM, SIGINT, SIGHUP}, [&keeper](int) { keeper.stop(); });
  if (auto status = keeper.start(ids, options); !status) {
    tell(report_fd, 'F', status.error().message);
    _exit(1);
  }
  loop.run();
  std::filesystem::remove(dir + "/state.json", error);
  _exit(0);
}

// Prints what comes until the start is over; whether it went well.
bool follow(int fd, std::string* last) {
  std::FILE* lines = fdopen(fd, "r");
  char* line = nullptr;
  std::size_t capacity = 0;
  ssize_t size = 0;
  bool ok = false;
  *last = "the process that holds the cluster has ended";
  while ((size = getline(&line, &capacity, lines)) > 0) {
    std::string_view text(line, static_cast<std::size_t>(size) - 1);
    if (text.empty()) continue;
    ok = text[0] == 'S';
    *last = text.substr(1);
    if (text[0] == 'P') fmt::print(stderr, "  {}\n", *last);
    std::fflush(stderr);
    if (text[0] != 'P') break;
    *last = "the process that holds the cluster has ended";
  }
  std::free(line);
  std::fclose(lines);
  return ok;
}

}  // namespace

int up(const UpOptions& options) {
  auto dir = state_dir();
  if (!dir) return complain(dir.error());
  if (lock_holder(*dir) != 0) {
    fmt::print("A cluster is running already.\n");
    return print_status(*dir);
  }
  Preflight check = preflight();
  for (const std::string& warning : check.warnings) fmt::print(stderr, "note: {}\n", warning);
  for (const std::string& missing : check.missing)
    fmt::print(stderr, "mizzen-local: {}\n", missing);
  if (!check.missing.empty()) return 1;
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return complain(errno_error("pipe", errno));
  std::fflush(nullptr);
  pid_t pid = fork();
  if (pid < 0) return complain(errno_error("fork", errno));
  if (pid == 0) {
    close(report[0]);
    keep(*dir, options, check.ids, report[1]);
  }
  close(report[1]);
  std::string last;
  if (follow(report[0], &last)) {
    fmt::print("{}\n", last);
    return print_where_to_look(*dir, options.demo);
  }
  fmt::print(stderr,
             "mizzen-local: {}\nIts log is {}/log; `mizzen-local down` stops what is there.\n",
             last, *dir);
  return 1;
}

int down() {
  auto dir = state_dir();
  if (!dir) return complain(dir.error());
  pid_t holder = lock_holder(*dir);
  if (holder == 0) {
    fmt::print("No cluster is running.\n");
    return 0;
  }
  io::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, holder, 0)));
  if (!pidfd) return complain(errno_error("find the cluster's process", errno));
  // The lock may have changed hands in between.
  if (lock_holder(*dir) != holder) return 0;
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGTERM, nullptr, 0) != 0) {
    return complain(errno_error("stop the cluster's process", errno));
  }
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, 8000) != 1) {
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    poll(&ended, 1, 5000);
  }
  fmt::print("The cluster has stopped.\n");
  return 0;
}

int inside(const UpOptions& options, const std::string& ids) {
  auto dir = state_dir();
  if (!dir) return complain(dir.error());
  signal(SIGPIPE, SIG_IGN);
  fcntl(3, F_SETFD, FD_CLOEXEC);
  ClusterOptions cluster_options;
  cluster_options.state_dir = *dir;
  cluster_options.program_dir = program_dir();
  cluster_options.ids = ids == "r" ? IdMap::kRoot : ids == "u" ? IdMap::kRange : IdMap::kSingle;
  cluster_options.ready_timeout = std::chrono::seconds(options.timeout_seconds);
  if (!options.bare) {
    cluster_options.manifests = installation_manifests();
    cluster_options.wait_namespaces.push_back("istio-system");
  }
  if (options.demo && !options.bare) {
    for (Manifest& one : demo_manifests()) cluster_options.manifests.push_back(std::move(one));
    cluster_options.inject_namespaces.push_back("default");
    cluster_options.wait_namespaces.push_back("default");
    cluster_options.page = "/productpage";
  }
  io::EpollLoop loop;
  Cluster cluster(loop, io::UniqueFd(3), std::move(cluster_options));
  io::Signals signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  cluster.start();
  loop.run();
  cluster.close();
  // The kernel ends every process of the sandbox with this one.
  _exit(0);
}

}  // namespace mizzen::local
