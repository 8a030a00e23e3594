// Two ends of a connection without a socket between them: one listener of a proxy to another one of
// the same process, and tests, where it may misbehave by a seed.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "io/loop.h"
#include "io/stream.h"

namespace mizzen::io {

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
