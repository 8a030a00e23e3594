#include "local/runtime/marked_sockets.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "base/log.h"
#include "io/datagram.h"
#include "local/network/pod_network.h"

namespace mizzen::local {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// Of all system calls only socket() of the internet families is asked about.
Result<io::UniqueFd> install_filter() {
  constexpr auto kArch = static_cast<std::uint32_t>(offsetof(seccomp_data, arch));
  constexpr auto kNumber = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  constexpr auto kFamily = static_cast<std::uint32_t>(offsetof(seccomp_data, args));
  std::array<sock_filter, 9> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kArch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 6),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFamily),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const long fd =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (fd < 0) return std::unexpected(errno_error("seccomp", errno));
  return io::UniqueFd(static_cast<int>(fd));
}

}  // namespace

Status ask_for_sockets(int channel) {
  MIZZEN_TRY(io::UniqueFd listener, install_filter());
  const std::byte word{1};
  const int fd = listener.get();
  return io::send_fds(channel, std::span(&word, 1), std::span(&fd, 1));
}

Result<std::unique_ptr<MarkedSockets>> MarkedSockets::start(io::Loop& loop, io::UniqueFd channel,
                                                            int netns_fd, std::uint32_t mark) {
  io::UniqueFd netns(fcntl(netns_fd, F_DUPFD_CLOEXEC, 3));
  if (!netns) return std::unexpected(errno_error("keep the network namespace", errno));
  MIZZEN_CHECKED(io::set_nonblocking(channel.get()));
  auto made = std::unique_ptr<MarkedSockets>(
      new MarkedSockets(loop, std::move(channel), std::move(netns), mark));
  MIZZEN_CHECKED(loop.watch_level(made->channel_.get(), made.get()));
  return made;
}

MarkedSockets::~MarkedSockets() {
  if (channel_) loop_.unwatch(channel_.get());
  if (listener_) loop_.unwatch(listener_.get());
}

void MarkedSockets::on_events(unsigned events) {
  if (!listener_) return receive_listener();
  if ((events & io::event::kReadable) != 0) return answer();
  // The last process with this filter is gone: asking now would block.
  loop_.unwatch(listener_.get());
  listener_.reset();
}

void MarkedSockets::receive_listener() {
  std::array<std::byte, 8> buffer;
  auto received = io::recv_fds(channel_.get(), buffer);
  if (!received && received.error().code == Code::kUnavailable) return;
  loop_.unwatch(channel_.get());
  channel_.reset();
  if (!received || received->fds.empty()) return;  // the process has ended before
  listener_ = std::move(received->fds[0]);
  if (auto status = loop_.watch_level(listener_.get(), this); !status) {
    log::error("runtime", "sockets of a proxy: {}", status.error().message);
  }
}

void MarkedSockets::answer() {
  seccomp_notif asked{};
  if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
    return;  // who asked has been killed
  }
  const auto family = static_cast<int>(asked.data.args[0]);
  const auto type = static_cast<int>(asked.data.args[1]);
  int error = 0;
  io::UniqueFd made;
  auto status = within_netns(netns_.get(), [&]() -> Status {
    made.reset(socket(family, type | SOCK_CLOEXEC, static_cast<int>(asked.data.args[2])));
    if (!made) error = errno;
    return {};
  });
  if (!status && error == 0) error = EACCES;
  if (made && setsockopt(made.get(), SOL_SOCKET, SO_MARK, &mark_, sizeof mark_) != 0) error = errno;
  if (error == 0) {
    seccomp_notif_addfd given{};
    given.id = asked.id;
    given.flags = SECCOMP_ADDFD_FLAG_SEND;
    given.srcfd = static_cast<std::uint32_t>(made.get());
    given.newfd_flags = (type & SOCK_CLOEXEC) != 0 ? O_CLOEXEC : 0;
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &given) >= 0) return;
    error = errno;
  }
  seccomp_notif_resp answer{};
  answer.id = asked.id;
  answer.error = -error;
  (void)ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

}  // namespace mizzen::local
