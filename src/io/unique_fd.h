// Ownership of a file descriptor, and passing descriptors between processes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mizzen::io {

// Owns one descriptor and closes it once.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// O_NONBLOCK and FD_CLOEXEC.
Status set_nonblocking(int fd);
// setsockopt(2) of an int; `what` names the option in the error.
Status set_option(int fd, int level, int name, int value, std::string_view what);

// Sends `bytes` (at least one, at most 64 KiB) with up to 16 descriptors in one message on a UNIX
// socket (SCM_RIGHTS). The descriptors stay the caller's. kUnavailable when the socket is full.
Status send_fds(int socket, std::span<const std::byte> bytes, std::span<const int> fds);

struct ReceivedFds {
  std::size_t bytes = 0;  // 0: the peer has closed
  std::vector<UniqueFd> fds;
};
// Receives one message into `buffer`; descriptors come close-on-exec. kUnavailable when nothing is
// there yet on a non-blocking socket.
Result<ReceivedFds> recv_fds(int socket, std::span<std::byte> buffer);

}  // namespace mizzen::io
