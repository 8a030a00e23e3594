#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/fd_stream.h"
#include "io/stream.h"

namespace mizzen::io {
namespace {

Status keep_alive(int fd, const ConnectOptions::Keepalive& wanted) {
  MIZZEN_CHECKED(set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"));
  const auto set = [fd](int name, std::int64_t value, std::string_view what) -> Status {
    if (value <= 0) return {};
    constexpr std::int64_t kMost = 32767;  // the kernel takes no more
    return set_option(fd, IPPROTO_TCP, name, static_cast<int>(std::min(value, kMost)), what);
  };
  const auto seconds = [](Duration time) {
    return static_cast<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(time).count());
  };
  MIZZEN_CHECKED(set(TCP_KEEPIDLE, seconds(wanted.idle), "TCP_KEEPIDLE"));
  MIZZEN_CHECKED(set(TCP_KEEPINTVL, seconds(wanted.interval), "TCP_KEEPINTVL"));
  return set(TCP_KEEPCNT, std::min(wanted.probes, 127), "TCP_KEEPCNT");
}

Result<UniqueFd> open_socket(const Address& to, const ConnectOptions& options) {
  int family = to.is_unix() ? AF_UNIX : to.family() == Family::kIpv4 ? AF_INET : AF_INET6;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(errno_error("socket", errno));
  if (options.mark != 0) {
    MIZZEN_CHECKED(
        set_option(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(options.mark), "SO_MARK"));
  }
  if (to.is_unix()) return fd;
  if (options.no_delay) {
    MIZZEN_CHECKED(set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
  }
  if (options.keepalive) MIZZEN_CHECKED(keep_alive(fd.get(), *options.keepalive));
  if (options.transparent) {
    bool v4 = family == AF_INET;
    MIZZEN_CHECKED(set_option(fd.get(), v4 ? SOL_IP : SOL_IPV6,
                              v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1, "IP_TRANSPARENT"));
  }
  if (options.source.is_ip()) {
    if (options.source.port() == 0) {
      set_option(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
    }
    sockaddr_storage storage;
    socklen_t length = options.source.to_sockaddr(&storage);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
      return std::unexpected(errno_error("bind " + options.source.to_string(), errno));
    }
  }
  return fd;
}

class Attempt final : public Connecting, private FdHandler {
 public:
  Attempt(Loop& loop, Address to, ConnectDone done)
      : loop_(loop),
        to_(std::move(to)),
        done_(std::move(done)),
        timer_(Timer::of<&Attempt::on_timeout>(loop, this)),
        failed_(Task::of<&Attempt::on_failed>(loop, this)) {}
  ~Attempt() override {
    if (fd_) loop_.unwatch(fd_.get());
  }

  void start(const ConnectOptions& options) {
    if (auto status = try_start(options); !status) {
      error_ = std::move(status.error());
      failed_.schedule();
    }
  }

 private:
  Status try_start(const ConnectOptions& options) {
    sockaddr_storage storage;
    socklen_t length = to_.to_sockaddr(&storage);
    if (length == 0) return fail(Code::kInvalid, "cannot connect to '" + to_.to_string() + "'");
    MIZZEN_TRY(fd_, open_socket(to_, options));
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 &&
        errno != EINPROGRESS && errno != EINTR) {
      return std::unexpected(refused(errno));
    }
    MIZZEN_CHECKED(loop_.watch(fd_.get(), this));
    if (options.timeout > Duration::zero()) timer_.arm(options.timeout);
    return {};
  }

  Error refused(int errno_value) const {
    Error error = errno_error("connect to " + to_.to_string(), errno_value, Side::kUpstream);
    if (error.code != Code::kTimeout) error.code = Code::kUnavailable;
    error.retry_safe = true;
    return error;
  }

  // Nothing of this object may be touched after done(): it may be gone.
  void finish(Result<std::unique_ptr<Stream>> result) {
    timer_.cancel();
    failed_.cancel();
    auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  void fail_with(Error error) {
    if (fd_) {
      loop_.unwatch(fd_.get());
      fd_.reset();
    }
    error.retry_safe = true;
    if (error.side == Side::kInternal) error.side = Side::kUpstream;
    finish(std::unexpected(std::move(error)));
  }

  void on_failed() { fail_with(std::move(error_)); }

  void on_timeout() {
    fail_with(
        {Code::kTimeout, Side::kUpstream, true, "connect to " + to_.to_string() + ": timed out"});
  }

  void on_events(unsigned events) override {
    if ((events & (event::kWritable | event::kError | event::kHangup)) == 0) return;
    int value = 0;
    socklen_t size = sizeof value;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &value, &size);
    if (value != 0) return fail_with(refused(value));
    auto stream = std::make_unique<FdStream>(loop_, std::move(fd_), true, to_);
    if (auto status = stream->start(events); !status) return fail_with(std::move(status.error()));
    finish(std::move(stream));
  }

  Loop& loop_;
  Address to_;
  ConnectDone done_;
  Timer timer_;
  Task failed_;
  Error error_;
  UniqueFd fd_;
};

}  // namespace

std::unique_ptr<Connecting> connect(Loop& loop, const Address& to, const ConnectOptions& options,
                                    ConnectDone done) {
  auto attempt = std::make_unique<Attempt>(loop, to, std::move(done));
  attempt->start(options);
  return attempt;
}

}  // namespace mizzen::io
