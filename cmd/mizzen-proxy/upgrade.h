// A new program takes the place of a running one without cutting a connection: the running one
// starts it as a child and hands it its listening sockets (SCM_RIGHTS on a socket pair); both
// accept until the new one says that it is ready; then the old one stops accepting and serves what
// it has until that has ended. Main thread only.
//
// Messages, one per packet: "S<key>" with up to 16 sockets of a listener's address, "E" after the
// last of them, "R" from the new one: ready, "G" from the old one: it has let go of its pages'
// ports.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/unique_fd.h"
#include "proxy/data_plane.h"

namespace mizzen {

// The old one's side.
class Successor final : private io::FdHandler {
 public:
  struct Hooks {
    std::function<void()> ready;                   // let go of the ports: "G" is sent after it
    std::function<void(const std::string&)> lost;  // it ended before it was ready, and why
  };
  // Starts `arguments` (argv, the program's path first) and sends `sockets`.
  static Result<std::unique_ptr<Successor>> start(io::Loop& loop,
                                                  const std::vector<std::string>& arguments,
                                                  proxy::SocketsByKey sockets, Hooks hooks);
  ~Successor();
  pid_t pid() const { return pid_; }

 private:
  Successor(io::Loop& loop, io::UniqueFd socket, pid_t pid, Hooks hooks);
  void on_events(unsigned events) override;
  void give_up(std::string why);

  io::Loop& loop_;
  io::UniqueFd socket_;
  const pid_t pid_;
  Hooks hooks_;
  io::TimerId limit_ = 0;
  bool over_ = false;
};

// The new one's side.
class Predecessor {
 public:
  // Nothing when this process was not started as a successor. Blocks until all sockets are here.
  static Result<std::optional<Predecessor>> from_environment();
  proxy::SocketsByKey take_sockets() { return std::move(sockets_); }
  // Says that this process is ready, and waits until the other one has let go of its ports (or is
  // gone).
  void say_ready();

 private:
  explicit Predecessor(io::UniqueFd socket) : socket_(std::move(socket)) {}
  io::UniqueFd socket_;
  proxy::SocketsByKey sockets_;
};

// Which generation of this proxy the process is: 0 for the first.
unsigned restart_epoch();
// Whether somebody who stays waits for this process: it may end once it has been replaced.
bool is_attended();

// What a first process becomes when it has handed over: waits for its children, passes SIGTERM and
// SIGINT on to them, and ends as the last one did. A container lives as long as its first process.
int attend();
// Replaces this process by one that attends; returns only when that fails.
void become_attendant(const std::string& program);

// Sends it to all processes that this one started or has come to look after.
void signal_children(int signal);

// argv of this process, its program as a path that a new binary may have taken meanwhile.
std::vector<std::string> own_arguments();

}  // namespace mizzen
