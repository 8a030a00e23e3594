#include "local/runtime/sandbox.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "base/strings.h"

extern char** environ;

namespace mizzen::local {
namespace {

constexpr unsigned kNamespaces =
    CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

struct IdRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// The largest range that `path` (subuid(5)) gives the user, by name or number.
IdRange subordinate_range(const char* path) {
  IdRange best;
  const passwd* user = getpwuid(getuid());
  std::string name = user != nullptr ? user->pw_name : "";
  std::string number = std::to_string(getuid());
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    auto parts = split(line, ':');
    if (parts.size() != 3 || (parts[0] != name && parts[0] != number)) continue;
    auto first = parse_int<std::uint64_t>(parts[1]);
    auto count = parse_int<std::uint64_t>(trim(parts[2]));
    if (first && count && *count > best.count) best = {*first, *count};
  }
  return best;
}

std::string program_path(const char* name) {
  for (const char* dir : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/"}) {
    std::string path = std::string(dir) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

// Ids up to 65535 at least: 1337 for proxies, 10001 and the like for applications, 65534 for
// nobody.
constexpr std::uint64_t kIdsNeeded = 65536 - 1;

IdMap plan_ids() {
  if (geteuid() == 0) return IdMap::kRoot;
  bool tools = !program_path("newuidmap").empty() && !program_path("newgidmap").empty();
  bool ranges = subordinate_range("/etc/subuid").count >= kIdsNeeded &&
                subordinate_range("/etc/subgid").count >= kIdsNeeded;
  return tools && ranges ? IdMap::kRange : IdMap::kSingle;
}

Status run(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& one : arguments) argv.push_back(one.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  int error = posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
  if (error != 0) return std::unexpected(errno_error(arguments[0], error));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Code::kDenied, fmt::format("{} failed with status {}", arguments[0], status));
}

Status write_proc(pid_t pid, const char* file, const std::string& text) {
  std::string path = fmt::format("/proc/{}/{}", pid, file);
  io::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) < 0) {
    return std::unexpected(errno_error("write " + path, errno));
  }
  return {};
}

Status map_ids(IdMap ids, pid_t pid) {
  if (ids == IdMap::kRoot) return {};
  if (ids == IdMap::kSingle) {
    MIZZEN_CHECKED(write_proc(pid, "setgroups", "deny"));
    MIZZEN_CHECKED(write_proc(pid, "uid_map", fmt::format("0 {} 1", getuid())));
    return write_proc(pid, "gid_map", fmt::format("0 {} 1", getgid()));
  }
  IdRange users = subordinate_range("/etc/subuid");
  IdRange groups = subordinate_range("/etc/subgid");
  auto arguments = [pid](const char* tool, unsigned own, IdRange range) {
    return std::vector<std::string>{
        program_path(tool),          std::to_string(pid),        "0", std::to_string(own), "1", "1",
        std::to_string(range.first), std::to_string(range.count)};
  };
  MIZZEN_CHECKED(run(arguments("newuidmap", getuid(), users)));
  return run(arguments("newgidmap", getgid(), groups));
}

// The new first process, until exec: waits for its ids, then becomes user 0 of the sandbox.
[[noreturn]] void enter_sandbox(int ready_fd, int control_fd, bool user_namespace,
                                char* const argv[]) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  char go = 0;
  if (read(ready_fd, &go, 1) != 1) _exit(1);
  if (user_namespace && (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)) _exit(1);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // changing ids has cleared it
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (control_fd != 3)
    dup2(control_fd, 3);
  else
    fcntl(3, F_SETFD, 0);
  close_range(4, ~0U, 0);
  sethostname("mizzen", 6);
  execv("/proc/self/exe", argv);
  _exit(1);
}

// Makes every namespace in a child and tells the errno of what failed; 0 when all went well.
int try_namespaces() {
  unsigned flags = kNamespaces | (geteuid() == 0 ? 0U : unsigned{CLONE_NEWUSER});
  long pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return errno;
  if (pid == 0) _exit(0);
  int status = 0;
  while (waitpid(static_cast<pid_t>(pid), &status, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

std::string read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string why_no_namespaces(int error) {
  if (read_line("/proc/sys/user/max_user_namespaces") == "0") {
    return "user namespaces are switched off: sudo sysctl user.max_user_namespaces=15000";
  }
  if (read_line("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    return "user namespaces are not for ordinary users here: sudo sysctl "
           "kernel.unprivileged_userns_clone=1";
  }
  if (read_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "AppArmor keeps user namespaces from ordinary users: sudo sysctl "
           "kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return fmt::format(
      "this machine refuses new namespaces ({}); inside a container it takes "
      "--security-opt seccomp=unconfined or --privileged",
      errno_error("clone", error).message);
}

}  // namespace

std::string_view to_string(IdMap map) {
  switch (map) {
    case IdMap::kRoot:
      return "root";
    case IdMap::kRange:
      return "user";
    case IdMap::kSingle:
      return "user, one id for all (no subordinate ids)";
  }
  return "";
}

Preflight preflight() {
  Preflight result;
  result.ids = plan_ids();
  if (access("/usr/sbin/nft", X_OK) != 0) {
    result.missing.push_back("nft is not installed: sudo apt-get install nftables");
  }
  if (int error = try_namespaces(); error != 0) result.missing.push_back(why_no_namespaces(error));
  if (result.ids == IdMap::kSingle) {
    result.warnings.push_back(fmt::format(
        "no subordinate ids: every process of the cluster runs as one user, and runAsUser is not "
        "kept. For separate ones: "
        "sudo "
        "apt-get install uidmap; sudo usermod --add-subuids 100000-165535 --add-subgids "
        "100000-165535 {}",
        getpwuid(getuid()) != nullptr ? getpwuid(getuid())->pw_name : "USER"));
  }
  return result;
}

Result<Sandbox> start_sandbox(IdMap ids, std::vector<std::string> arguments, int control_fd) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
  io::UniqueFd ready_read(ready[0]);
  io::UniqueFd ready_write(ready[1]);
  std::vector<char*> argv;
  for (std::string& one : arguments) argv.push_back(one.data());
  argv.push_back(nullptr);
  bool user_namespace = ids != IdMap::kRoot;
  unsigned flags = kNamespaces | CLONE_PIDFD | (user_namespace ? unsigned{CLONE_NEWUSER} : 0U);
  int pidfd = -1;
  long pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
  if (pid < 0) return std::unexpected(errno_error("create the sandbox's namespaces", errno));
  if (pid == 0) {
    close(ready_write.get());
    enter_sandbox(ready_read.get(), control_fd, user_namespace, argv.data());
  }
  Sandbox sandbox{static_cast<pid_t>(pid), io::UniqueFd(pidfd)};
  if (auto status = map_ids(ids, sandbox.pid); !status) {
    kill(sandbox.pid, SIGKILL);
    return std::unexpected(status.error().in("map user ids"));
  }
  (void)!write(ready_write.get(), "1", 1);
  return sandbox;
}

Status set_up_sandbox_mounts(const std::string& run_dir) {
  auto check = [](int result, const char* what) -> Status {
    if (result == 0) return {};
    return std::unexpected(errno_error(what, errno));
  };
  MIZZEN_CHECKED(
      check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts"));
  MIZZEN_CHECKED(check(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
                       "mount /proc"));
  MIZZEN_CHECKED(check(mount("mizzen", run_dir.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
                       "mount the run directory"));
  MIZZEN_CHECKED(check(mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                             "newinstance,ptmxmode=0666,mode=0620"),
                       "mount /dev/pts"));
  return {};
}

}  // namespace mizzen::local
