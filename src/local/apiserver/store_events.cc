// Watches and what follows a change: delivery, garbage collection, the database.
#include <algorithm>

#include "base/log.h"
#include "local/apiserver/database.h"
#include "local/apiserver/store.h"

namespace mizzen::local {

Watch::~Watch() {
  auto found = store_->watchers_.find(id_);
  if (found == store_->watchers_.end()) return;
  found->second->dead = true;
  store_->watchers_.erase(found);
}

Result<std::unique_ptr<Watch>> Store::watch(const std::string& resource, WatchOptions options,
                                            std::function<void(const Event&)> callback) {
  Table& table = tables_[resource];
  auto watcher = std::make_shared<Watcher>();
  watcher->resource = resource;
  watcher->callback = std::move(callback);
  if (options.since) {
    if (*options.since < table.oldest) {
      return fail(Code::kLimit, "too old resource version: " + std::to_string(*options.since) +
                                    " (" + std::to_string(table.oldest) + ")");
    }
    watcher->cursor = *options.since;
  } else {
    watcher->cursor = version_;
    watcher->initial = list(resource, options.ns, options.filter);
  }
  watcher->options = std::move(options);
  const std::uint64_t id = ++last_watch_;
  watchers_[id] = std::move(watcher);
  schedule();
  return std::unique_ptr<Watch>(new Watch(this, id));
}

void Store::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  defer_([this, alive = alive_] {
    if (*alive) settle();
  });
}

void Store::settle() {
  scheduled_ = false;
  auto work = std::move(afterwards_);
  afterwards_.clear();
  for (auto& step : work) step();
  if (Status flushed = flush(); !flushed) {
    log::error("store", "{}; kept in memory, tried again with the next change",
               flushed.error().message);
  }
  deliver();
  for (auto& [resource, table] : tables_) {
    while (table.history.size() > options_.history) {
      table.oldest = table.history.front().version;
      table.history.pop_front();
    }
  }
}

Status Store::flush() {
  if (!database_ || !database_->dirty()) return {};
  return database_->flush(version_);
}

void Store::deliver() {
  std::vector<std::shared_ptr<Watcher>> standing;
  for (auto& [id, watcher] : watchers_) standing.push_back(watcher);
  for (auto& watcher : standing) deliver_to(*watcher);
}

void Store::deliver_to(Watcher& watcher) {
  auto initial = std::move(watcher.initial);
  watcher.initial.clear();
  for (const Object& object : initial) {
    if (watcher.dead) return;
    watcher.callback({EventType::kAdded, watcher.cursor, object, nullptr});
  }
  // A callback may change the store, which grows the history: look it up anew for each event.
  while (!watcher.dead) {
    const auto& history = tables_[watcher.resource].history;
    auto next = std::upper_bound(
        history.begin(), history.end(), watcher.cursor,
        [](std::uint64_t version, const Event& event) { return version < event.version; });
    if (next == history.end()) return;
    const Event event = *next;
    watcher.cursor = event.version;
    tell(watcher, event);
  }
}

void Store::tell(Watcher& watcher, const Event& event) {
  const WatchOptions& wanted = watcher.options;
  if (!wanted.ns.empty() && namespace_of(*event.object) != wanted.ns) return;
  if (!wanted.filter) return watcher.callback(event);
  const bool before = event.previous && wanted.filter(*event.previous);
  const bool after = event.type != EventType::kDeleted && wanted.filter(*event.object);
  if (!before && !after) return;
  Event seen = event;
  if (!before)
    seen.type = EventType::kAdded;
  else if (!after)
    seen.type = EventType::kDeleted;
  else
    seen.type = EventType::kModified;
  watcher.callback(seen);
}

void Store::index_owners(const Key& key, const Json* before, const Json* after) {
  auto owners = [](const Json* object) {
    std::set<std::string> uids;
    if (!object) return uids;
    for (const auto& owner : at_path(*object, {"metadata", "ownerReferences"})) {
      uids.insert(text_at(owner, {"uid"}));
    }
    return uids;
  };
  const auto old_uids = owners(before);
  const auto new_uids = owners(after);
  for (const auto& uid : old_uids) {
    if (new_uids.contains(uid)) continue;
    auto found = dependents_.find(uid);
    if (found == dependents_.end()) continue;
    found->second.erase(key);
    if (found->second.empty()) dependents_.erase(found);
  }
  bool orphaned = !new_uids.empty() && !before;
  for (const auto& uid : new_uids) {
    if (!old_uids.contains(uid)) dependents_[uid].insert(key);
    if (by_uid_.contains(uid)) orphaned = false;
  }
  // Made after its owner went: goes the same way. (Not while loading: owners may come later.)
  if (orphaned && version_ == version_of(*after)) {
    afterwards_.push_back([this, uid = *new_uids.begin()] {
      if (!by_uid_.contains(uid)) collect(uid, Propagation::kBackground);
    });
  }
}

void Store::collect(const std::string& owner_uid, Propagation propagation) {
  auto found = dependents_.find(owner_uid);
  if (found == dependents_.end()) return;
  const std::set<Key> keys = found->second;
  for (const Key& key : keys) {
    Object dependent = find(key);
    if (!dependent) continue;
    bool kept = propagation == Propagation::kOrphan;
    for (const auto& owner : at_path(*dependent, {"metadata", "ownerReferences"})) {
      const std::string uid = text_at(owner, {"uid"});
      if (uid == owner_uid) continue;
      auto other = by_uid_.find(uid);
      if (other != by_uid_.end() && !is_deleting(*find(other->second))) kept = true;
    }
    if (!kept) {
      RemoveOptions options;
      options.propagation = propagation;
      (void)remove(key, options);
      continue;
    }
    (void)modify(key, [&](Json& object) {
      Json rest = Json::array();
      for (const auto& owner : object["metadata"]["ownerReferences"]) {
        if (text_at(owner, {"uid"}) != owner_uid) rest.push_back(owner);
      }
      if (rest.empty())
        object["metadata"].erase("ownerReferences");
      else
        object["metadata"]["ownerReferences"] = std::move(rest);
      return true;
    });
  }
}

void Store::release_foreground(const std::string& owner_uid) {
  auto owner = by_uid_.find(owner_uid);
  if (owner == by_uid_.end()) return;
  auto waiting = dependents_.find(owner_uid);
  if (waiting != dependents_.end()) {
    for (const Key& key : waiting->second) {
      Object dependent = find(key);
      if (!dependent) continue;
      for (const auto& reference : at_path(*dependent, {"metadata", "ownerReferences"})) {
        if (text_at(reference, {"uid"}) == owner_uid &&
            reference.value("blockOwnerDeletion", false)) {
          return;
        }
      }
    }
  }
  const Key key = owner->second;
  (void)modify(key, [](Json& object) {
    if (!is_deleting(object)) return false;
    Json rest = Json::array();
    for (const auto& finalizer : at_path(object, {"metadata", "finalizers"})) {
      if (finalizer != "foregroundDeletion") rest.push_back(finalizer);
    }
    if (rest.empty())
      object["metadata"].erase("finalizers");
    else
      object["metadata"]["finalizers"] = std::move(rest);
    return true;
  });
}

}  // namespace mizzen::local
