#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

#include "io/listener.h"
#include "io/loop.h"
#include "io/sim_loop.h"
#include "io/stream.h"

namespace mizzen::io {
namespace {

using namespace std::chrono_literals;

// Reads everything until the end; writes what it is told to.
class PlainSink : public StreamHandler {
 public:
  explicit PlainSink(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {
    stream_->set_handler(this);
  }
  void send(std::string_view bytes) {
    out_ += bytes;
    pump();
  }
  void on_readable() override {
    std::array<std::byte, 4096> buffer;
    while (true) {
      IoResult got = stream_->read(buffer);
      if (got.status == IoStatus::kOk) {
        in_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
        continue;
      }
      if (got.status == IoStatus::kEof) eof_ = true;
      if (got.status == IoStatus::kError) failed_ = true;
      return;
    }
  }
  void on_writable() override { pump(); }
  void on_error(const Error&) override { failed_ = true; }
  void on_hangup() override { hung_up_ = true; }
  void pump() {
    while (!out_.empty()) {
      IoResult put = stream_->write(out_);
      if (put.status == IoStatus::kError) failed_ = true;
      if (put.status != IoStatus::kOk) return;
      out_.erase(0, put.bytes);
    }
  }

  std::unique_ptr<Stream> stream_;
  std::string in_, out_;
  bool eof_ = false, failed_ = false, hung_up_ = false;
};

struct PlainPair {
  explicit PlainPair(Loop& loop, const Address& at = Address::loopback(0)) {
    auto made = Listener::listen(loop, at, {}, [this](auto stream) {
      server = std::make_unique<PlainSink>(std::move(stream));
    });
    EXPECT_TRUE(made) << made.error().message;
    listener = std::move(*made);
    connecting = connect(loop, listener->address(), {}, [this](auto stream) {
      ASSERT_TRUE(stream) << stream.error().message;
      client = std::make_unique<PlainSink>(std::move(*stream));
    });
    EXPECT_TRUE(loop.run_until([this] { return client && server; }, 5s));
  }
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connecting> connecting;
  std::unique_ptr<PlainSink> server, client;
};

TEST(Address, ParsesAndPrints) {
  for (std::string text : {"10.0.0.1:80", "[::1]:443", "unix:/tmp/x", "unix:@name"}) {
    auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
    sockaddr_storage storage;
    socklen_t length = address->to_sockaddr(&storage);
    EXPECT_EQ(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length), *address);
  }
  for (std::string text : {"", "10.0.0.1", "::1:80", "10.0.0.1:65536", "x:1", "[10.0.0.300]:1"}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
  EXPECT_EQ(Address::parse("[::ffff:10.1.2.3]:7")->to_string(), "10.1.2.3:7");
  EXPECT_EQ(Address().to_string() + Address().ip(), "");
  EXPECT_EQ(Address::unix_path("/tmp/x").ip(), "/tmp/x");
  for (unsigned i = 0; i < 65536; i += 13) {  // every byte, ports of one to five digits
    const Address address = Address::from_ipv4(0x0a000000 | i, static_cast<std::uint16_t>(i));
    EXPECT_EQ(address.ip(), "10.0." + std::to_string(i >> 8) + "." + std::to_string(i & 255));
    EXPECT_EQ(address.to_string(), address.ip() + ":" + std::to_string(i));
  }
  EXPECT_TRUE(Cidr::parse("10.96.0.0/12")->contains(*Address::parse_ip("10.111.255.1", 0)));
  EXPECT_FALSE(Cidr::parse("10.96.0.0/12")->contains(*Address::parse_ip("10.112.0.0", 0)));
  EXPECT_TRUE(Cidr::parse("::/0")->contains(*Address::parse_ip("fe80::1", 0)));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/33"));
}

// Armed, armed again for sooner and for later, cancelled, destroyed, armed anew as they fire, armed
// and cancelled by others that fire with them.
TEST(Timers, FireOnceAndNeverEarly) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    SimLoop loop;
    struct One {
      using All = std::vector<std::unique_ptr<One>>;
      One(Loop& l, std::mt19937_64& r, All& a)
          : loop(l), random(r), all(a), timer(Timer::of<&One::fire>(l, this)) {}
      One& any() { return *all[random() % all.size()]; }
      void arm() {
        Duration wait = std::chrono::microseconds(random() % (std::uint64_t{1} << (random() % 36)));
        due = loop.now() + wait;
        waits = true;
        timer.arm(wait);
      }
      void cancel() {
        waits = false;
        timer.cancel();
        EXPECT_FALSE(timer.armed());
      }
      void fire() {
        EXPECT_TRUE(waits);
        EXPECT_GE(loop.now(), due);
        EXPECT_LE(loop.now(), due + 1ms);
        waits = false;
        if (random() % 4 == 0) arm();
        if (random() % 4 == 0) any().arm();
        if (random() % 4 == 0) any().cancel();
      }
      Loop& loop;
      std::mt19937_64& random;
      All& all;
      MonoTime due{};
      bool waits = false;
      Timer timer;
    };
    One::All all;
    for (int i = 0; i < 300; ++i) {
      all.push_back(std::make_unique<One>(loop, random, all));
      all.back()->arm();
      if (random() % 2 == 0) all.front()->any().arm();
      if (random() % 4 == 0) all.front()->any().cancel();
      if (random() % 8 == 0) {
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(random() % all.size()));
      }
      if (random() % 3 == 0) loop.advance(std::chrono::microseconds(random() % 500'000));
      auto waiting = std::ranges::count_if(all, [](const auto& one) { return one->waits; });
      EXPECT_EQ(loop.timers().size(), static_cast<std::size_t>(waiting));
    }
    loop.advance(24h * 30);
    for (auto& one : all) EXPECT_FALSE(one->waits);
    EXPECT_EQ(loop.timers().size(), 0U);
    EXPECT_EQ(loop.timers().next(), std::nullopt);
  }
}

TEST(Loop, OneShotsTasksAndPosts) {
  EpollLoop loop;
  std::string order;
  loop.after(2ms, [&] { order += 'b'; });
  auto gone = loop.after(1ms, [&] { order += 'x'; });
  loop.after(1ms, [&] { order += 'a'; });
  loop.cancel(gone);
  loop.defer([&] { loop.defer([&] { order += 'd'; }); });
  std::thread other([&] { loop.post([&] { order += 'p'; }); });
  other.join();
  EXPECT_TRUE(loop.run_until([&] { return order.size() == 4; }, 5s)) << order;
  EXPECT_LT(order.find('a'), order.find('b'));
  std::thread stopper([&] { loop.stop(); });
  loop.run();
  stopper.join();
}

TEST(Loop, CountsWhatItWatches) {
  struct Nobody : FdHandler {
    void on_events(unsigned /*events*/) override {}
  } nobody;
  EpollLoop loop;
  const std::size_t own = loop.watched();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ASSERT_TRUE(loop.watch(ends[0], &nobody));
  ASSERT_TRUE(loop.watch_level(ends[1], &nobody));
  EXPECT_EQ(loop.watched(), own + 2);
  ASSERT_TRUE(loop.watch(ends[0], &nobody));  // again: another handler, no other descriptor
  EXPECT_EQ(loop.watched(), own + 2);
  EXPECT_FALSE(loop.watch(-1, &nobody));
  loop.unwatch(ends[0]);
  loop.unwatch(ends[0]);
  EXPECT_EQ(loop.watched(), own + 1);
  loop.unwatch(ends[1]);
  EXPECT_EQ(loop.watched(), own);
  for (const int end : ends) ::close(end);
}

// An end of its own would be one more segment.
TEST(Socket, LastBytesAndTheEndShareASegment) {
  EpollLoop loop;
  PlainPair pair(loop);
  Stream& stream = *pair.server->stream_;
  const auto segments = [&stream] {
    tcp_info info{};
    socklen_t size = sizeof info;
    EXPECT_EQ(::getsockopt(stream.fd(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_segs_out;
  };
  const auto before = segments();
  stream.end_follows();
  EXPECT_EQ(stream.write("the answer").bytes, 10U);
  EXPECT_EQ(stream.write(", whole").bytes, 7U);
  stream.shutdown_write();
  EXPECT_EQ(segments(), before + 1);
  EXPECT_TRUE(loop.run_until([&] { return pair.client->eof_; }, 5s));
  EXPECT_EQ(pair.client->in_, "the answer, whole");
}

TEST(Socket, EchoesHalfClosesAndEnds) {
  for (const char* where : {"127.0.0.1:0", "[::1]:0", "unix:@mizzen-io-test"}) {
    EpollLoop loop;
    PlainPair pair(loop, *Address::parse(where));
    std::string big(3'000'000, 'x');
    pair.client->send(big);
    pair.client->send("!");
    ASSERT_TRUE(loop.run_until([&] { return pair.server->in_.size() == big.size() + 1; }, 10s));
    pair.client->stream_->shutdown_write();
    ASSERT_TRUE(loop.run_until([&] { return pair.server->eof_; }, 5s));
    pair.server->send("late");
    ASSERT_TRUE(loop.run_until([&] { return pair.client->in_ == "late"; }, 5s));
    pair.server.reset();
    ASSERT_TRUE(loop.run_until([&] { return pair.client->eof_; }, 5s));
    EXPECT_FALSE(pair.client->failed_);
  }
}

TEST(Socket, PausedReaderHearsOfTheEndAndOfAReset) {
  EpollLoop loop;
  PlainPair pair(loop);
  pair.server->stream_->pause_reading(true);
  pair.client->send("unread");
  pair.client->stream_->shutdown_write();
  ASSERT_TRUE(loop.run_until([&] { return pair.server->hung_up_; }, 5s));
  EXPECT_EQ(pair.server->in_, "");
  pair.client->stream_->abort();
  pair.client.reset();
  ASSERT_TRUE(loop.run_until([&] { return pair.server->failed_; }, 5s));
}

TEST(Socket, AResetAfterTheEndIsTold) {
  EpollLoop loop;
  PlainPair pair(loop);
  pair.client->stream_->shutdown_write();
  ASSERT_TRUE(loop.run_until([&] { return pair.server->eof_; }, 5s));
  EXPECT_FALSE(pair.server->failed_);
  pair.client->stream_->abort();
  pair.client.reset();
  ASSERT_TRUE(loop.run_until([&] { return pair.server->failed_; }, 5s));
}

// Out of descriptors, a listener waits and goes on; nothing spins, nobody is lost.
TEST(Socket, ListenerGoesOnAfterRunningOutOfDescriptors) {
  EpollLoop loop;
  int accepted = 0;
  std::vector<std::unique_ptr<Stream>> kept;
  auto listener = *Listener::listen(loop, Address::loopback(0), {}, [&](auto stream) {
    ++accepted;
    kept.push_back(std::move(stream));
  });
  std::vector<std::unique_ptr<Connecting>> attempts;
  std::vector<std::unique_ptr<Stream>> clients;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 0; i < 4; ++i) {
    attempts.push_back(connect(loop, listener->address(), {}, [&](auto stream) {
      ASSERT_TRUE(stream);
      clients.push_back(std::move(*stream));
    }));
  }
  int next = ::dup(0);
  ::close(next);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  bool connected = loop.run_until([&] { return clients.size() == 4; }, 5s);
  int turns = 0;
  MonoTime until = loop.now() + 50ms;
  for (; loop.now() < until; ++turns) loop.run_once(until - loop.now());
  int while_tight = accepted;
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(connected);
  EXPECT_EQ(while_tight, 0);
  EXPECT_LT(turns, 20);
  ASSERT_TRUE(loop.run_until([&] { return accepted == 4; }, 5s));
}

TEST(Socket, PeeksWithoutTaking) {
  EpollLoop loop;
  struct Peeker : StreamHandler {
    void on_readable() override {
      ++told;
      std::array<std::byte, 64> buffer;
      IoResult got = stream->peek(buffer);
      seen = got.bytes;
      ended = got.status == IoStatus::kEof;
    }
    void on_writable() override {}
    void on_error(const Error&) override {}
    Stream* stream = nullptr;
    std::size_t seen = 0;
    int told = 0;
    bool ended = false;
  } peeker;
  PlainPair pair(loop);
  peeker.stream = pair.server->stream_.get();
  peeker.stream->set_handler(&peeker);
  pair.client->send("abc");
  ASSERT_TRUE(loop.run_until([&] { return peeker.seen == 3; }, 5s));
  int told = peeker.told;
  for (int i = 0; i < 5; ++i) loop.run_once(0ms);
  EXPECT_EQ(peeker.told, told);  // not told again of what it has seen
  pair.client->send("def");
  ASSERT_TRUE(loop.run_until([&] { return peeker.seen == 6; }, 5s));
  EXPECT_FALSE(peeker.ended);
  pair.client->stream_->shutdown_write();
  ASSERT_TRUE(loop.run_until([&] { return peeker.ended; }, 5s));
  EXPECT_EQ(peeker.seen, 6U);
  peeker.stream->set_handler(pair.server.get());
  ASSERT_TRUE(
      loop.run_until([&] { return pair.server->in_ == "abcdef" && pair.server->eof_; }, 5s));
}

TEST(Socket, ConnectFailsOrIsAbandoned) {
  EpollLoop loop;
  UniqueFd closed = std::move(*listen_socket(Address::loopback(0)));
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  ::getsockname(closed.get(), reinterpret_cast<sockaddr*>(&storage), &length);
  Address nobody = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  closed.reset();
  std::optional<Error> error;
  std::unique_ptr<Connecting> attempt = connect(loop, nobody, {}, [&](auto result) {
    error = result.error();
    attempt.reset();
  });
  EXPECT_FALSE(error);
  ASSERT_TRUE(loop.run_until([&] { return error.has_value(); }, 5s));
  EXPECT_EQ(error->code, Code::kUnavailable);
  EXPECT_TRUE(error->retry_safe);
  attempt = connect(loop, nobody, {}, [&](auto) { FAIL() << "abandoned"; });
  attempt.reset();
  for (int i = 0; i < 5; ++i) loop.run_once(1ms);
}

TEST(Socket, PassesDescriptors) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
  UniqueFd a(sockets[0]), b(sockets[1]);
  std::array<std::byte, 16> buffer;
  EXPECT_EQ(recv_fds(b.get(), buffer).error().code, Code::kUnavailable);
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  UniqueFd reader(pipe_ends[0]), writer(pipe_ends[1]);
  int out[] = {writer.get()};
  ASSERT_TRUE(send_fds(a.get(), std::as_bytes(std::span("fd", 2)), out));
  auto got = recv_fds(b.get(), buffer);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->fds.size(), 1U);
  EXPECT_EQ(got->bytes, 2U);
  ASSERT_EQ(::write(got->fds[0].get(), "x", 1), 1);
  char c = 0;
  EXPECT_EQ(::read(reader.get(), &c, 1), 1);
}

TEST(Memory, CarriesEverythingUnderFaults) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    SimLoop loop;
    MemoryOptions options;
    options.capacity = 1000;
    options.faults = {.seed = seed, .max_read = 7, .max_write = 13, .block_percent = 30};
    auto [left, right] = memory_pair(loop, options);
    PlainSink a(std::move(left)), b(std::move(right));
    std::string text(20'000, 'q');
    a.send(text);
    b.send(text);
    ASSERT_TRUE(loop.run_until([&] { return a.in_ == text && b.in_ == text; }, 1h));
    a.stream_->shutdown_write();
    loop.settle();
    EXPECT_TRUE(b.eof_);
  }
}

TEST(Memory, Resets) {
  SimLoop loop;
  MemoryOptions options;
  options.faults.reset_after = 10;
  auto [left, right] = memory_pair(loop, options);
  PlainSink a(std::move(left)), b(std::move(right));
  a.send("0123456789");
  loop.settle();
  EXPECT_TRUE(a.failed_);
  EXPECT_TRUE(b.failed_);
}

}  // namespace
}  // namespace mizzen::io
