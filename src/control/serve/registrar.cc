#include "control/serve/registrar.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "control/mesh/ingest.h"

namespace mizzen::control {

using object::Json;

namespace {

constexpr std::string_view kGroupOf = "istio.io/autoRegistrationGroup";
constexpr std::string_view kController = "istio.io/workloadController";
constexpr std::string_view kConnectedAt = "istio.io/connectedAt";
constexpr std::string_view kDisconnectedAt = "istio.io/disconnectedAt";
constexpr std::string_view kApiVersion = "networking.istio.io/v1";
constexpr std::string_view kAuthor = "mizzend";
constexpr std::size_t kLongestName = 253;
constexpr Duration kGrace = std::chrono::seconds(10);   // for a proxy to come back
constexpr Duration kReturn = std::chrono::seconds(30);  // likewise, after our own start
constexpr int kMostWrites = 10;

const kube::Resource& entries_resource() {
  static const kube::Resource kEntries{"networking.istio.io", "v1", "workloadentries", true};
  return kEntries;
}

// An annotation, or "".
std::string note_of(const Json& object, std::string_view name) {
  return object::string_at(object, {"metadata", "annotations", std::string(name)});
}

std::string key_of(const Registration& one) {
  return one.name_space + "/" + Registrar::entry_name(one);
}
std::string space_of(const std::string& key) { return key.substr(0, key.find('/')); }
std::string name_of(const std::string& key) { return key.substr(key.find('/') + 1); }

void put_over(const Json* from, Json* to) {
  for (auto one = from->begin(); one != from->end(); ++one) (*to)[one.key()] = one.value();
}

// The template, the group's labels over it, the node's over both.
Json make_entry(const Json& group, const Registration& one) {
  const Json* from = object::find(group, {"spec", "template"});
  Json spec = from == nullptr ? Json::object() : *from;
  Json labels = spec.value("labels", Json::object());
  Json annotations = Json::object();
  if (const Json* own = object::find(group, {"spec", "metadata", "labels"})) put_over(own, &labels);
  if (const Json* own = object::find(group, {"spec", "metadata", "annotations"})) {
    put_over(own, &annotations);
  }
  for (const auto& [name, value] : one.labels) labels[name] = value;
  annotations[std::string(kGroupOf)] = one.group;
  spec["address"] = one.address;
  spec["labels"] = labels;
  if (!one.network.empty()) spec["network"] = one.network;
  const Json owner = {{"apiVersion", kApiVersion},
                      {"kind", "WorkloadGroup"},
                      {"name", one.group},
                      {"uid", object::string_at(group, {"metadata", "uid"})},
                      {"controller", true}};
  return {{"apiVersion", kApiVersion},
          {"kind", "WorkloadEntry"},
          {"metadata",
           {{"name", Registrar::entry_name(one)},
            {"namespace", one.name_space},
            {"labels", labels},
            {"annotations", annotations},
            {"ownerReferences", Json::array({owner})}}},
          {"spec", spec}};
}

}  // namespace

Registrar::Registrar(kube::Client& client, std::string instance)
    : client_(client), instance_(std::move(instance)) {}

std::string Registrar::entry_name(const Registration& one) {
  std::string name = one.group + "-" + one.address;
  std::ranges::replace(name, ':', '-');
  if (!one.network.empty()) name += "-" + one.network;
  return name.size() > kLongestName ? name.substr(name.size() - kLongestName) : name;
}

void Registrar::apply(const Json& object) {
  const std::string kind = object::string_at(object, {"kind"});
  if (kind == "WorkloadGroup") groups_[read_key(object)] = object;
  if (kind != "WorkloadEntry" || note_of(object, kGroupOf).empty()) return;
  const std::string key = read_key(object);
  entries_[key] = object;
  if (!note_of(object, kDisconnectedAt).empty() && !connected_.contains(key)) remove_later(key);
}

void Registrar::remove(const Json& object) {
  const std::string kind = object::string_at(object, {"kind"});
  if (kind == "WorkloadGroup") groups_.erase(read_key(object));
  if (kind != "WorkloadEntry") return;
  const std::string key = read_key(object);
  if (entries_.erase(key) == 0) return;
  leaving_.erase(key);
  if (connected_.contains(key)) write(key, 0);  // whoever took it away, the workload is there
}

Result<Labels> Registrar::connect(const Registration& one) {
  const auto group = groups_.find(one.name_space + "/" + one.group);
  if (group == groups_.end()) {
    return fail(Code::kNotFound, fmt::format("WorkloadGroup {}/{} is not there: {} is registered "
                                             "when it is, and the proxy asks again",
                                             one.name_space, one.group, one.address));
  }
  const std::string account =
      object::string_at(group->second, {"spec", "template", "serviceAccount"});
  if (!account.empty() && account != one.identity.service_account) {
    return fail(
        Code::kUnauthenticated,
        fmt::format("WorkloadGroup {}/{} is for service account {}, {} has shown {}",
                    one.name_space, one.group, account, one.address, one.identity.to_string()));
  }
  const std::string key = key_of(one);
  Connected& connected = connected_[key];
  connected.entry = make_entry(group->second, one);
  if (++connected.streams == 1) {
    connected.since = rfc3339(system_clock().wall());
    write(key, 0);
  }
  return read_labels(object::find(connected.entry, {"spec", "labels"}));
}

void Registrar::disconnect(const Registration& one) {
  const auto found = connected_.find(key_of(one));
  if (found == connected_.end() || --found->second.streams > 0) return;
  connected_.erase(found);
  mark_disconnected(key_of(one));
}

void Registrar::start() {
  client_.loop().after(kReturn, [this, alive = alive_] {
    if (!*alive) return;
    for (const auto& [key, entry] : entries_) {
      const bool ours = note_of(entry, kController) == instance_;
      if (ours && !connected_.contains(key)) mark_disconnected(key);
    }
  });
}

void Registrar::try_again(const std::string& key, int attempt, const Error& error) {
  if (attempt + 1 >= kMostWrites) {
    log::warning("workload", "WorkloadEntry {}: {}", key, error.message);
    return;
  }
  client_.loop().after(std::chrono::seconds(1), [this, alive = alive_, key, attempt] {
    if (*alive) write(key, attempt + 1);
  });
}

void Registrar::write(const std::string& key, int attempt) {
  const auto found = connected_.find(key);
  if (found == connected_.end()) return;
  Json entry = found->second.entry;
  Json& annotations = entry["metadata"]["annotations"];
  annotations[std::string(kController)] = instance_;
  annotations[std::string(kConnectedAt)] = found->second.since;
  client_.create(entries_resource(), space_of(key), entry,
                 [this, alive = alive_, key, attempt](Result<Json> made) {
                   if (!*alive) return;
                   if (made) return log::info("workload", "registered {}", key);
                   const bool there =
                       made.error().code == Code::kExists || made.error().code == Code::kConflict;
                   there ? mark_connected(key, attempt) : try_again(key, attempt, made.error());
                 });
}

void Registrar::mark_connected(const std::string& key, int attempt) {
  const auto found = connected_.find(key);
  if (found == connected_.end()) return;
  const Json annotations = {{std::string(kController), instance_},
                            {std::string(kConnectedAt), found->second.since},
                            {std::string(kDisconnectedAt), nullptr}};
  client_.patch(
      entries_resource(), space_of(key), name_of(key), kube::PatchType::kMerge,
      {{"metadata", {{"annotations", annotations}}}},
      [this, alive = alive_, key, attempt](Result<Json> patched) {
        if (*alive && !patched) try_again(key, attempt, patched.error());
      },
      "", kAuthor);
}

void Registrar::mark_disconnected(const std::string& key) {
  const Json annotations = {{std::string(kConnectedAt), nullptr},
                            {std::string(kDisconnectedAt), rfc3339(system_clock().wall())}};
  client_.patch(
      entries_resource(), space_of(key), name_of(key), kube::PatchType::kMerge,
      {{"metadata", {{"annotations", annotations}}}},
      [key](Result<Json> patched) {
        if (!patched) log::debug("workload", "{}: {}", key, patched.error().message);
      },
      "", kAuthor);
}

void Registrar::remove_later(const std::string& key) {
  if (!leaving_.insert(key).second) return;
  client_.loop().after(kGrace, [this, alive = alive_, key] {
    if (!*alive) return;
    leaving_.erase(key);
    const auto entry = entries_.find(key);
    if (entry == entries_.end() || connected_.contains(key)) return;
    if (note_of(entry->second, kDisconnectedAt).empty()) return;  // it is connected elsewhere
    client_.remove(entries_resource(), space_of(key), name_of(key), [key](Result<Json> removed) {
      if (removed) {
        log::info("workload", "{} is gone, its proxy did not come back", key);
      } else if (removed.error().code != Code::kNotFound) {
        log::warning("workload", "{}: {}", key, removed.error().message);
      }
    });
  });
}

}  // namespace mizzen::control
