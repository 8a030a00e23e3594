// The cluster's objects: an in-memory index with ordered watches, kept on SQLite. Admission,
// defaults and validation are not its business: they stand in front of it (api.h). Controllers in
// this process read and watch here, and write here what needs no admission (status, endpoints,
// bindings).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mizzen::local {

using Json = nlohmann::json;
// Objects are shared and never changed in place: copy, change, update().
using Object = std::shared_ptr<const Json>;

// Where an object stands. `resource` is the plural with its group, as CRDs are named: "pods",
// "deployments.apps", "virtualservices.networking.istio.io". `ns` is "" for cluster-scoped kinds.
struct Key {
  std::string resource;
  std::string ns;
  std::string name;
  auto operator<=>(const Key&) const = default;
  std::string to_string() const;  // "deployments.apps default/web"
};

enum class EventType : std::uint8_t { kAdded, kModified, kDeleted };
std::string_view to_string(EventType type);  // "ADDED" ...

struct Event {
  EventType type = EventType::kAdded;
  std::uint64_t version = 0;  // resourceVersion of this change
  Object object;              // for kDeleted: the last state, with this change's resourceVersion
  Object previous;            // null for kAdded
};

// Null: everything passes.
using Filter = std::function<bool(const Json&)>;

struct WatchOptions {
  std::string ns;  // "" for all
  Filter filter;   // an object that begins or ceases to pass is told as added or deleted
  // Nothing: first every object there is as kAdded, then changes. A version: changes after it.
  std::optional<std::uint64_t> since;
};

class Store;

// A standing watch; destroying it ends it (inside its own callback too).
class Watch {
 public:
  ~Watch();
  Watch(const Watch&) = delete;

 private:
  friend class Store;
  Watch(Store* store, std::uint64_t id) : store_(store), id_(id) {}
  Store* store_;
  std::uint64_t id_;
};

enum class Propagation : std::uint8_t { kBackground, kForeground, kOrphan };

struct RemoveOptions {
  Propagation propagation = Propagation::kBackground;
  // Pods only: nothing means the pod's own terminationGracePeriodSeconds. A pod that is bound to a
  // node gets a deletionTimestamp and goes when the node removes it with 0.
  std::optional<std::int64_t> grace_seconds;
  std::string uid;            // precondition; "" for none
  std::uint64_t version = 0;  // precondition; 0 for none
};

struct StoreOptions {
  std::string path;            // SQLite file; "" keeps everything in memory only
  std::size_t history = 8192;  // events kept per resource; an older `since` is refused
  const Clock* clock = &system_clock();
};

// Single-threaded: all calls on the loop's thread.
class Store {
 public:
  // Runs `fn` at the end of the loop's turn: io::Loop::defer in a program. Watches are told and the
  // database is written from there, so a callback never runs inside a call that changes the store.
  using Defer = std::function<void(std::function<void()>)>;

  static Result<std::unique_ptr<Store>> open(StoreOptions options, Defer defer);
  ~Store();

  std::uint64_t version() const { return version_; }  // of the last change
  WallTime wall() const { return options_.clock->wall(); }

  // Null when there is none.
  Object get(const Key& key) const;
  // In the order of namespace and name. `ns` "" for all.
  std::vector<Object> list(std::string_view resource, std::string_view ns = {},
                           const Filter& filter = {}) const;
  std::size_t count(std::string_view resource) const;

  // Gives name (from generateName), uid, creationTimestamp, generation 1 and resourceVersion.
  // Errors: kExists; kInvalid without a name; kNotFound when the namespace is missing, kDenied when
  // it is terminating.
  Result<Object> create(const std::string& resource, Json object);

  // Replaces all but `status` (which stays as it is; for kinds where status is a subresource).
  // metadata.resourceVersion in `object`, when there, must be the current one. generation goes up
  // when something outside metadata and status changed. A no-op write gives back the current
  // object. Removing the last finalizer of a deleted object removes it. Errors: kNotFound,
  // kConflict.
  Result<Object> update(const std::string& resource, Json object);
  // Replaces status only (and nothing of metadata but what `object` may not change anyway).
  Result<Object> update_status(const std::string& resource, Json object);
  // Replaces everything including status: kinds without a status subresource.
  Result<Object> replace(const std::string& resource, Json object);

  // Reads, lets `change` work on a copy, and writes it with replace(). For controllers: no conflict
  // is possible. `change` returns false to leave the object alone.
  Result<Object> modify(const Key& key, const std::function<bool(Json&)>& change);

  // Starts or completes a deletion; the object as it is afterwards (its last state when gone).
  // Dependents (metadata.ownerReferences) follow by `propagation` at the end of the turn.
  Result<Object> remove(const Key& key, const RemoveOptions& options = {});

  // Events come in order of resourceVersion, each at the end of the turn of its change.
  // Errors: kLimit when `since` is too old (HTTP 410).
  Result<std::unique_ptr<Watch>> watch(const std::string& resource, WatchOptions options,
                                       std::function<void(const Event&)> callback);

  // Which resources hold objects at all: for deleting a namespace's contents.
  std::vector<std::string> resources() const;
  // Drops every object of a resource without finalizers or events of dependents (a CRD is gone).
  void drop(const std::string& resource);

  // Writes what is pending to the database now.
  Status flush();

 private:
  friend class Watch;
  class Database;
  using NameMap = std::map<std::string, Object, std::less<>>;
  struct Table {
    std::map<std::string, NameMap, std::less<>> by_ns;
    std::deque<Event> history;
    std::uint64_t oldest = 0;  // changes up to this version are forgotten
    std::size_t count = 0;
  };
  struct Watcher {
    std::string resource;
    WatchOptions options;
    std::function<void(const Event&)> callback;
    std::uint64_t cursor = 0;
    std::vector<Object> initial;
    bool dead = false;
  };

  Store(StoreOptions options, Defer defer);
  Status load();
  Object find(const Key& key) const;
  enum class Part : std::uint8_t { kAllButStatus, kStatus, kAll };
  Result<Object> write(const std::string& resource, Json object, Part part);
  Object commit(const Key& key, EventType type, Json object, const Object& previous);
  Object erase(const Key& key, const Object& current);
  Status check_namespace(const std::string& ns) const;
  Result<Object> mark_deleted(const Key& key, const Object& current, const RemoveOptions& options);
  void index_owners(const Key& key, const Json* before, const Json* after);
  void collect(const std::string& owner_uid, Propagation propagation);
  void release_foreground(const std::string& owner_uid);
  void schedule();
  void settle();
  void deliver();
  void deliver_to(Watcher& watcher);
  void tell(Watcher& watcher, const Event& event);

  StoreOptions options_;
  Defer defer_;
  std::unique_ptr<Database> database_;
  std::uint64_t version_ = 1;
  std::map<std::string, Table, std::less<>> tables_;
  std::unordered_map<std::string, std::set<Key>> dependents_;  // by owner's uid
  std::unordered_map<std::string, Key> by_uid_;
  std::map<std::uint64_t, std::shared_ptr<Watcher>> watchers_;
  std::uint64_t last_watch_ = 0;
  std::vector<std::function<void()>> afterwards_;  // garbage collection of this turn
  bool scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Reading objects: "" or null where there is nothing.
const Json& at_path(const Json& object, std::initializer_list<std::string_view> path);
std::string text_at(const Json& object, std::initializer_list<std::string_view> path);
std::string name_of(const Json& object);
std::string namespace_of(const Json& object);
std::string uid_of(const Json& object);
std::uint64_t version_of(const Json& object);
bool is_deleting(const Json& object);

}  // namespace mizzen::local
