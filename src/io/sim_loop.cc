#include "io/sim_loop.h"

#include <algorithm>

namespace mizzen::io {

SimLoop::SimLoop() : Loop(FakeClock().mono()) {}
SimLoop::~SimLoop() { drop_work(); }

void SimLoop::run_once(Duration max_wait) {
  if (!has_work() && !has_posted()) {
    Duration step = max_wait;
    if (auto next = timers().next()) step = std::min(step, *next - now_);
    // With nothing to come, an endless wait would never end.
    if (step == Duration::max()) step = Duration::zero();
    if (step > Duration::zero()) clock_.advance(step);
  }
  now_ = clock_.mono();
  finish_turn();
}

void SimLoop::settle() {
  while (has_work() || has_posted()) run_once(Duration::zero());
}

void SimLoop::advance(Duration by) {
  settle();
  MonoTime end = now_ + by;
  while (now_ < end) {
    run_once(end - now_);
    settle();
  }
}

Status SimLoop::watch(int, FdHandler*) {
  return fail(Code::kUnsupported, "a simulated loop has no descriptors");
}
Status SimLoop::watch_level(int, FdHandler*) {
  return fail(Code::kUnsupported, "a simulated loop has no descriptors");
}
void SimLoop::unwatch(int) {}

}  // namespace mizzen::io
