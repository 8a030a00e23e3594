// Keeps a Store current: one informer for each kind that the mesh reads. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/mesh/store.h"
#include "kube/informer.h"

namespace mizzen::control {

struct WatcherCallbacks {
  // After each change, with the object as it is now (or was last) and its kind filled in.
  std::function<void(Change, const object::Json& object, bool removed)> on_change;
  // Once, when every kind has been listed.
  std::function<void()> on_ready;
};

class Watcher {
 public:
  // The client and the store must outlive it.
  Watcher(kube::Client& client, Store& store, WatcherCallbacks callbacks);
  void start();
  bool ready() const { return waiting_ == 0; }
  // The kinds that have not been listed yet, for /ready and the log.
  std::vector<std::string> missing() const;

 private:
  void add(std::string kind, kube::Resource resource, bool wanted);
  void synced();

  kube::Client& client_;
  Store& store_;
  WatcherCallbacks callbacks_;
  std::vector<std::unique_ptr<kube::Informer>> informers_;
  std::size_t waiting_ = 0;
};

}  // namespace mizzen::control
