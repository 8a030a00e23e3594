// The event loop: one thread, descriptors, timers and work that is put off.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/timer.h"
#include "io/unique_fd.h"

struct epoll_event;

namespace mizzen::io {

// What epoll said of a descriptor, as bits. kHangup: the peer has shut down its sending half or is
// gone.
namespace event {
inline constexpr unsigned kReadable = 1;
inline constexpr unsigned kWritable = 2;
inline constexpr unsigned kHangup = 4;
inline constexpr unsigned kError = 8;
}  // namespace event

class FdHandler {
 public:
  // `events` has at least one bit. May unwatch any descriptor, but must not destroy `this`: put
  // that off with Loop::dispose().
  virtual void on_events(unsigned events) = 0;
  // on_events() comes soon in this turn, when `others` have had theirs: a chance to have memory
  // fetched that has left the caches. Called with 1 (the object itself has been asked for before),
  // then with 0.
  virtual void foresee(unsigned others) const { (void)others; }

 protected:
  ~FdHandler() = default;
};

using TimerId = std::uint64_t;  // 0: none

// Work at the end of a turn without an allocation: an intrusive node, like Timer. Loop thread only.
class Task {
 public:
  using Function = void (*)(void* object);
  Task(Loop& loop, Function function, void* object)
      : loop_(&loop), function_(function), object_(object) {}
  template <auto Method, class T>
  static Task of(Loop& loop, T* object) {
    return Task(
        loop, [](void* self) { (static_cast<T*>(self)->*Method)(); }, object);
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { cancel(); }

  // Runs once at the end of this turn, or of the next when scheduled by another task or deferred
  // work (which then comes without waiting). Scheduling what is scheduled changes nothing.
  void schedule();
  void cancel();
  bool scheduled() const { return next_ != nullptr; }

 private:
  friend class Loop;
  Loop* loop_;
  Function function_;
  void* object_;
  Task* next_ = nullptr;
  Task* previous_ = nullptr;
};

// One loop per thread. All but post() and stop() belong to the thread that runs it (or to the one
// that made it, before it runs). The real loop is EpollLoop; SimLoop (io/sim_loop.h) stands in with
// a clock that moves by itself.
class Loop {
 public:
  virtual ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Turns until stop(). A stop() before run() makes it return at once.
  void run();
  void stop();  // any thread; also a signal handler
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // One turn: waits for events at most `max_wait` (or until the next timer), runs them, then
  // timers, then posted and deferred work, then disposes.
  virtual void run_once(Duration max_wait) = 0;

  // Turns until `done()` or until `limit` has passed on this loop's clock; whether it was done.
  bool run_until(const std::function<bool()>& done, Duration limit);

  // As of the start of this turn; cheap.
  MonoTime now() const { return now_; }
  virtual WallTime wall() const = 0;

  // Calls `fn` once, not before `delay` has passed. For rare timers; the data path embeds a Timer.
  TimerId after(Duration delay, std::function<void()> fn);
  // A fired, cancelled or zero id is ignored.
  void cancel(TimerId id);

  // Runs at the end of this turn; what is deferred meanwhile runs at the end of the next, which
  // comes without waiting.
  void defer(std::function<void()> fn);
  // Destroys `object` after the deferred work of this turn: how an object goes that is on the
  // stack.
  template <class T>
  void dispose(std::unique_ptr<T> object) {
    if (object) {
      graveyard_.push_back({object.release(), [](void* p) { delete static_cast<T*>(p); }});
    }
  }
  // Destroys at once what waits for it. For owners that go before the loop and that what they
  // disposed of refers to; not while the loop is at work.
  void bury();
  // As defer(), from any thread; wakes the loop. Work posted to a loop that is destroyed is
  // dropped.
  void post(std::function<void()> fn);

  // Reports events of `fd` edge by edge: readable, writable, hangup and error are all of interest,
  // each is told once per change. The descriptor stays the caller's, who must unwatch before
  // closing it. Watching one again replaces its handler and tells nothing anew.
  virtual Status watch(int fd, FdHandler* handler) = 0;
  // Level-triggered and readable only: for accept queues, signalfd, pidfd.
  virtual Status watch_level(int fd, FdHandler* handler) = 0;
  virtual void unwatch(int fd) = 0;

  TimerWheel& timers() { return timers_; }
  const TimerWheel& timers() const { return timers_; }

 protected:
  explicit Loop(MonoTime start);
  virtual void wake() = 0;  // any thread
  void finish_turn();       // the tail of a turn, which all loops share
  bool has_work() const {
    return !deferred_.empty() || !graveyard_.empty() || tasks_.next_ != &tasks_;
  }
  bool has_posted() const { return posted_count_.load(std::memory_order_acquire) != 0; }
  // For the destructors of derived loops: drops all that was put off while the loop still stands.
  void drop_work();

  MonoTime now_;

 private:
  friend class Task;
  struct Grave {
    void* object;
    void (*destroy)(void*);
  };
  struct OneShot;
  void run_tasks();
  void run_posted();

  TimerWheel timers_;
  Task tasks_;  // head of a ring
  std::vector<std::function<void()>> deferred_;
  std::vector<Grave> graveyard_;
  std::unordered_map<TimerId, std::unique_ptr<OneShot>> one_shots_;
  TimerId last_timer_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
  std::atomic<std::size_t> posted_count_ = 0;
};

class EpollLoop final : public Loop {
 public:
  EpollLoop();  // aborts when the kernel has no descriptor left for it
  ~EpollLoop() override;

  void run_once(Duration max_wait) override;
  WallTime wall() const override;
  Status watch(int fd, FdHandler* handler) override;
  Status watch_level(int fd, FdHandler* handler) override;
  void unwatch(int fd) override;
  // How many descriptors are watched. Any thread.
  std::size_t watched() const { return watched_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    FdHandler* handler = nullptr;
    std::uint32_t generation = 0;
  };
  void wake() override;
  Status add(int fd, FdHandler* handler, std::uint32_t epoll_events);
  int wait_millis(Duration max_wait) const;
  void foresee(std::span<const epoll_event> coming) const;

  UniqueFd epoll_;
  UniqueFd wakeup_;
  std::vector<Entry> entries_;  // by descriptor
  std::atomic<std::size_t> watched_ = 0;
};

// Calls `fn(signo)` on the loop for the given signals, which it blocks in this thread (make it
// before other threads, so that they inherit the mask). Also ignores SIGPIPE.
class Signals final : private FdHandler {
 public:
  Signals(Loop& loop, std::vector<int> signals, std::function<void(int)> fn);
  ~Signals();

 private:
  void on_events(unsigned events) override;
  Loop& loop_;
  UniqueFd fd_;
  std::function<void(int)> fn_;
};

}  // namespace mizzen::io
