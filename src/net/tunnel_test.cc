#include "net/tunnel.h"

#include <gtest/gtest.h>

#include <array>

#include "io/sim_loop.h"

namespace mizzen::net {
namespace {

struct Port final : TunnelPort {
  void tunnel_send(std::string_view bytes, bool end) override {
    sent += bytes;
    ended = ended || end;
  }
  void tunnel_consumed(std::size_t bytes) override { consumed += bytes; }
  std::size_t tunnel_buffered() const override { return 0; }
  void tunnel_reset() override { reset = true; }
  void tunnel_gone() override {}
  std::string sent;
  std::size_t consumed = 0;
  bool ended = false;
  bool reset = false;
};

// Takes a short read for the last, as stream.h allows.
struct Reader final : io::StreamHandler {
  explicit Reader(io::Stream& its_stream) : stream(its_stream) { stream.set_handler(this); }
  void on_readable() override {
    std::array<std::byte, 16> buffer;
    const io::IoResult read = stream.read(buffer);
    got.append(reinterpret_cast<const char*>(buffer.data()), read.bytes);
    last = read.status;
  }
  void on_writable() override {}
  void on_error(const Error&) override {}
  io::Stream& stream;
  std::string got;
  io::IoStatus last = io::IoStatus::kWouldBlock;
};

TEST(Tunnel, TellsTheEndThatCameWithTheLastBytes) {
  io::SimLoop loop;
  Port port;
  Tunnel tunnel(loop, &port, io::Address::loopback(1), io::Address::loopback(2));
  Reader reader(tunnel);
  tunnel.arrived("pong", true);
  loop.settle();
  EXPECT_EQ(reader.got, "pong");
  EXPECT_EQ(reader.last, io::IoStatus::kEof);
  EXPECT_EQ(port.consumed, 4u);
}

TEST(Tunnel, TellsTheBreakThatCameAfterTheLastBytes) {
  io::SimLoop loop;
  Port port;
  Tunnel tunnel(loop, &port, io::Address::loopback(1), io::Address::loopback(2));
  Reader reader(tunnel);
  tunnel.arrived("pong", false);
  tunnel.broke({Code::kReset, Side::kInternal, false, "reset"});
  loop.settle();
  EXPECT_EQ(reader.got, "pong");
  EXPECT_EQ(reader.last, io::IoStatus::kError);
  EXPECT_EQ(tunnel.error().message, "reset");
}

}  // namespace
}  // namespace mizzen::net
