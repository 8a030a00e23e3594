#include "proxy/feed/feed.h"

#include <algorithm>

namespace mizzen::proxy {

ConfigFeed::ConfigFeed(io::Loop& loop, std::function<void(SnapshotRef)> publish)
    : loop_(loop), clock_(loop), store_(clock_), publish_(std::move(publish)) {}

ConfigFeed::~ConfigFeed() {
  loop_.cancel(timer_);
  loop_.cancel(wait_timer_);
}

void ConfigFeed::want(const std::vector<std::string>& destinations) {
  bool more = false;
  for (const std::string& name : destinations) more = store_.want(name) || more;
  if (!more) return;
  tell();  // the needs are others
}

bool ConfigFeed::known(const std::vector<std::string>& names) const {
  const SnapshotRef latest = store_.latest();
  return std::ranges::all_of(names, [&](const std::string& name) {
    return latest != nullptr && latest->knows(name, loop_.now());
  });
}

void ConfigFeed::when_known(std::vector<std::string> destinations, std::function<void()> done) {
  if (known(destinations)) return done();
  want(destinations);
  waits_.push_back({std::move(destinations), loop_.now() + kDestinationLimit, std::move(done)});
  end_waits();
}

void ConfigFeed::end_waits() {
  std::vector<std::function<void()>> over;
  std::erase_if(waits_, [&](Wait& wait) {
    const bool ends = loop_.now() >= wait.until || known(wait.names);
    if (ends) over.push_back(std::move(wait.done));
    return ends;
  });
  loop_.cancel(wait_timer_);
  wait_timer_ = 0;
  if (!waits_.empty()) {
    const Duration left = std::max<Duration>(waits_.front().until - loop_.now(), Duration(1));
    wait_timer_ = loop_.after(left, [this] {
      wait_timer_ = 0;
      end_waits();
    });
  }
  for (const auto& done : over) done();
}

void ConfigFeed::touch() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.defer([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) publish();
  });
}

void ConfigFeed::tell() {
  // One may bring others: a new cluster has a source of its own. They are told the next time.
  const std::size_t known = listeners_.size();
  for (std::size_t i = 0; i < known; ++i) listeners_[i]();
}

void ConfigFeed::publish() {
  scheduled_ = false;
  publish_(store_.publish());
  tell();
  end_waits();
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
