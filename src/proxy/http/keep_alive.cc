#include "proxy/http/keep_alive.h"

namespace mizzen::proxy {
namespace {

Duration varied(const KeepAliveSettings& settings, std::uint64_t random) {
  const double share = static_cast<double>(random % 1000) / 1000 * settings.jitter_percent / 100;
  return settings.interval + std::chrono::duration_cast<Duration>(settings.interval * share);
}

}  // namespace

KeepAlive::KeepAlive(io::Loop& loop, const KeepAliveSettings& settings, http::Codec& codec,
                     std::uint64_t random, std::function<void()> dead)
    : interval_(varied(settings, random)),
      timeout_(settings.timeout),
      codec_(codec),
      dead_(std::move(dead)),
      timer_(io::Timer::of<&KeepAlive::on_timer>(loop, this)) {
  timer_.arm(interval_);
}

void KeepAlive::on_pong() {
  if (!waiting_) return;
  waiting_ = false;
  timer_.arm(interval_);
}

void KeepAlive::on_timer() {
  if (waiting_) return dead_();
  waiting_ = true;
  codec_.ping(++sent_);
  timer_.arm(timeout_);
}

}  // namespace mizzen::proxy
