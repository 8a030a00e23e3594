#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>

#include "base/log.h"
#include "base/prefetch.h"
#include "io/loop.h"

namespace mizzen::io {
namespace {

constexpr int kEventsPerTurn = 256;

unsigned translate(std::uint32_t epoll_events) {
  unsigned events = 0;
  if (epoll_events & EPOLLIN) events |= event::kReadable;
  if (epoll_events & EPOLLOUT) events |= event::kWritable;
  if (epoll_events & (EPOLLRDHUP | EPOLLHUP)) events |= event::kHangup;
  if (epoll_events & EPOLLERR) events |= event::kError;
  return events;
}

}  // namespace

EpollLoop::EpollLoop()
    : Loop(system_clock().mono()),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  epoll_event registration{};
  registration.events = EPOLLIN;
  registration.data.u64 = static_cast<std::uint32_t>(wakeup_.get());
  if (!epoll_ || !wakeup_ ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), &registration) != 0) {
    log::error("io", "no event loop: {}", errno_error("epoll", errno).message);
    std::abort();
  }
  ::signal(SIGPIPE, SIG_IGN);
}

EpollLoop::~EpollLoop() { drop_work(); }

WallTime EpollLoop::wall() const { return system_clock().wall(); }

void EpollLoop::wake() {
  std::uint64_t one = 1;
  [[maybe_unused]] auto written = ::write(wakeup_.get(), &one, sizeof one);
}

Status EpollLoop::add(int fd, FdHandler* handler, std::uint32_t epoll_events) {
  if (fd < 0) return fail(Code::kInvalid, "watch: no descriptor");
  auto index = static_cast<std::size_t>(fd);
  if (index >= entries_.size()) entries_.resize(std::max(index + 1, entries_.size() * 2));
  Entry& entry = entries_[index];
  if (entry.handler != nullptr) {
    entry.handler = handler;
    return {};
  }
  ++entry.generation;
  epoll_event registration{};
  registration.events = epoll_events;
  registration.data.u64 = static_cast<std::uint32_t>(fd) | std::uint64_t{entry.generation} << 32;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &registration) != 0) {
    return std::unexpected(errno_error("epoll_ctl", errno));
  }
  entry.handler = handler;
  watched_.store(watched() + 1, std::memory_order_relaxed);  // nobody else writes it
  return {};
}

Status EpollLoop::watch(int fd, FdHandler* handler) {
  return add(fd, handler, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

Status EpollLoop::watch_level(int fd, FdHandler* handler) { return add(fd, handler, EPOLLIN); }

void EpollLoop::unwatch(int fd) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= entries_.size() || entries_[index].handler == nullptr) return;
  entries_[index].handler = nullptr;
  watched_.store(watched() - 1, std::memory_order_relaxed);
  ++entries_[index].generation;
  // Needed although the descriptor is often closed next: a duplicate may keep it open elsewhere.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int EpollLoop::wait_millis(Duration max_wait) const {
  if (has_work() || has_posted() || stopped()) return 0;
  Duration wait = max_wait;
  if (auto next = timers().next()) {
    wait = std::min(wait, *next - now_);
  }
  if (wait <= Duration::zero()) return 0;
  if (wait >= std::chrono::hours(1)) return wait == Duration::max() ? -1 : 3'600'000;
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(wait + std::chrono::microseconds(999))
          .count());
}

// What was idle for a while has left the caches: it is asked for in steps, each when the pointer to
// it has come.
void EpollLoop::foresee(std::span<const epoll_event> coming) const {
  const auto handler_of = [this](const epoll_event& event) -> const FdHandler* {
    const auto fd = static_cast<std::uint32_t>(event.data.u64);
    return fd < entries_.size() ? entries_[fd].handler : nullptr;
  };
  if (coming.size() > 2) prefetch(handler_of(coming[2]), 2 * kCacheLine);
  for (unsigned after = 0; after < 2 && after < coming.size(); ++after) {
    if (const FdHandler* next = handler_of(coming[after])) next->foresee(after);
  }
}

void EpollLoop::run_once(Duration max_wait) {
  now_ = system_clock().mono();
  std::array<epoll_event, kEventsPerTurn> events;
  int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, wait_millis(max_wait));
  now_ = system_clock().mono();
  for (int i = 0; i < count; ++i) {
    auto fd = static_cast<std::uint32_t>(events[i].data.u64);
    if (static_cast<int>(fd) == wakeup_.get()) {
      std::uint64_t value;
      [[maybe_unused]] auto got = ::read(wakeup_.get(), &value, sizeof value);
      continue;
    }
    // An earlier event of this turn may have closed it, and another taken its number.
    if (fd >= entries_.size()) continue;
    const Entry& entry = entries_[fd];
    if (entry.handler == nullptr || entry.generation != events[i].data.u64 >> 32) continue;
    unsigned what = translate(events[i].events);
    if (what == 0) continue;
    foresee(std::span(events).subspan(static_cast<std::size_t>(i) + 1,
                                      static_cast<std::size_t>(count - i - 1)));
    entry.handler->on_events(what);
  }
  finish_turn();
}

Signals::Signals(Loop& loop, std::vector<int> signals, std::function<void(int)> fn)
    : loop_(loop), fn_(std::move(fn)) {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : signals) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  fd_.reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (auto status = loop_.watch_level(fd_.get(), this); !status) {
    log::error("io", "signals are not watched: {}", status.error().message);
  }
}

Signals::~Signals() { loop_.unwatch(fd_.get()); }

void Signals::on_events(unsigned) {
  signalfd_siginfo info;
  while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
    fn_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace mizzen::io
