// Between the store and the workers: publishes at the end of the loop's turn in which something
// changed, and when a warming limit passes. Main thread only.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "io/loop.h"
#include "proxy/feed/store.h"

namespace mizzen::proxy {

class ConfigFeed {
 public:
  // `publish` takes each new snapshot to the workers.
  ConfigFeed(io::Loop& loop, std::function<void(SnapshotRef)> publish);
  ~ConfigFeed();
  ConfigFeed(const ConfigFeed&) = delete;
  ConfigFeed& operator=(const ConfigFeed&) = delete;

  ConfigStore& store() { return store_; }
  const ConfigStore& store() const { return store_; }

  // The store was given something.
  void touch();
  // A request waits for destinations that the configuration does not know: they are asked for.
  void want(const std::vector<std::string>& destinations);
  // Asks for them, and calls `done` when all are known or the limit for requests has passed; at
  // once when they are known.
  void when_known(std::vector<std::string> destinations, std::function<void()> done);
  // Called after each publication, and when more is wanted: what is needed may have changed. A
  // listener may bring others, which are told from the next time on.
  void on_published(std::function<void()> listener) { listeners_.push_back(std::move(listener)); }

 private:
  class LoopClock final : public Clock {
   public:
    explicit LoopClock(io::Loop& loop) : loop_(loop) {}
    MonoTime mono() const override { return loop_.now(); }
    WallTime wall() const override { return loop_.wall(); }

   private:
    io::Loop& loop_;
  };
  struct Wait {
    std::vector<std::string> names;
    MonoTime until;
    std::function<void()> done;
  };
  void publish();
  void tell();
  void end_waits();
  bool known(const std::vector<std::string>& names) const;

  io::Loop& loop_;
  LoopClock clock_;
  ConfigStore store_;
  std::function<void(SnapshotRef)> publish_;
  std::deque<std::function<void()>> listeners_;  // stay in place while they are called
  std::vector<Wait> waits_;
  io::TimerId wait_timer_ = 0;
  io::TimerId timer_ = 0;
  bool scheduled_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::proxy
