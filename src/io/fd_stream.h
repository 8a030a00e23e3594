// Internal to io: a Stream on a descriptor.
#pragma once

#include "io/stream.h"

namespace mizzen::io {

class FdStream final : public Stream, private FdHandler {
 public:
  // `fd` is non-blocking.
  FdStream(Loop& loop, UniqueFd fd, bool is_socket, Address peer);
  ~FdStream() override;
  Status start(unsigned events);  // readiness that is known already

  void set_handler(StreamHandler* handler) override;
  IoResult read(std::span<std::byte> buffer) override;
  bool drained() const override { return !readable_ && !peeked_ && !eof_ && !error_; }
  IoResult peek(std::span<std::byte> buffer) override;
  IoResult write(std::span<const iovec> pieces) override;
  void end_follows() override { end_follows_ = true; }
  void shutdown_write() override;
  void abort() override;
  void pause_reading(bool paused) override;
  Address local() const override;
  Address peer() const override { return peer_; }
  Result<Address> original_dst() const override;
  const Error& error() const override;
  UniqueFd release_fd() override;
  int fd() const override { return fd_.get(); }

 private:
  void on_events(unsigned events) override;
  void foresee(unsigned others) const override;
  void note(unsigned events);
  void dispatch();
  void notify_soon();
  IoResult broken(int errno_value, std::string_view what);
  IoResult finish_read(ssize_t got, std::size_t asked);
  void fail_from_socket();

  Loop& loop_;
  StreamHandler* handler_ = nullptr;
  Task notify_;
  std::unique_ptr<Error> error_;
  Address peer_;
  UniqueFd fd_;
  bool is_socket_;
  bool readable_ = false;
  bool writable_ = true;
  bool peeked_ = false;  // what is there was seen by peek(); told again when more comes
  bool hangup_ = false;
  bool hangup_told_ = false;
  bool failed_ = false;  // epoll has reported an error that nobody was told of
  bool eof_ = false;
  bool paused_ = false;
  bool wants_write_ = false;
  bool end_follows_ = false;
  bool write_ended_ = false;
};

}  // namespace mizzen::io
