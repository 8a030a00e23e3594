// The sandbox that the whole cluster lives in: user (unless root), network, mount, PID, UTS and IPC
// namespaces. Its first process is `mizzen-local inside`; when that ends, the kernel ends the rest.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/unique_fd.h"

namespace mizzen::local {

// How user ids inside relate to those outside.
enum class IdMap : std::uint8_t {
  kRoot,    // started by root: no user namespace
  kRange,   // an ordinary user with a range in /etc/subuid and /etc/subgid
  kSingle,  // an ordinary user without: every process runs as one user (degraded)
};
std::string_view to_string(IdMap map);

struct Preflight {
  IdMap ids = IdMap::kRoot;
  std::vector<std::string> missing;   // each says what to install or set; empty: good to go
  std::vector<std::string> warnings;  // degraded modes
};
// Tries what a sandbox needs in a throw-away child. Changes nothing.
Preflight preflight();

struct Sandbox {
  pid_t pid = -1;  // child of the caller
  io::UniqueFd pidfd;
};

// Starts `arguments` (argv of this same program) as first process of a new sandbox, with
// `control_fd` as descriptor 3 and standard streams as they are. It ends when the calling thread's
// process ends.
Result<Sandbox> start_sandbox(IdMap ids, std::vector<std::string> arguments, int control_fd);

// What is left to do inside, by the first process itself: private mounts, /proc, a tmpfs at
// `run_dir`, terminals.
Status set_up_sandbox_mounts(const std::string& run_dir);

}  // namespace mizzen::local
