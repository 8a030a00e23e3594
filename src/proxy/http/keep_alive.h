// PINGs that find out whether an HTTP/2 peer is still there.
#pragma once

#include <cstdint>
#include <functional>

#include "http/codec.h"
#include "io/loop.h"
#include "proxy/config/filters.h"

namespace mizzen::proxy {

// Sends a PING when `interval` has passed since the last answer; when none has come within
// `timeout`, calls `dead` once, from the loop. One connection, its thread.
class KeepAlive {
 public:
  // `codec` must outlive it. `random` varies the interval (jitter).
  KeepAlive(io::Loop& loop, const KeepAliveSettings& settings, http::Codec& codec,
            std::uint64_t random, std::function<void()> dead);
  // Of ConnectionEvents.
  void on_pong();

 private:
  void on_timer();

  const Duration interval_;
  const Duration timeout_;
  http::Codec& codec_;
  std::function<void()> dead_;
  io::Timer timer_;
  std::uint64_t sent_ = 0;
  bool waiting_ = false;
};

}  // namespace mizzen::proxy
