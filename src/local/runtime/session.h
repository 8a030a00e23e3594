// Log reads and commands in running containers, as the API server streams them.
#pragma once

#include <functional>
#include <memory>

#include "io/loop.h"
#include "local/apiserver/pod_access.h"
#include "local/runtime/container.h"

namespace mizzen::local {

// The container's log, of this run or the one before.
std::unique_ptr<PodSession> open_log_session(io::Loop& loop, Container& container,
                                             const LogOptions& options, PodSessionEvents events);

// The container's streams as they are from now on.
std::unique_ptr<PodSession> open_attach_session(io::Loop& loop, Container& container,
                                                PodSessionEvents events);

using WatchChild = std::function<void(pid_t, std::function<void(int)>)>;

// A command in the container's namespaces; killed when the session is destroyed.
Result<std::unique_ptr<PodSession>> open_exec_session(io::Loop& loop, Container& container,
                                                      const ExecOptions& options,
                                                      PodSessionEvents events,
                                                      const WatchChild& watch_child);

}  // namespace mizzen::local
