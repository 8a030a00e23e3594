#include "proxy/config_feed.h"

#include <algorithm>

namespace mizzen::proxy {

ConfigFeed::ConfigFeed(io::Loop& loop, std::function<void(SnapshotRef)> publish)
    : loop_(loop), clock_(loop), store_(clock_), publish_(std::move(publish)) {}

ConfigFeed::~ConfigFeed() { loop_.cancel(timer_); }

void ConfigFeed::touch() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.defer([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) publish();
  });
}

void ConfigFeed::publish() {
  scheduled_ = false;
  publish_(store_.publish());
  for (const auto& listener : listeners_) listener();
  loop_.cancel(timer_);
  timer_ = 0;
  if (auto deadline = store_.next_deadline()) {
    Duration wait = std::max<Duration>(*deadline - loop_.now(), std::chrono::milliseconds(1));
    timer_ = loop_.after(wait, [this] {
      timer_ = 0;
      touch();
    });
  }
}

}  // namespace mizzen::proxy
