#include "io/fd_stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/prefetch.h"

namespace mizzen::io {
namespace {

constexpr std::size_t kMaxPieces = 64;
// SO_ORIGINAL_DST of linux/netfilter_ipv4.h and IP6T_SO_ORIGINAL_DST of ip6_tables.h, whose headers
// clash with netinet/in.h.
constexpr int kOriginalDst = 80;

const Error& no_error() {
  static const Error kNone{Code::kClosed, Side::kInternal, false, "closed here"};
  return kNone;
}

}  // namespace

IoResult Stream::write(std::string_view bytes) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return write(std::span<const iovec>(&piece, 1));
}

Result<std::unique_ptr<Stream>> adopt(Loop& loop, UniqueFd fd) {
  MIZZEN_CHECKED(set_nonblocking(fd.get()));
  struct stat info {};
  bool is_socket = ::fstat(fd.get(), &info) == 0 && S_ISSOCK(info.st_mode);
  Address peer;
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (is_socket && ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0) {
    peer = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  }
  auto stream = std::make_unique<FdStream>(loop, std::move(fd), is_socket, std::move(peer));
  MIZZEN_CHECKED(stream->start(0));
  return stream;
}

FdStream::FdStream(Loop& loop, UniqueFd fd, bool is_socket, Address peer)
    : loop_(loop),
      notify_(Task::of<&FdStream::dispatch>(loop, this)),
      peer_(std::move(peer)),
      fd_(std::move(fd)),
      is_socket_(is_socket) {}

FdStream::~FdStream() {
  if (fd_) loop_.unwatch(fd_.get());
}

Status FdStream::start(unsigned events) {
  note(events);
  return loop_.watch(fd_.get(), this);
}

void FdStream::note(unsigned events) {
  if (events & event::kReadable) readable_ = true;
  if (events & event::kWritable) writable_ = true;
  if (events & event::kHangup) readable_ = hangup_ = true;
  if (events & event::kError) readable_ = writable_ = failed_ = true;
}

void FdStream::foresee(unsigned others) const {
  if (handler_ == nullptr) return;
  if (others > 0) return prefetch(handler_, 4 * kCacheLine);
  handler_->foresee();
}

void FdStream::on_events(unsigned events) {
  note(events);
  dispatch();
}

void FdStream::notify_soon() {
  if (handler_ != nullptr && fd_) notify_.schedule();
}

// The handler may change itself, pause, or take the descriptor in each call: look again every time.
void FdStream::dispatch() {
  if (handler_ != nullptr && wants_write_ && writable_ && !error_) {
    wants_write_ = false;
    handler_->on_writable();
  }
  if (handler_ != nullptr && readable_ && !paused_ && !error_ && !eof_) {
    handler_->on_readable();
    if (readable_ && !paused_ && !error_ && !eof_) notify_soon();
  }
  // Nobody reads, so that no read() can tell.
  if (handler_ != nullptr && (paused_ || eof_) && !error_ && fd_) {
    if (failed_) {
      fail_from_socket();
    } else if (paused_ && hangup_ && !hangup_told_) {
      hangup_told_ = true;
      handler_->on_hangup();
    }
  }
}

void FdStream::fail_from_socket() {
  failed_ = false;
  int value = 0;
  socklen_t length = sizeof value;
  if (!is_socket_) {
    value = EPIPE;
  } else if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &value, &length) != 0 || value == 0) {
    return;
  }
  broken(value, "connection");
  handler_->on_error(*error_);
}

void FdStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  if (handler == nullptr) return notify_.cancel();
  if (peeked_) readable_ = true;
  if (readable_ || (wants_write_ && writable_)) notify_soon();
}

void FdStream::pause_reading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (peeked_) readable_ = true;
  if (readable_ || hangup_) notify_soon();
}

IoResult FdStream::broken(int errno_value, std::string_view what) {
  if (!error_) error_ = std::make_unique<Error>(errno_error(what, errno_value));
  return {0, IoStatus::kError};
}

IoResult FdStream::finish_read(ssize_t got, std::size_t asked) {
  if (got > 0) {
    // A short read has emptied a socket; the end, if known to stand behind, is still to be read.
    if (is_socket_ && static_cast<std::size_t>(got) < asked && !hangup_ && !failed_) {
      readable_ = false;
    }
    return {static_cast<std::size_t>(got), IoStatus::kOk};
  }
  if (got == 0 || (errno == EIO && !is_socket_)) {  // a terminal whose other side is gone says EIO
    eof_ = true;
    return {0, IoStatus::kEof};
  }
  if (errno == EAGAIN || errno == EINTR) {
    readable_ = errno == EINTR;
    return {0, IoStatus::kWouldBlock};
  }
  return broken(errno, "read");
}

IoResult FdStream::read(std::span<std::byte> buffer) {
  if (error_ || !fd_) return {0, IoStatus::kError};
  if (eof_) return {0, IoStatus::kEof};
  if (peeked_) {
    peeked_ = false;
    readable_ = true;
  }
  if (!readable_) return {0, IoStatus::kWouldBlock};
  ssize_t got = is_socket_ ? ::recv(fd_.get(), buffer.data(), buffer.size(), 0)
                           : ::read(fd_.get(), buffer.data(), buffer.size());
  return finish_read(got, buffer.size());
}

IoResult FdStream::peek(std::span<std::byte> buffer) {
  if (error_ || !fd_ || !is_socket_) return {0, IoStatus::kError};
  if (eof_) return {0, IoStatus::kEof};
  if (!readable_ && !peeked_) return {0, IoStatus::kWouldBlock};
  ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_PEEK);
  if (got > 0) {
    peeked_ = true;
    // The end behind bytes that were seen would be told turn after turn; hangup_ has it.
    readable_ = false;
    bool last = hangup_ && static_cast<std::size_t>(got) < buffer.size();
    return {static_cast<std::size_t>(got), last ? IoStatus::kEof : IoStatus::kOk};
  }
  peeked_ = false;
  return finish_read(got, buffer.size());
}

IoResult FdStream::write(std::span<const iovec> pieces) {
  if (error_ || !fd_) return {0, IoStatus::kError};
  if (write_ended_) return broken(EPIPE, "write");
  const int flags = MSG_NOSIGNAL | (end_follows_ ? MSG_MORE : 0);
  std::size_t total = 0;
  while (!pieces.empty()) {
    if (!writable_) {
      wants_write_ = true;
      return {total, total > 0 ? IoStatus::kOk : IoStatus::kWouldBlock};
    }
    auto some = pieces.first(std::min(pieces.size(), kMaxPieces));
    std::size_t asked = 0;
    for (const iovec& piece : some) asked += piece.iov_len;
    ssize_t sent;
    if (is_socket_ && some.size() == 1) {
      sent = ::send(fd_.get(), some[0].iov_base, asked, flags);
    } else if (is_socket_) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(some.data());
      message.msg_iovlen = some.size();
      sent = ::sendmsg(fd_.get(), &message, flags);
    } else {
      sent = ::writev(fd_.get(), some.data(), static_cast<int>(some.size()));
    }
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return broken(errno, "write");
      writable_ = false;
      continue;
    }
    total += static_cast<std::size_t>(sent);
    if (static_cast<std::size_t>(sent) < asked) {
      writable_ = false;
      wants_write_ = true;
      break;
    }
    pieces = pieces.subspan(some.size());
  }
  return {total, IoStatus::kOk};
}

void FdStream::shutdown_write() {
  if (write_ended_ || !fd_) return;
  write_ended_ = true;
  if (is_socket_) ::shutdown(fd_.get(), SHUT_WR);
}

void FdStream::abort() {
  if (!fd_ || !is_socket_) return;
  linger reset{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

Address FdStream::local() const {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (!fd_ || ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return {};
  }
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

Result<Address> FdStream::original_dst() const {
  if (!fd_ || !is_socket_) return fail(Code::kNotFound, "not a socket");
  Address here = local();
  if (!here.is_ip()) return fail(Code::kNotFound, "not an IP socket");
  bool v4 = here.family() == Family::kIpv4;
  int transparent = 0;
  socklen_t size = sizeof transparent;
  if (::getsockopt(fd_.get(), v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT,
                   &transparent, &size) == 0 &&
      transparent != 0) {
    return here;
  }
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  int status = v4 ? ::getsockopt(fd_.get(), SOL_IP, kOriginalDst, &storage, &length)
                  : ::getsockopt(fd_.get(), SOL_IPV6, kOriginalDst, &storage, &length);
  if (status != 0) return fail(Code::kNotFound, "the connection was not redirected");
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

const Error& FdStream::error() const { return error_ ? *error_ : no_error(); }

UniqueFd FdStream::release_fd() {
  if (fd_) loop_.unwatch(fd_.get());
  notify_.cancel();
  return std::move(fd_);
}

}  // namespace mizzen::io
