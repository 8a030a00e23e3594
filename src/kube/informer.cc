#include "kube/informer.h"

#include <algorithm>
#include <random>
#include <set>

#include "base/log.h"
#include "object/json.h"

namespace mizzen::kube {
namespace {

std::string key_of(const Json& object) {
  std::string name_space = object::string_at(object, {"metadata", "namespace"});
  std::string name = object::string_at(object, {"metadata", "name"});
  return name_space.empty() ? name : name_space + "/" + name;
}

std::string version_of(const Json& object) {
  return object::string_at(object, {"metadata", "resourceVersion"});
}

// What is kept of an object whose content nobody asked for.
Json only_metadata(const Json& object) {
  Json kept = Json::object();
  for (const char* key : {"name", "namespace", "resourceVersion", "uid"}) {
    if (const Json* value = object::find(object, {"metadata", key})) kept[key] = *value;
  }
  return {{"metadata", std::move(kept)}};
}

}  // namespace

Duration Backoff::next() {
  step_ = step_.count() == 0 ? first_ : std::min(step_ * 2, longest_);
  thread_local std::minstd_rand random{std::random_device{}()};
  return step_ / 2 +
         Duration(static_cast<Duration::rep>(static_cast<double>(step_.count()) / 2 *
                                             std::uniform_real_distribution<double>(0, 1)(random)));
}

class Informer::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Client& client, Resource resource, InformerOptions options, InformerCallbacks callbacks)
      : resource(std::move(resource)),
        client_(client),
        options_(std::move(options)),
        callbacks_(std::move(callbacks)) {}

  void stop() {
    stopped_ = true;
    watch_.reset();
    client_.loop().cancel(timer_);
    callbacks_ = {};
  }

  void list() {
    client_.list(resource, options_.list, [weak = weak_from_this()](Result<ObjectList> all) {
      auto self = weak.lock();
      if (!self || self->stopped_) return;
      if (!all) return self->failed(all.error());
      self->listed(std::move(*all));
    });
  }

  Resource resource;
  std::map<std::string, Json, std::less<>> objects;
  bool synced = false;

 private:
  void listed(ObjectList all) {
    backoff_.reset();
    last_error_.clear();
    std::set<std::string, std::less<>> seen;
    for (Json& object : all.items) {
      seen.insert(key_of(object));
      put(std::move(object));
      if (stopped_) return;
    }
    std::vector<Json> gone;
    for (const auto& [key, object] : objects) {
      if (!seen.contains(key)) gone.push_back(object);
    }
    for (const Json& object : gone) drop(object);
    version_ = all.resource_version;
    if (!synced) {
      synced = true;
      if (callbacks_.on_synced) callbacks_.on_synced();
    }
    if (!stopped_) watch();
  }

  void watch() {
    heard_ = false;
    auto weak = weak_from_this();
    watch_ = client_.watch(
        resource, options_.list, version_,
        [weak](Client::WatchEvent event) {
          auto self = weak.lock();
          if (self && !self->stopped_) self->on_event(std::move(event));
        },
        [weak](const Status& status) {
          auto self = weak.lock();
          if (self && !self->stopped_) self->ended(status);
        });
  }

  void on_event(Client::WatchEvent event) {
    std::string version = version_of(event.object);
    if (!version.empty()) version_ = version;
    heard_ = true;
    backoff_.reset();
    switch (event.type) {
      case Client::WatchEvent::Type::kBookmark:
        return;
      case Client::WatchEvent::Type::kDeleted:
        return drop(event.object);
      default:
        return put(std::move(event.object));
    }
  }

  void ended(const Status& status) {
    // A server that ends watches as soon as they begin is not asked in a tight loop.
    if (status) return again(heard_ ? Duration{0} : backoff_.next(), false);
    // 410: the version that we go on from is too old.
    if (status.error().code == Code::kClosed && status.error().side == Side::kUpstream) {
      return again(backoff_.next(), true);
    }
    failed(status.error());
  }

  void failed(const Error& error) {
    if (error.message != last_error_) {
      last_error_ = error.message;
      if (callbacks_.on_error) callbacks_.on_error(error);
      log::debug("kube", "{}: {}", resource.plural, error.message);
    }
    again(backoff_.next(), true);
  }

  void again(Duration wait, bool with_list) {
    if (stopped_) return;
    timer_ = client_.loop().after(wait, [weak = weak_from_this(), with_list] {
      auto self = weak.lock();
      if (!self || self->stopped_) return;
      with_list ? self->list() : self->watch();
    });
  }

  void put(Json object) {
    std::string key = key_of(object);
    if (key.empty()) return;  // nothing that a server should say
    auto found = objects.find(key);
    if (found == objects.end()) {
      const Json& kept =
          objects.emplace(key, options_.keep_objects ? object : only_metadata(object))
              .first->second;
      if (callbacks_.on_added) callbacks_.on_added(options_.keep_objects ? kept : object);
      return;
    }
    if (version_of(found->second) == version_of(object)) return;
    Json before = std::move(found->second);
    found->second = options_.keep_objects ? object : only_metadata(object);
    if (callbacks_.on_changed) callbacks_.on_changed(before, object);
  }

  void drop(const Json& object) {
    auto found = objects.find(key_of(object));
    if (found == objects.end()) return;
    Json last = std::move(found->second);
    objects.erase(found);
    if (callbacks_.on_removed) callbacks_.on_removed(last);
  }

  Client& client_;
  InformerOptions options_;
  InformerCallbacks callbacks_;
  std::unique_ptr<Client::Watch> watch_;
  std::string version_;
  std::string last_error_;
  Backoff backoff_{std::chrono::milliseconds(200), std::chrono::seconds(10)};
  io::TimerId timer_ = 0;
  bool heard_ = false;  // this watch has told something
  bool stopped_ = false;
};

Informer::Informer(Client& client, Resource resource, InformerOptions options,
                   InformerCallbacks callbacks)
    : core_(std::make_shared<Core>(client, std::move(resource), std::move(options),
                                   std::move(callbacks))) {}
Informer::~Informer() { core_->stop(); }

void Informer::start() { core_->list(); }
bool Informer::synced() const { return core_->synced; }
const std::map<std::string, Json, std::less<>>& Informer::objects() const { return core_->objects; }

const Json* Informer::find(std::string_view name_space, std::string_view name) const {
  std::string key(name_space);
  if (!key.empty()) key += "/";
  key += name;
  auto found = core_->objects.find(key);
  return found == core_->objects.end() ? nullptr : &found->second;
}

const Resource& Informer::resource() const { return core_->resource; }

}  // namespace mizzen::kube
