// TCP conversations of the samples' own small protocols: bytes in and out of one connection, a
// server that holds such conversations, and a client that connects by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/listener.h"
#include "io/resolver.h"

namespace mizzen::samples {

// One connection with its buffers. Loop thread only; its callbacks must not destroy it, but put
// that off with Loop::dispose().
class Wire final : private io::StreamHandler {
 public:
  struct Owner {
    // Takes what it can use from the front of `bytes`; called again when more has come.
    std::function<void(std::string& bytes)> input;
    std::function<void(const Error&)> gone;  // once, by the peer or by a limit
  };
  Wire(std::unique_ptr<io::Stream> stream, Owner owner);

  void send(std::string_view bytes);
  void finish();  // as soon as all is sent: gone() follows
  bool dead() const { return dead_; }

 private:
  void on_readable() override;
  void on_writable() override { flush(); }
  void on_error(const Error& error) override { die(error); }
  void flush();
  void die(const Error& error);

  std::unique_ptr<io::Stream> stream_;
  Owner owner_;
  std::string in_;
  std::string out_;
  bool finishing_ = false;
  bool dead_ = false;
};

// What a server does with one connection; destroyed when the connection is gone.
class Conversation {
 public:
  virtual ~Conversation() = default;
  virtual void input(std::string& bytes) = 0;  // as Wire::Owner::input
};
using Converse = std::function<std::unique_ptr<Conversation>(Wire& wire)>;

class TcpServer {
 public:
  // Listens on every IPv4 address of the ports until destroyed.
  static Result<std::unique_ptr<TcpServer>> listen(io::Loop& loop,
                                                   const std::vector<std::uint16_t>& ports,
                                                   Converse converse);
  ~TcpServer();
  std::uint16_t port() const;  // the first, as the kernel has it

 private:
  struct Peer;
  TcpServer(io::Loop& loop, Converse converse);
  void accept(std::unique_ptr<io::Stream> stream);

  io::Loop& loop_;
  Converse converse_;
  std::unordered_map<Peer*, std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
};

// A connection to `host:port`, made when it is first needed and again after it has broken. The
// protocol's own state starts anew with each: `opened` tells.
class WireClient {
 public:
  struct Owner {
    std::function<void()> opened;
    std::function<void(std::string& bytes)> input;
    std::function<void(const Error&)> gone;  // also when connecting failed
  };
  WireClient(io::Loop& loop, std::string host, std::uint16_t port, Owner owner);
  ~WireClient();

  void connect();  // nothing when connected, or about to be
  bool open() const { return wire_ != nullptr; }
  void send(std::string_view bytes);  // while open
  void drop();                        // gone() is not called
  std::string name() const;           // "host:port", for messages

 private:
  void resolved(const Result<io::Resolved>& names);
  void connected(Result<std::unique_ptr<io::Stream>> stream);
  void lost(const Error& error);

  io::Loop& loop_;
  std::string host_;
  std::uint16_t port_;
  Owner owner_;
  std::unique_ptr<io::Resolver> resolver_;
  std::unique_ptr<io::Connecting> connecting_;
  std::unique_ptr<Wire> wire_;
  bool busy_ = false;
};

}  // namespace mizzen::samples
