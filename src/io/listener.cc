#include "io/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "io/fd_stream.h"

namespace mizzen::io {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr int kBacklog = 4096;
constexpr mode_t kSocketMode = 0600;
constexpr Duration kPauseWithoutFds = std::chrono::milliseconds(100);

Status set_options(int fd, Family family, const ListenOptions& options) {
  if (family == Family::kUnix) return {};
  bool v4 = family == Family::kIpv4;
  MIZZEN_CHECKED(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"));
  // Accepted sockets inherit it.
  MIZZEN_CHECKED(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
  if (options.reuse_port) {
    MIZZEN_CHECKED(set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"));
  }
  if (!v4) {
    MIZZEN_CHECKED(set_option(fd, SOL_IPV6, IPV6_V6ONLY, options.v6_only, "IPV6_V6ONLY"));
  }
  if (options.transparent) {
    MIZZEN_CHECKED(set_option(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1,
                              "IP_TRANSPARENT"));
  }
  return {};
}

// An old socket file stands in the way of bind; one that still answers is another's.
void remove_stale(const Address& address) {
  std::string path(address.path());
  struct stat info {};
  if (path.empty() || path[0] == '@' || ::lstat(path.c_str(), &info) != 0) return;
  if (!S_ISSOCK(info.st_mode)) return;
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage storage;
  socklen_t length = address.to_sockaddr(&storage);
  bool alive =
      ::connect(probe.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0 || errno == EAGAIN;
  if (!alive) ::unlink(path.c_str());
}

Address bound_address(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

}  // namespace

Result<UniqueFd> listen_socket(const Address& address, const ListenOptions& options) {
  sockaddr_storage storage;
  socklen_t length = address.to_sockaddr(&storage);
  if (length == 0) return fail(Code::kInvalid, "cannot listen on '" + address.to_string() + "'");
  UniqueFd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(errno_error("socket", errno));
  MIZZEN_CHECKED(set_options(fd.get(), address.family(), options));
  if (address.is_unix()) remove_stale(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return std::unexpected(errno_error("bind " + address.to_string(), errno));
  }
  if (address.is_unix() && address.path()[0] != '@') {
    ::chmod(std::string(address.path()).c_str(), kSocketMode);
  }
  if (::listen(fd.get(), kBacklog) != 0) {
    return std::unexpected(errno_error("listen on " + address.to_string(), errno));
  }
  return fd;
}

Result<std::unique_ptr<Listener>> Listener::listen(Loop& loop, const Address& address,
                                                   const ListenOptions& options, Accept accept) {
  MIZZEN_TRY(auto fd, listen_socket(address, options));
  return adopt(loop, std::move(fd), std::move(accept));
}

Result<std::unique_ptr<Listener>> Listener::adopt(Loop& loop, UniqueFd fd, Accept accept) {
  MIZZEN_CHECKED(set_nonblocking(fd.get()));
  std::unique_ptr<Listener> listener(new Listener(loop, std::move(fd), std::move(accept)));
  MIZZEN_CHECKED(loop.watch_level(listener->fd_.get(), listener.get()));
  return listener;
}

Listener::Listener(Loop& loop, UniqueFd fd, Accept accept)
    : loop_(loop),
      fd_(std::move(fd)),
      accept_(std::move(accept)),
      address_(bound_address(fd_.get())),
      retry_(Timer::of<&Listener::resume>(loop, this)) {}

Listener::~Listener() { loop_.unwatch(fd_.get()); }

void Listener::resume() {
  if (auto status = loop_.watch_level(fd_.get(), this); !status) {
    log::warning("io", "listener {}: {}", address_.to_string(), status.error().message);
    retry_.arm(kPauseWithoutFds);
  }
}

void Listener::on_events(unsigned) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage storage;
    socklen_t length = sizeof storage;
    UniqueFd fd(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      // Out of descriptors or memory: level-triggered readiness would spin.
      log::warning("io", "listener {}: {}", address_.to_string(),
                   errno_error("accept", errno).message);
      loop_.unwatch(fd_.get());
      retry_.arm(kPauseWithoutFds);
      return;
    }
    auto peer = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
    auto stream = std::make_unique<FdStream>(loop_, std::move(fd), true, std::move(peer));
    if (auto status = stream->start(0); !status) {
      log::warning("io", "listener {}: {}", address_.to_string(), status.error().message);
      continue;
    }
    accept_(std::move(stream));
  }
}

}  // namespace mizzen::io
