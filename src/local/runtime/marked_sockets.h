// Sockets of a process that bear a mark from their birth, without its doing: how a proxy is told
// from its application where all processes run as one user. The kernel asks here for each socket()
// (seccomp user notification, seccomp(2)); the socket is made here, marked, and given to it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "io/loop.h"
#include "io/unique_fd.h"

namespace mizzen::local {

// What the capture rules of a pod leave alone (`-u 1337` of istio-iptables says it for users).
inline constexpr std::uint32_t kUncapturedMark = 1337;

// In the process itself, before it gives up its capabilities: sends the kernel's end to whoever
// holds the other end of `channel` (SCM_RIGHTS). Holds for children, too.
Status ask_for_sockets(int channel);

// On the loop of the cluster; answers until destroyed, then socket() fails with ENOSYS there. Needs
// CAP_NET_ADMIN in the namespace behind `netns_fd`, which is duplicated.
class MarkedSockets final : private io::FdHandler {
 public:
  static Result<std::unique_ptr<MarkedSockets>> start(io::Loop& loop, io::UniqueFd channel,
                                                      int netns_fd, std::uint32_t mark);
  ~MarkedSockets();

 private:
  MarkedSockets(io::Loop& loop, io::UniqueFd channel, io::UniqueFd netns, std::uint32_t mark)
      : loop_(loop), channel_(std::move(channel)), netns_(std::move(netns)), mark_(mark) {}
  void on_events(unsigned events) override;
  void receive_listener();
  void answer();

  io::Loop& loop_;
  io::UniqueFd channel_;   // until the listener has come
  io::UniqueFd listener_;  // seccomp's
  io::UniqueFd netns_;
  std::uint32_t mark_;
};

}  // namespace mizzen::local
