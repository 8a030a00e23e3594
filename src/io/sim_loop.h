// In-memory twins of loop and sockets: tests of whole machines, repeatable by a seed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "io/loop.h"
#include "io/stream.h"

namespace mizzen::io {

// Time moves only when nothing else is to do: straight to the next timer. No descriptors: watch()
// answers kUnsupported.
class SimLoop final : public Loop {
 public:
  SimLoop();
  ~SimLoop() override;
  // Does not wait: moves the clock by up to `max_wait` when there is nothing to run.
  bool run_once(Duration max_wait) override;
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

// How a memory pair misbehaves. With seed 0 it does not.
struct MemoryFaults {
  std::uint64_t seed = 0;       // print it when a test fails
  std::size_t max_read = 0;     // reads return 1..max_read bytes; 0: all
  std::size_t max_write = 0;    // writes take 1..max_write bytes; 0: all
  unsigned block_percent = 0;   // share of reads and writes that answer kWouldBlock first
  std::size_t reset_after = 0;  // bytes in either direction after which the pair breaks; 0: never
};

struct MemoryOptions {
  std::size_t capacity = 256 * 1024;  // bytes in flight per direction
  MemoryFaults faults;
  Address a = Address::loopback(1);  // local() of the first, peer() of the second
  Address b = Address::loopback(2);
};

// Two ends of one connection, on one loop of any kind.
std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> memory_pair(
    Loop& loop, const MemoryOptions& options = {});

}  // namespace mizzen::io
