#include "local/apiserver/store.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/database.h"
#include "object/meta.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxName = 253;

std::uint32_t random_bits() {
  static std::random_device device;
  return device();
}

std::string new_uid() {
  std::uint32_t bits[4] = {random_bits(), random_bits(), random_bits(), random_bits()};
  bits[1] = (bits[1] & 0xffff0fffU) | 0x00004000U;  // RFC 9562: version 4
  bits[2] = (bits[2] & 0x3fffffffU) | 0x80000000U;  // and its variant
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", bits[0], bits[1] >> 16,
                     bits[1] & 0xffff, bits[2] >> 16, bits[2] & 0xffff, bits[3]);
}

// Without vowels and look-alikes, as Kubernetes makes them.
std::string name_suffix() {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string suffix;
  for (int i = 0; i < 5; ++i) suffix += kLetters[random_bits() % kLetters.size()];
  return suffix;
}

void set_version(Json& object, std::uint64_t version) {
  object["metadata"]["resourceVersion"] = std::to_string(version);
}

bool spec_differs(const Json& a, const Json& b) {
  auto covers = [](const Json& x, const Json& y) {
    for (const auto& [name, value] : x.items()) {
      if (name == "metadata" || name == "status") continue;
      auto other = y.find(name);
      if (other == y.end() || *other != value) return false;
    }
    return true;
  };
  return !covers(a, b) || !covers(b, a);
}

bool has_finalizers(const std::string& resource, const Json& object) {
  if (!at_path(object, {"metadata", "finalizers"}).empty()) return true;
  return resource == "namespaces" && !at_path(object, {"spec", "finalizers"}).empty();
}

}  // namespace

std::string_view to_string(EventType type) {
  switch (type) {
    case EventType::kAdded:
      return "ADDED";
    case EventType::kModified:
      return "MODIFIED";
    case EventType::kDeleted:
      return "DELETED";
  }
  return "";
}

std::string Key::to_string() const {
  return ns.empty() ? resource + " " + name : resource + " " + ns + "/" + name;
}

const Json& at_path(const Json& object, std::initializer_list<std::string_view> path) {
  static const Json kNull;
  const Json* found = object::find(object, path);
  return found ? *found : kNull;
}
std::string text_at(const Json& object, std::initializer_list<std::string_view> path) {
  return object::string_at(object, path);
}
std::string name_of(const Json& object) { return text_at(object, {"metadata", "name"}); }
std::string namespace_of(const Json& object) { return text_at(object, {"metadata", "namespace"}); }
std::string uid_of(const Json& object) { return text_at(object, {"metadata", "uid"}); }
std::uint64_t version_of(const Json& object) {
  return parse_int<std::uint64_t>(text_at(object, {"metadata", "resourceVersion"})).value_or(0);
}
bool is_deleting(const Json& object) {
  return at_path(object, {"metadata", "deletionTimestamp"}).is_string();
}

Store::Store(StoreOptions options, Defer defer)
    : options_(std::move(options)), defer_(std::move(defer)) {}

Store::~Store() {
  *alive_ = false;
  if (database_) (void)database_->flush(version_);
}

Result<std::unique_ptr<Store>> Store::open(StoreOptions options, Defer defer) {
  std::unique_ptr<Store> store(new Store(std::move(options), std::move(defer)));
  if (!store->options_.path.empty()) {
    MIZZEN_TRY(store->database_, Database::open(store->options_.path));
    MIZZEN_CHECKED(store->load());
  }
  return store;
}

Status Store::load() {
  MIZZEN_CHECKED(database_->load(&version_, [this](Key key, std::string body) {
    Json parsed = Json::parse(body, nullptr, false);
    if (!parsed.is_object()) {
      log::error("store", "{}: dropped, its record is damaged", key.to_string());
      return;
    }
    auto object = std::make_shared<const Json>(std::move(parsed));
    Table& table = tables_[key.resource];
    table.by_ns[key.ns][key.name] = object;
    ++table.count;
    by_uid_[uid_of(*object)] = key;
    index_owners(key, nullptr, object.get());
  }));
  for (auto& [resource, table] : tables_) table.oldest = version_;
  return {};
}

Object Store::find(const Key& key) const {
  auto table = tables_.find(key.resource);
  if (table == tables_.end()) return nullptr;
  auto names = table->second.by_ns.find(key.ns);
  if (names == table->second.by_ns.end()) return nullptr;
  auto object = names->second.find(key.name);
  return object == names->second.end() ? nullptr : object->second;
}

Object Store::get(const Key& key) const { return find(key); }

std::vector<Object> Store::list(std::string_view resource, std::string_view ns,
                                const Filter& filter) const {
  std::vector<Object> objects;
  auto table = tables_.find(resource);
  if (table == tables_.end()) return objects;
  for (const auto& [owner, names] : table->second.by_ns) {
    if (!ns.empty() && owner != ns) continue;
    for (const auto& [name, object] : names) {
      if (!filter || filter(*object)) objects.push_back(object);
    }
  }
  return objects;
}

std::size_t Store::count(std::string_view resource) const {
  auto table = tables_.find(resource);
  return table == tables_.end() ? 0 : table->second.count;
}

std::vector<std::string> Store::resources() const {
  std::vector<std::string> names;
  for (const auto& [resource, table] : tables_) {
    if (table.count > 0) names.push_back(resource);
  }
  return names;
}

Status Store::check_namespace(const std::string& ns) const {
  if (ns.empty()) return {};
  Object owner = find({"namespaces", "", ns});
  if (!owner) return fail(Code::kNotFound, fmt::format("namespaces \"{}\" not found", ns));
  if (is_deleting(*owner)) {
    return fail(
        Code::kDenied,
        fmt::format("unable to create new content in namespace {} because it is being terminated",
                    ns));
  }
  return {};
}

Result<Object> Store::create(const std::string& resource, Json object) {
  Json& meta = object["metadata"];
  if (!meta.is_object()) meta = Json::object();
  Key key{resource, namespace_of(object), name_of(object)};
  const std::string prefix = text_at(object, {"metadata", "generateName"});
  if (key.name.empty() && prefix.empty()) {
    return fail(Code::kInvalid, "name or generateName is required");
  }
  MIZZEN_CHECKED(check_namespace(key.ns));
  if (key.name.empty()) {
    do {
      key.name = prefix.substr(0, kMaxName - 5) + name_suffix();
    } while (find(key));
    meta["name"] = key.name;
  } else if (find(key)) {
    return fail(Code::kExists, key.name);
  }
  meta["uid"] = new_uid();
  meta["creationTimestamp"] = rfc3339(wall());
  meta.erase("deletionTimestamp");
  meta.erase("deletionGracePeriodSeconds");
  if (object.contains("spec") && resource != "pods") meta["generation"] = 1;
  return commit(key, EventType::kAdded, std::move(object), nullptr);
}

Result<Object> Store::update(const std::string& resource, Json object) {
  return write(resource, std::move(object), Part::kAllButStatus);
}
Result<Object> Store::update_status(const std::string& resource, Json object) {
  return write(resource, std::move(object), Part::kStatus);
}
Result<Object> Store::replace(const std::string& resource, Json object) {
  return write(resource, std::move(object), Part::kAll);
}

Result<Object> Store::write(const std::string& resource, Json object, Part part) {
  const Key key{resource, namespace_of(object), name_of(object)};
  Object current = find(key);
  if (!current) return fail(Code::kNotFound, key.name);
  const std::uint64_t expected = version_of(object);
  if (expected != 0 && expected != version_of(*current)) {
    return fail(Code::kConflict,
                "the object has been modified; please apply your changes to the "
                "latest version and try again");
  }
  const std::string uid = uid_of(object);
  if (!uid.empty() && uid != uid_of(*current)) {
    return fail(Code::kConflict, fmt::format("Precondition failed: UID in precondition: {}, UID in "
                                             "object meta: {}",
                                             uid, uid_of(*current)));
  }
  Json next;
  auto take_status = [](Json& to, const Json& from) {
    auto status = from.find("status");
    if (status == from.end())
      to.erase("status");
    else
      to["status"] = *status;
  };
  if (part == Part::kStatus) {
    next = *current;
    take_status(next, object);
  } else {
    next = std::move(object);
    if (part == Part::kAllButStatus) take_status(next, *current);
    const Json& before = at_path(*current, {"metadata"});
    Json& meta = next["metadata"];
    for (const char* fixed : {"uid", "creationTimestamp", "deletionTimestamp", "generation",
                              "deletionGracePeriodSeconds", "resourceVersion", "generateName"}) {
      auto value = before.find(fixed);
      if (value == before.end())
        meta.erase(fixed);
      else
        meta[fixed] = *value;
    }
  }
  if (next == *current) return current;
  if (part != Part::kStatus && next["metadata"].contains("generation") &&
      spec_differs(next, *current)) {
    next["metadata"]["generation"] = object::int_at(next, {"metadata", "generation"}) + 1;
  }
  const bool ends = is_deleting(next) && !has_finalizers(resource, next) &&
                    object::int_at(next, {"metadata", "deletionGracePeriodSeconds"}) == 0;
  if (ends) {
    auto last = std::make_shared<const Json>(std::move(next));
    return erase(key, last);
  }
  return commit(key, EventType::kModified, std::move(next), current);
}

Result<Object> Store::modify(const Key& key, const std::function<bool(Json&)>& change) {
  Object current = find(key);
  if (!current) return fail(Code::kNotFound, key.to_string());
  Json next = *current;
  if (!change(next)) return current;
  return replace(key.resource, std::move(next));
}

Object Store::commit(const Key& key, EventType type, Json object, const Object& previous) {
  set_version(object, ++version_);
  auto stored = std::make_shared<const Json>(std::move(object));
  Table& table = tables_[key.resource];
  table.by_ns[key.ns][key.name] = stored;
  if (type == EventType::kAdded) {
    ++table.count;
    by_uid_[uid_of(*stored)] = key;
  }
  index_owners(key, previous.get(), stored.get());
  table.history.push_back({type, version_, stored, previous});
  if (database_) database_->put(key, stored);
  schedule();
  return stored;
}

Object Store::erase(const Key& key, const Object& current) {
  Object previous = find(key);
  Json last = *current;
  set_version(last, ++version_);
  auto gone = std::make_shared<const Json>(std::move(last));
  Table& table = tables_[key.resource];
  auto names = table.by_ns.find(key.ns);
  names->second.erase(key.name);
  if (names->second.empty()) table.by_ns.erase(names);
  --table.count;
  const std::string uid = uid_of(*gone);
  by_uid_.erase(uid);
  index_owners(key, previous.get(), nullptr);
  table.history.push_back({EventType::kDeleted, version_, gone, previous});
  if (database_) database_->erase(key);
  afterwards_.push_back([this, uid] { collect(uid, Propagation::kBackground); });
  for (const auto& owner : at_path(*gone, {"metadata", "ownerReferences"})) {
    afterwards_.push_back([this, uid = text_at(owner, {"uid"})] { release_foreground(uid); });
  }
  schedule();
  return gone;
}

Result<Object> Store::remove(const Key& key, const RemoveOptions& options) {
  Object current = find(key);
  if (!current) return fail(Code::kNotFound, key.name);
  if (!options.uid.empty() && options.uid != uid_of(*current)) {
    return fail(Code::kConflict, fmt::format("Precondition failed: UID in precondition: {}, UID in "
                                             "object meta: {}",
                                             options.uid, uid_of(*current)));
  }
  if (options.version != 0 && options.version != version_of(*current)) {
    return fail(Code::kConflict, "Precondition failed: ResourceVersion");
  }
  const std::string uid = uid_of(*current);
  if (options.propagation == Propagation::kOrphan) collect(uid, Propagation::kOrphan);
  return mark_deleted(key, current, options);
}

Result<Object> Store::mark_deleted(const Key& key, const Object& current,
                                   const RemoveOptions& options) {
  Json next = *current;
  Json& meta = next["metadata"];
  std::int64_t grace = 0;
  if (key.resource == "pods") {
    const std::string phase = text_at(next, {"status", "phase"});
    const bool running =
        !text_at(next, {"spec", "nodeName"}).empty() && phase != "Succeeded" && phase != "Failed";
    grace = !running ? 0
                     : options.grace_seconds.value_or(
                           object::int_at(next, {"spec", "terminationGracePeriodSeconds"}, 30));
    // A second request may shorten the wait, never lengthen it.
    if (is_deleting(next) && running && options.grace_seconds != 0) {
      grace = std::min(grace, object::int_at(next, {"metadata", "deletionGracePeriodSeconds"}));
    }
  }
  const std::string uid = uid_of(next);
  if (options.propagation == Propagation::kForeground && dependents_.contains(uid)) {
    Json& finalizers = meta["finalizers"];
    if (finalizers.is_null()) finalizers = Json::array();
    if (std::find(finalizers.begin(), finalizers.end(), "foregroundDeletion") == finalizers.end()) {
      finalizers.push_back("foregroundDeletion");
    }
    afterwards_.push_back([this, uid] { collect(uid, Propagation::kForeground); });
  }
  if (grace == 0 && !has_finalizers(key.resource, next)) return erase(key, current);
  if (is_deleting(next) &&
      object::int_at(next, {"metadata", "deletionGracePeriodSeconds"}) <= grace) {
    return current;
  }
  meta["deletionTimestamp"] = rfc3339(wall() + std::chrono::seconds(grace));
  meta["deletionGracePeriodSeconds"] = grace;
  if (meta.contains("generation")) {
    meta["generation"] = object::int_at(next, {"metadata", "generation"}) + 1;
  }
  if (key.resource == "namespaces") next["status"]["phase"] = "Terminating";
  return commit(key, EventType::kModified, std::move(next), current);
}

void Store::drop(const std::string& resource) {
  for (const Object& object : list(resource)) {
    erase({resource, namespace_of(*object), name_of(*object)}, object);
  }
}

}  // namespace mizzen::local
