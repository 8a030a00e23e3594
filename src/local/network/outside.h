// The one process of the cluster that stays outside the sandbox, and how the inside asks it: for
// connections and names of the machine's own network, and for listening sockets there. One JSON
// message per datagram on a SOCK_SEQPACKET pair; descriptors ride along (SCM_RIGHTS).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "io/address.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/unique_fd.h"

namespace mizzen::local {

// The inside's end. Loop thread only.
class Outside final : private io::FdHandler {
 public:
  using FdDone = std::function<void(Result<io::UniqueFd>)>;
  using BytesDone = std::function<void(Result<std::string>)>;

  // `on_closed`: the process outside is gone.
  Outside(io::Loop& loop, io::UniqueFd socket, std::function<void()> on_closed);
  ~Outside();

  // A TCP connection from the machine's network. Errors as the kernel's outside.
  void connect(const io::Address& to, FdDone done);
  // A DNS query (wire format) to the machine's resolvers, and the answer.
  void resolve(std::string_view query, BytesDone done);
  // A listening TCP socket outside; with `or_any`, on a port of the kernel's choice when that one
  // is taken.
  void listen(const io::Address& where, bool or_any, FdDone done);

  // For the person at the terminal: one line of progress; the end of starting, well or not.
  void progress(std::string_view line);
  void started(std::string_view summary);
  void failed(std::string_view why);

 private:
  struct Waiting {
    FdDone fd;
    BytesDone bytes;
  };
  void on_events(unsigned events) override;
  void receive_one(std::string_view text, std::vector<io::UniqueFd> fds);
  std::uint64_t expect(Waiting waiting);

  io::Loop& loop_;
  io::UniqueFd socket_;
  std::function<void()> on_closed_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
  std::uint64_t last_id_ = 0;
};

struct OutsideEvents {
  std::function<void(std::string_view line)> progress;
  std::function<void(std::string_view summary)> started;
  std::function<void(std::string_view why)> failed;
  std::function<void()> closed;  // the inside is gone
};

// The outside's end: serves requests on `socket` until destroyed.
class OutsideServer final : private io::FdHandler {
 public:
  OutsideServer(io::Loop& loop, io::UniqueFd socket, OutsideEvents events);
  ~OutsideServer();

 private:
  struct Lookup;
  void on_events(unsigned events) override;
  void serve(std::string_view text);
  void connect(std::uint64_t id, const std::string& address);
  void resolve(std::uint64_t id, const std::string& query);
  void listen(std::uint64_t id, const std::string& address, bool or_any);
  void reply_fd(std::uint64_t id, int fd);
  void reply_bytes(std::uint64_t id, std::string_view bytes);
  void reply_error(std::uint64_t id, const Error& error);

  io::Loop& loop_;
  io::UniqueFd socket_;
  OutsideEvents events_;
  std::unordered_map<std::uint64_t, std::unique_ptr<io::Connecting>> connecting_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Lookup>> lookups_;
};

}  // namespace mizzen::local
