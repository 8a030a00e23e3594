// A local copy of one kind, kept current by list and watch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kube/client.h"

namespace mizzen::kube {

struct InformerCallbacks {
  std::function<void(const Json& object)> on_added;
  std::function<void(const Json& before, const Json& now)> on_changed;
  std::function<void(const Json& last)> on_removed;
  std::function<void()> on_synced;  // once, after the first list was told
  // The server cannot be reached, or refuses (told again only when the message changes).
  std::function<void(const Error&)> on_error;
};

struct InformerOptions {
  ListOptions list;
  bool keep_objects = true;  // false: only resource versions are kept; on_changed and on_removed
                             // get objects with metadata alone as `before` and `last`
};

// Lists, watches from there, and starts again by itself: at once after an orderly end, after a
// back-off with jitter (0.2 to 10 s) after errors, with a new list after 410. A re-list tells
// differences only. Survives restarts of the API server. The client must outlive it. Callbacks must
// not destroy it (Loop::dispose() it).
class Informer {
 public:
  Informer(Client& client, Resource resource, InformerOptions options, InformerCallbacks callbacks);
  ~Informer();
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;

  void start();
  bool synced() const;
  // By "namespace/name" (cluster-scoped: "name"). With keep_objects only.
  const std::map<std::string, Json, std::less<>>& objects() const;
  const Json* find(std::string_view name_space, std::string_view name) const;
  const Resource& resource() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

// Jittered exponential back-off, as the informer uses it.
class Backoff {
 public:
  Backoff(Duration first, Duration longest) : first_(first), longest_(longest) {}
  Duration next();  // 50 to 100 % of the step, which then doubles
  void reset() { step_ = Duration{0}; }

 private:
  Duration first_;
  Duration longest_;
  Duration step_{0};
};

}  // namespace mizzen::kube
