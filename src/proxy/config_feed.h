// Between the store and the workers: publishes at the end of the loop's turn in which something
// changed, and when a warming limit passes. Main thread only.
#pragma once

#include <functional>
#include <vector>

#include "io/loop.h"
#include "proxy/config_store.h"

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
  // Called after each publication: what is needed may have become less.
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
  void publish();

  io::Loop& loop_;
  LoopClock clock_;
  ConfigStore store_;
  std::function<void(SnapshotRef)> publish_;
  std::vector<std::function<void()>> listeners_;
  io::TimerId timer_ = 0;
  bool scheduled_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::proxy
