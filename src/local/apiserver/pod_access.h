// What the API server asks of the runtime: into running containers, and to addresses of the
// cluster's network. The runtime implements it (src/local/runtime).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/stream.h"

namespace mizzen::local {

struct ContainerRef {
  std::string ns;
  std::string pod;
  std::string container;  // init containers too; never "" (the API server fills in the default)
};

struct LogOptions {
  bool follow = false;
  bool previous = false;
  bool timestamps = false;  // each line led by RFC 3339 with nanoseconds
  std::optional<std::int64_t> tail_lines;
  std::optional<std::int64_t> limit_bytes;
  std::optional<WallTime> since;
};

struct ExecOptions {
  std::vector<std::string> command;
  bool tty = false;  // then standard error goes to on_stdout
  bool with_stdin = false;
};

struct ExitResult {
  int exit_code = 0;
  std::string error;  // not "": the command could not be run, or was lost
};

// A running log read, exec or attach. Destroying it ends it (exec: kills the command; attach: lets
// go). Callbacks come from the loop, never from inside a call, and not after destruction; they may
// destroy the session by io::Loop::dispose() only.
class PodSession {
 public:
  virtual ~PodSession() = default;
  virtual void write_stdin(std::string_view) {}
  virtual void close_stdin() {}
  virtual void resize(int /*columns*/, int /*rows*/) {}
  // Back-pressure: while paused nothing is read from the container.
  virtual void pause(bool) {}
};

struct PodSessionEvents {
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
  std::function<void(ExitResult)> on_exit;  // last and once; logs: at the end of what there is
};

class PodAccess {
 public:
  virtual ~PodAccess() = default;

  // Errors: kNotFound (no such container), kUnavailable (it is not running yet; says what it waits
  // for).
  virtual Result<std::unique_ptr<PodSession>> logs(const ContainerRef& where,
                                                   const LogOptions& options,
                                                   PodSessionEvents events) = 0;
  virtual Result<std::unique_ptr<PodSession>> exec(const ContainerRef& where,
                                                   const ExecOptions& options,
                                                   PodSessionEvents events) = 0;
  virtual Result<std::unique_ptr<PodSession>> attach(const ContainerRef& where,
                                                     const ExecOptions& options,
                                                     PodSessionEvents events) = 0;

  // A connection to 127.0.0.1:`port` (as port-forward has it) inside the pod's network.
  virtual void port_forward(const std::string& ns, const std::string& pod, std::uint16_t port,
                            io::ConnectDone done) = 0;
  // A connection from the cluster's own side to an address of the pod network (webhooks, proxy).
  virtual void dial(const std::string& ip, std::uint16_t port, io::ConnectDone done) = 0;
};

}  // namespace mizzen::local
