// A bare TCP relay on one epoll loop: the least work that any hop must do. The floor for bench/run.
// usage: bench-relay LISTEN_PORT UPSTREAM_PORT
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

int g_epoll = -1;
std::vector<int> g_twin = std::vector<int>(65536, -1);  // by descriptor

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

void watch(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(g_epoll, EPOLL_CTL_ADD, fd, &event);
}

void accept_one(int listener, int upstream_port) {
  int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = loopback(upstream_port);
  if (server < 0 || connect(server, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    close(client);
    if (server >= 0) close(server);
    return;
  }
  g_twin[static_cast<std::size_t>(client)] = server;
  g_twin[static_cast<std::size_t>(server)] = client;
  watch(client);
  watch(server);
}

void relay(int from) {
  static std::array<char, 65536> buffer;
  int to = g_twin[static_cast<std::size_t>(from)];
  if (to < 0) return;
  ssize_t got = read(from, buffer.data(), buffer.size());
  if (got > 0 && write(to, buffer.data(), static_cast<std::size_t>(got)) == got) return;
  for (int fd : {from, to}) {
    g_twin[static_cast<std::size_t>(fd)] = -1;
    close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: bench-relay LISTEN_PORT UPSTREAM_PORT\n", stderr);
    return 64;
  }
  int upstream_port = std::atoi(argv[2]);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address = loopback(std::atoi(argv[1]));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 1024) != 0) {
    std::perror("bench-relay");
    return 1;
  }
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(listener);
  for (;;) {
    std::array<epoll_event, 64> events;
    int count = epoll_wait(g_epoll, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      int fd = events[static_cast<std::size_t>(i)].data.fd;
      fd == listener ? accept_one(listener, upstream_port) : relay(fd);
    }
  }
}
