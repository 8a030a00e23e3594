// The in-memory twin of the loop: tests of whole machines, repeatable by a seed. That of sockets is
// memory_stream.h.
#pragma once

#include "base/clock.h"
#include "io/loop.h"
#include "io/memory_stream.h"

namespace mizzen::io {

// Time moves only when nothing else is to do: straight to the next timer. No descriptors: watch()
// answers kUnsupported.
class SimLoop final : public Loop {
 public:
  SimLoop();
  ~SimLoop() override;
  // Does not wait: moves the clock by up to `max_wait` when there is nothing to run.
  void run_once(Duration max_wait) override;
  // Turns until nothing is left but timers.
  void settle();
  // Runs all that happens within `by`.
  void advance(Duration by);
  WallTime wall() const override { return clock_.wall(); }
  Status watch(int fd, FdHandler* handler) override;
  Status watch_level(int fd, FdHandler* handler) override;
  void unwatch(int fd) override;

 private:
  void wake() override {}
  FakeClock clock_;
};

}  // namespace mizzen::io
