#include "local/runtime/launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

namespace mizzen::local {
namespace {

using Json = nlohmann::json;

constexpr int kSpecFd = 10;
constexpr int kFailureFd = 11;
constexpr int kNetnsFd = 12;
constexpr int kLastFd = kSocketsFd;
static_assert(kLastFd == kNetnsFd + 1);

Result<io::UniqueFd> sealed_spec(const LaunchSpec& spec) {
  io::UniqueFd fd(memfd_create("mizzen-container", MFD_CLOEXEC));
  if (!fd) return std::unexpected(errno_error("memfd_create", errno));
  std::string json = to_json(spec);
  std::size_t done = 0;
  while (done < json.size()) {
    ssize_t n = write(fd.get(), json.data() + done, json.size() - done);
    if (n < 0) return std::unexpected(errno_error("write container spec", errno));
    done += static_cast<std::size_t>(n);
  }
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

// In the child, between clone and exec: system calls only.
[[noreturn]] void become(char* const argv[], const int (&fds)[7]) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal_number : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD}) {
    signal(signal_number, SIG_DFL);
  }
  // First out of the way of the numbers that are about to be taken.
  int moved[7];
  for (int i = 0; i < 7; ++i) moved[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, 20);
  int null_fd = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; ++i) dup2(moved[i] < 0 ? null_fd : moved[i], i);
  for (int i = 3; i < 7; ++i) {
    if (moved[i] >= 0) dup2(moved[i], kSpecFd + i - 3);
  }
  close_range(3, kSpecFd - 1, 0);
  close_range(kLastFd + 1, ~0U, 0);
  execv("/proc/self/exe", argv);
  _exit(126);
}

Result<Launched> start(const LaunchSpec& spec, unsigned flags, const char* verb, int netns_fd,
                       const std::string& last_argument, const Stdio& stdio) {
  MIZZEN_TRY(io::UniqueFd spec_fd, sealed_spec(spec));
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
  io::UniqueFd failure_read(pipe_fds[0]);
  io::UniqueFd failure_write(pipe_fds[1]);
  std::string program = "mizzen-local";
  std::string verb_text = verb;
  std::string spec_text = std::to_string(kSpecFd);
  std::string failure_text = std::to_string(kFailureFd);
  std::string last = last_argument;
  char* argv[] = {program.data(),      verb_text.data(), spec_text.data(),
                  failure_text.data(), last.data(),      nullptr};
  io::UniqueFd sockets_ours;
  io::UniqueFd sockets_theirs;
  if (spec.marked_sockets) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
      return std::unexpected(errno_error("socketpair", errno));
    sockets_ours.reset(pair[0]);
    sockets_theirs.reset(pair[1]);
  }
  const int fds[7] = {stdio.in, stdio.out,           stdio.err, spec_fd.get(), failure_write.get(),
                      netns_fd, sockets_theirs.get()};
  int pidfd = -1;
  long pid = syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
  if (pid < 0) return std::unexpected(errno_error("clone", errno));
  if (pid == 0) become(argv, fds);
  Launched launched;
  launched.pid = static_cast<pid_t>(pid);
  launched.pidfd.reset(pidfd);
  launched.failure = std::move(failure_read);
  launched.sockets = std::move(sockets_ours);
  MIZZEN_CHECKED(io::set_nonblocking(launched.failure.get()));
  return launched;
}

}  // namespace

std::string to_json(const LaunchSpec& spec) {
  Json mounts = Json::array();
  for (const Mount& mount : spec.mounts) {
    mounts.push_back({mount.source, mount.target, mount.read_only});
  }
  Json json = {{"command", spec.command},
               {"env", spec.env},
               {"workingDir", spec.working_dir},
               {"hostname", spec.hostname},
               {"mounts", mounts},
               {"files", spec.files},
               {"stagingDir", spec.staging_dir},
               {"programDir", spec.program_dir},
               {"uid", spec.uid},
               {"gid", spec.gid},
               {"groups", spec.groups},
               {"add", spec.add_capabilities},
               {"drop", spec.drop_capabilities},
               {"privileged", spec.privileged},
               {"noNewPrivileges", spec.no_new_privileges},
               {"readOnlyRoot", spec.read_only_root},
               {"markedSockets", spec.marked_sockets},
               {"tty", spec.tty}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<LaunchSpec> parse_launch_spec(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(Code::kInvalid, "container spec is not JSON");
  LaunchSpec spec;
  try {
    json.at("command").get_to(spec.command);
    json.at("env").get_to(spec.env);
    json.at("workingDir").get_to(spec.working_dir);
    json.at("hostname").get_to(spec.hostname);
    for (const Json& mount : json.at("mounts")) {
      spec.mounts.push_back({mount.at(0).get<std::string>(), mount.at(1).get<std::string>(),
                             mount.at(2).get<bool>()});
    }
    json.at("files").get_to(spec.files);
    json.at("stagingDir").get_to(spec.staging_dir);
    json.at("programDir").get_to(spec.program_dir);
    json.at("uid").get_to(spec.uid);
    json.at("gid").get_to(spec.gid);
    json.at("groups").get_to(spec.groups);
    json.at("add").get_to(spec.add_capabilities);
    json.at("drop").get_to(spec.drop_capabilities);
    json.at("privileged").get_to(spec.privileged);
    json.at("noNewPrivileges").get_to(spec.no_new_privileges);
    json.at("readOnlyRoot").get_to(spec.read_only_root);
    json.at("markedSockets").get_to(spec.marked_sockets);
    json.at("tty").get_to(spec.tty);
  } catch (const Json::exception& error) {
    return fail(Code::kInvalid, std::string("container spec: ") + error.what());
  }
  return spec;
}

Result<Launched> launch(const LaunchSpec& spec, int netns_fd, const Stdio& stdio) {
  return start(spec, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC, "container",
               netns_fd, std::to_string(kNetnsFd), stdio);
}

Result<Launched> launch_within(const LaunchSpec& spec, pid_t target_pid, const Stdio& stdio) {
  return start(spec, 0, "enter", -1, std::to_string(target_pid), stdio);
}

}  // namespace mizzen::local
