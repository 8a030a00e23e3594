// The first program of a container: it builds the container's root, drops what a container must not
// have, and becomes the container's command. It runs as a process of its own
// (`mizzen-local container FD`), so that the cluster process never forks into C++ code.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/unique_fd.h"

namespace mizzen::local {

struct Mount {
  std::string source;  // an existing file or directory of the sandbox
  std::string target;  // absolute path in the container
  bool read_only = false;
};

// All that launching takes, resolved beforehand. Travels as JSON in a memfd.
struct LaunchSpec {
  std::vector<std::string> command;  // argv; [0] is looked up in PATH of `env`
  std::vector<std::pair<std::string, std::string>> env;
  std::string working_dir = "/";
  std::string hostname;
  std::vector<Mount> mounts;
  std::vector<std::pair<std::string, std::string>>
      files;                // written into the root: /etc/hosts and so on
  std::string staging_dir;  // an empty directory to build the root on
  std::string program_dir;  // Mizzen's programs, at /opt/mizzen/bin
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::vector<std::string> add_capabilities;   // "NET_ADMIN", without CAP_
  std::vector<std::string> drop_capabilities;  // or "ALL"
  bool privileged = false;
  bool no_new_privileges = false;
  bool read_only_root = false;
  bool marked_sockets = false;  // its sockets are made and marked by the cluster's process
  bool tty = false;  // standard input is a terminal's slave side: becomes the controlling one
};

std::string to_json(const LaunchSpec& spec);
Result<LaunchSpec> parse_launch_spec(std::string_view json);

struct Launched {
  pid_t pid = -1;  // a child of the caller, first process of a PID namespace of its own
  io::UniqueFd pidfd;
  io::UniqueFd sockets;  // for MarkedSockets, when those are asked for
  io::UniqueFd failure;  // reads as the reason when the command could not be started; end of file
                         // when it was
};

// Standard streams of a process to be: descriptors of the caller, duplicated into it. -1:
// /dev/null.
struct Stdio {
  int in = -1;
  int out = -1;
  int err = -1;
};

// Starts `spec` in the network namespace behind `netns_fd`. The caller reaps the child.
Result<Launched> launch(const LaunchSpec& spec, int netns_fd, const Stdio& stdio);

// Runs `spec.command` in the namespaces and root of the running container whose first process is
// `target_pid`; only command, env, working_dir, ids, capabilities and tty of `spec` count. The
// child exits with the command's exit code, 128 + signal, or 126 when it could not be started.
Result<Launched> launch_within(const LaunchSpec& spec, pid_t target_pid, const Stdio& stdio);

// Where a started process finds its end of Launched::sockets.
inline constexpr int kSocketsFd = 13;

// Main functions of `mizzen-local container SPEC_FD FAILURE_FD NETNS_FD` and
// `mizzen-local enter SPEC_FD FAILURE_FD TARGET_PID`. Return only on failure (enter: also at the
// end).
int container_main(int spec_fd, int failure_fd, int netns_fd);
int enter_main(int spec_fd, int failure_fd, pid_t target_pid);

}  // namespace mizzen::local
