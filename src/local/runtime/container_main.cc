// The steps that turn a fresh process into a container. Each failure goes to the failure pipe as
// one line for a person; the runtime puts it into the pod's status.
#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "local/runtime/launch.h"
#include "local/runtime/marked_sockets.h"

namespace mizzen::local {
namespace {

Status os(long result, const std::string& what) {
  if (result >= 0) return {};
  return std::unexpected(errno_error(what, errno));
}

Result<LaunchSpec> read_spec(int fd) {
  std::string text;
  char buffer[8192];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0)
    text.append(buffer, static_cast<std::size_t>(n));
  close(fd);
  return parse_launch_spec(text);
}

Status make_dirs(const std::string& path) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at);
    std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) {
      return std::unexpected(errno_error("create " + part, errno));
    }
    if (at != std::string::npos) ++at;
  }
  return {};
}

Status write_file(const std::string& path, const std::string& content, mode_t mode = 0644) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return std::unexpected(errno_error("create " + path, errno));
  ssize_t n = write(fd, content.data(), content.size());
  close(fd);
  if (n != static_cast<ssize_t>(content.size())) return fail(Code::kInternal, "write " + path);
  return {};
}

Status set_read_only(const std::string& path) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  return os(syscall(SYS_mount_setattr, AT_FDCWD, path.c_str(), AT_RECURSIVE, &attr, sizeof attr),
            "make " + path + " read-only");
}

Status bind_mount(const std::string& source, const std::string& target, bool read_only) {
  struct stat info {};
  if (stat(source.c_str(), &info) != 0) return std::unexpected(errno_error(source, errno));
  if (S_ISDIR(info.st_mode)) {
    MIZZEN_CHECKED(make_dirs(target));
  } else {
    MIZZEN_CHECKED(make_dirs(target.substr(0, target.rfind('/'))));
    int fd = open(target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) close(fd);
  }
  MIZZEN_CHECKED(os(mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr),
                    "bind " + source));
  if (read_only) MIZZEN_CHECKED(set_read_only(target));
  return {};
}

// The machine's programs and libraries, read-only; on a merged /usr the top-level names are links.
Status bind_system(const std::string& root) {
  for (const char* name : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}) {
    struct stat info {};
    if (lstat(name, &info) != 0) continue;
    if (S_ISLNK(info.st_mode)) {
      char target[256];
      ssize_t n = readlink(name, target, sizeof target - 1);
      if (n <= 0) continue;
      target[n] = 0;
      MIZZEN_CHECKED(os(symlink(target, (root + name).c_str()), std::string("link ") + name));
    } else {
      MIZZEN_CHECKED(bind_mount(name, root + name, true));
    }
  }
  for (const char* name :
       {"/etc/ssl", "/etc/ca-certificates", "/etc/alternatives", "/etc/ld.so.cache",
        "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types",
        "/etc/services", "/etc/protocols"}) {
    struct stat info {};
    if (stat(name, &info) == 0) (void)bind_mount(name, root + name, true);
  }
  return {};
}

Status make_dev(const std::string& root) {
  std::string dev = root + "/dev";
  MIZZEN_CHECKED(make_dirs(dev + "/pts"));
  MIZZEN_CHECKED(make_dirs(dev + "/shm"));
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    MIZZEN_CHECKED(bind_mount(std::string("/dev/") + name, dev + "/" + name, false));
  }
  MIZZEN_CHECKED(os(mount("devpts", (dev + "/pts").c_str(), "devpts", MS_NOSUID | MS_NOEXEC,
                          "newinstance,ptmxmode=0666,mode=0620"),
                    "mount /dev/pts"));
  MIZZEN_CHECKED(
      os(mount("shm", (dev + "/shm").c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m"),
         "mount /dev/shm"));
  (void)symlink("pts/ptmx", (dev + "/ptmx").c_str());
  (void)symlink("/proc/self/fd", (dev + "/fd").c_str());
  (void)symlink("/proc/self/fd/0", (dev + "/stdin").c_str());
  (void)symlink("/proc/self/fd/1", (dev + "/stdout").c_str());
  (void)symlink("/proc/self/fd/2", (dev + "/stderr").c_str());
  return {};
}

Status make_root(const LaunchSpec& spec) {
  const std::string& root = spec.staging_dir;
  MIZZEN_CHECKED(os(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts"));
  MIZZEN_CHECKED(
      os(mount("root", root.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256m"),
         "mount the container's root"));
  for (const char* dir : {"/etc", "/proc", "/tmp", "/run", "/var/tmp", "/var/lib", "/var/log",
                          "/var/cache", "/home", "/root", "/opt", "/srv", "/mnt", "/app"}) {
    MIZZEN_CHECKED(make_dirs(root + dir));
  }
  chmod((root + "/tmp").c_str(), 01777);
  chmod((root + "/var/tmp").c_str(), 01777);
  // Programs that do not run as root write to these in their images.
  for (const char* dir : {"/run", "/var/lib", "/var/log", "/var/cache", "/home"}) {
    chmod((root + dir).c_str(), 01777);
  }
  MIZZEN_CHECKED(os(symlink("/run", (root + "/var/run").c_str()), "link /var/run"));
  MIZZEN_CHECKED(bind_system(root));
  MIZZEN_CHECKED(bind_mount(spec.program_dir, root + "/opt/mizzen/bin", true));
  for (const auto& [path, content] : spec.files) {
    MIZZEN_CHECKED(write_file(root + path, content));
  }
  MIZZEN_CHECKED(make_dev(root));
  MIZZEN_CHECKED(
      os(mount("proc", (root + "/proc").c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
         "mount /proc"));
  for (const Mount& one : spec.mounts) {
    // A link that a volume or program put there must not lead the mount out of the root.
    std::string target = one.target.starts_with("/var/run/") ? one.target.substr(4) : one.target;
    auto status = bind_mount(one.source, root + target, one.read_only);
    if (!status) return std::unexpected(status.error().in("mount at " + one.target));
  }
  return {};
}

Status enter_root(const LaunchSpec& spec) {
  MIZZEN_CHECKED(os(chdir(spec.staging_dir.c_str()), "enter the container's root"));
  MIZZEN_CHECKED(os(syscall(SYS_pivot_root, ".", "."), "pivot_root"));
  MIZZEN_CHECKED(os(umount2(".", MNT_DETACH), "leave the old root"));
  MIZZEN_CHECKED(os(chdir("/"), "chdir /"));
  if (spec.read_only_root) {
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    (void)syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof attr);
  }
  return {};
}

constexpr std::array<const char*, 41> kCapabilities = {"CHOWN",
                                                       "DAC_OVERRIDE",
                                                       "DAC_READ_SEARCH",
                                                       "FOWNER",
                                                       "FSETID",
                                                       "KILL",
                                                       "SETGID",
                                                       "SETUID",
                                                       "SETPCAP",
                                                       "LINUX_IMMUTABLE",
                                                       "NET_BIND_SERVICE",
                                                       "NET_BROADCAST",
                                                       "NET_ADMIN",
                                                       "NET_RAW",
                                                       "IPC_LOCK",
                                                       "IPC_OWNER",
                                                       "SYS_MODULE",
                                                       "SYS_RAWIO",
                                                       "SYS_CHROOT",
                                                       "SYS_PTRACE",
                                                       "SYS_PACCT",
                                                       "SYS_ADMIN",
                                                       "SYS_BOOT",
                                                       "SYS_NICE",
                                                       "SYS_RESOURCE",
                                                       "SYS_TIME",
                                                       "SYS_TTY_CONFIG",
                                                       "MKNOD",
                                                       "LEASE",
                                                       "AUDIT_WRITE",
                                                       "AUDIT_CONTROL",
                                                       "SETFCAP",
                                                       "MAC_OVERRIDE",
                                                       "MAC_ADMIN",
                                                       "SYSLOG",
                                                       "WAKE_ALARM",
                                                       "BLOCK_SUSPEND",
                                                       "AUDIT_READ",
                                                       "PERFMON",
                                                       "BPF",
                                                       "CHECKPOINT_RESTORE"};

// What container runtimes grant by default.
constexpr std::array<const char*, 14> kDefaultCapabilities = {
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",
    "MKNOD",   "NET_RAW",      "SETGID",           "SETUID",
    "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT",
    "KILL",    "AUDIT_WRITE"};

std::uint64_t capability_bit(std::string_view name) {
  if (name.starts_with("CAP_")) name.remove_prefix(4);
  for (std::size_t i = 0; i < kCapabilities.size(); ++i) {
    if (name == kCapabilities[i]) return 1ULL << i;
  }
  return 0;
}

std::uint64_t wanted_capabilities(const LaunchSpec& spec) {
  if (spec.privileged) return ~0ULL;
  std::uint64_t wanted = 0;
  for (const char* name : kDefaultCapabilities) wanted |= capability_bit(name);
  for (const std::string& name : spec.drop_capabilities) {
    wanted &= name == "ALL" ? 0 : ~capability_bit(name);
  }
  for (const std::string& name : spec.add_capabilities) {
    wanted |= name == "ALL" ? ~0ULL : capability_bit(name);
  }
  return wanted;
}

// Programs reopen their output by /dev/stdout, which only the pipe's owner may.
void give_output_away(const LaunchSpec& spec) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat about {};
    if (fstat(fd, &about) != 0) continue;
    if (S_ISFIFO(about.st_mode) || isatty(fd) == 1) (void)!fchown(fd, spec.uid, spec.gid);
  }
}

Status drop_privileges(const LaunchSpec& spec) {
  give_output_away(spec);
  if (spec.marked_sockets) MIZZEN_CHECKED(ask_for_sockets(kSocketsFd));
  close(kSocketsFd);
  std::uint64_t wanted = wanted_capabilities(spec);
  for (unsigned i = 0; i < kCapabilities.size(); ++i) {
    if ((wanted >> i & 1) == 0) prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
  }
  std::vector<gid_t> groups(spec.groups.begin(), spec.groups.end());
  if (setgroups(groups.size(), groups.data()) != 0 && errno != EPERM) {
    return std::unexpected(errno_error("setgroups", errno));
  }
  MIZZEN_CHECKED(
      os(setresgid(spec.gid, spec.gid, spec.gid), fmt::format("run as group {}", spec.gid)));
  MIZZEN_CHECKED(
      os(setresuid(spec.uid, spec.uid, spec.uid), fmt::format("run as user {}", spec.uid)));
  if (spec.no_new_privileges) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return {};
}

std::string find_program(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) return name;
  for (std::string_view dir : split(path, ':')) {
    std::string candidate = std::string(dir) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

// Returns only on failure.
Status run_command(const LaunchSpec& spec) {
  std::vector<std::string> env_text;
  std::string path = "/opt/mizzen/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  bool has_path = false;
  for (const auto& [name, value] : spec.env) {
    if (name == "PATH") {
      path = value;
      has_path = true;
    }
    env_text.push_back(name + "=" + value);
  }
  if (!has_path) env_text.push_back("PATH=" + path);
  if (chdir(spec.working_dir.c_str()) != 0) {
    return std::unexpected(errno_error("working directory " + spec.working_dir, errno));
  }
  std::string program = find_program(spec.command[0], path);
  if (program.empty()) {
    return fail(Code::kNotFound,
                fmt::format("exec: \"{}\": executable file not found in $PATH", spec.command[0]));
  }
  std::vector<char*> argv;
  for (const std::string& arg : spec.command) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (const std::string& one : env_text) envp.push_back(const_cast<char*>(one.c_str()));
  envp.push_back(nullptr);
  umask(022);
  execve(program.c_str(), argv.data(), envp.data());
  return std::unexpected(errno_error(fmt::format("exec: \"{}\"", spec.command[0]), errno));
}

int report(int failure_fd, const Error& error) {
  (void)!write(failure_fd, error.message.data(), error.message.size());
  return 126;
}

Status become_container(const LaunchSpec& spec, int netns_fd) {
  if (spec.command.empty()) return fail(Code::kInvalid, "no command");
  MIZZEN_CHECKED(os(setns(netns_fd, CLONE_NEWNET), "enter the pod's network"));
  close(netns_fd);
  MIZZEN_CHECKED(os(sethostname(spec.hostname.data(), spec.hostname.size()), "set the host name"));
  MIZZEN_CHECKED(make_root(spec));
  MIZZEN_CHECKED(enter_root(spec));
  setsid();
  if (spec.tty) ioctl(0, TIOCSCTTY, 0);
  MIZZEN_CHECKED(make_dirs(spec.working_dir));
  MIZZEN_CHECKED(drop_privileges(spec));
  return run_command(spec);
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Status enter_namespaces(pid_t target_pid) {
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, target_pid, 0));
  MIZZEN_CHECKED(os(pidfd, "container has ended"));
  MIZZEN_CHECKED(
      os(setns(pidfd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC),
         "enter the container"));
  close(pidfd);
  return {};
}

}  // namespace

int container_main(int spec_fd, int failure_fd, int netns_fd) {
  fcntl(failure_fd, F_SETFD, FD_CLOEXEC);
  auto spec = read_spec(spec_fd);
  if (!spec) return report(failure_fd, spec.error());
  auto status = become_container(*spec, netns_fd);
  return report(failure_fd, status.error());
}

int enter_main(int spec_fd, int failure_fd, pid_t target_pid) {
  fcntl(failure_fd, F_SETFD, FD_CLOEXEC);
  auto spec = read_spec(spec_fd);
  if (!spec) return report(failure_fd, spec.error());
  if (auto status = enter_namespaces(target_pid); !status)
    return report(failure_fd, status.error());
  // A PID namespace counts for children only.
  pid_t child = fork();
  if (child < 0) return report(failure_fd, errno_error("fork", errno));
  if (child == 0) {
    setsid();
    if (spec->tty) ioctl(0, TIOCSCTTY, 0);
    auto status = drop_privileges(*spec);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // after the change of ids, which clears it
    if (status) status = run_command(*spec);
    _exit(report(failure_fd, status.error()));
  }
  close(failure_fd);
  for (int fd = 0; fd < 3; ++fd) close(fd);
  return wait_for(child);
}

}  // namespace mizzen::local
