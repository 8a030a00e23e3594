// Keys that want to be looked at, each once per turn of the loop.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "base/log.h"
#include "io/loop.h"
#include "local/apiserver/store.h"

namespace mizzen::local {

class Queue {
 public:
  using Reconcile = std::function<void(const Key&)>;
  Queue(io::Loop& loop, Reconcile reconcile) : loop_(loop), reconcile_(std::move(reconcile)) {}
  ~Queue() { *alive_ = false; }

  void add(const Key& key) {
    waiting_.insert(key);
    if (scheduled_) return;
    scheduled_ = true;
    loop_.defer([this, alive = alive_] {
      if (!*alive) return;
      scheduled_ = false;
      for (const Key& one : std::exchange(waiting_, {})) {
        // Objects come from outside; one of a shape that nobody thought of must not end the
        // cluster.
        try {
          reconcile_(one);
        } catch (const Json::exception& error) {
          log::error("controllers", "{}: {}", one.to_string(), error.what());
        }
      }
    });
  }
  void add_after(Duration delay, const Key& key) {
    loop_.after(delay, [this, key, alive = alive_] {
      if (*alive) add(key);
    });
  }

 private:
  io::Loop& loop_;
  Reconcile reconcile_;
  std::set<Key> waiting_;
  bool scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
