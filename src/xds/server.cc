#include "xds/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/names.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "xds/wire.h"

namespace mizzen::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;

constexpr std::size_t kMaxRequestBytes = 16U << 20;
constexpr std::string_view kWildcard = "*";

// Names that come in a request; a stream may not grow without bound.
constexpr std::size_t kMaxNames = 200'000;

using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;
using Wrapped = envoy::service::discovery::v3::Resource;
using google::protobuf::Any;

std::size_t any_size(const Resource& resource, std::string_view type_url) {
  return field_size(type_url.size()) + field_size(resource.bytes.size());
}

std::size_t resource_size(const Resource& resource, std::string_view type_url) {
  return field_size(resource.version.size()) + field_size(any_size(resource, type_url)) +
         field_size(resource.name.size());
}

void put_resource(const Resource& resource, std::string_view type_url, std::string* to) {
  put_field_head(Response::kResourcesFieldNumber, resource_size(resource, type_url), to);
  put_field(Wrapped::kVersionFieldNumber, resource.version, to);
  put_field_head(Wrapped::kResourceFieldNumber, any_size(resource, type_url), to);
  put_field(Any::kTypeUrlFieldNumber, type_url, to);
  put_field(Any::kValueFieldNumber, resource.bytes, to);
  put_field(Wrapped::kNameFieldNumber, resource.name, to);
}

// What of two maps differs; what they share, most of it, is passed over by pointer.
template <class Changed, class Gone>
void each_difference(const ResourceMap& before, const ResourceMap& now, Changed changed,
                     Gone gone) {
  auto a = before.begin();
  auto b = now.begin();
  while (a != before.end() || b != now.end()) {
    if (a != before.end() && b != now.end() && a->second == b->second) {
      ++a;
      ++b;
      continue;
    }
    const int order = a == before.end() ? 1 : b == now.end() ? -1 : a->first.compare(b->first);
    if (order < 0) gone(a->second);
    if (order >= 0) changed(b->second);
    if (order <= 0) ++a;
    if (order >= 0) ++b;
  }
}

}  // namespace

DeltaServer::DeltaServer(std::string stream_id) : stream_id_(std::move(stream_id)) {}

const DeltaServer::Slot* DeltaServer::find(std::string_view url) const {
  const auto found = std::ranges::find(slots_, url, &Slot::url);
  return found == slots_.end() ? nullptr : &*found;
}

DeltaServer::Slot* DeltaServer::find(std::string_view url) {
  return const_cast<Slot*>(std::as_const(*this).find(url));
}

DeltaServer::Slot& DeltaServer::slot(const std::string& url) {
  if (Slot* known = find(url)) return *known;
  auto type = std::make_unique<Type>();
  type->url = url;
  type->status.type_url = url;
  const auto order = [](std::string_view one) { return std::pair(type_order(one), one); };
  const auto place = std::ranges::upper_bound(slots_, order(url), {},
                                              [&](const Slot& one) { return order(one.url); });
  const auto made = slots_.insert(place, Slot{type->url, true, std::move(type)});
  resolve(*made);
  return *made;
}

void DeltaServer::resolve(Slot& slot) {
  static const auto kNothing = std::make_shared<const ResourceMap>();
  slot.type->here = kNothing;
  if (world_ == nullptr) return;
  if (const auto found = world_->types.find(slot.url); found != world_->types.end()) {
    slot.url = found->first;
    slot.type->here = found->second;
  }
  slot.pending = slot.pending || slot.type->here != slot.type->seen;
}

// Takes what the world has of other types than the one before; false when they are not of a kind.
bool DeltaServer::follow(const World& before) {
  auto old = before.types.begin();
  for (const auto& [url, map] : world_->types) {
    if (old == before.types.end() || old->first.data() != url.data()) return false;
    if (old->second != map) {
      const auto found =
          std::ranges::find(slots_, url.data(), [](const Slot& slot) { return slot.url.data(); });
      if (found != slots_.end()) {
        found->type->here = map;
        found->pending = true;
      }
    }
    ++old;
  }
  return old == before.types.end();
}

// An answer that says nothing but which response it is to, as nearly all requests are.
bool DeltaServer::take_ack(std::string_view message, Received* received) {
  const auto answer = read_answer(message);
  if (!answer || !started_) return false;
  Slot* slot = find(answer->type_url);
  if (slot == nullptr) return false;
  Type* type = slot->type.get();
  received->type_url = type->url;
  if (answer->nonce != type->status.nonce_sent) {
    received->kind = Received::Kind::kStale;
    return true;
  }
  received->kind = Received::Kind::kAck;
  type->status.nonce_acked = type->status.nonce_sent;
  type->status.version_acked = type->status.version_sent;
  type->status.last_error.clear();
  return true;
}

Result<Received> DeltaServer::receive(std::string_view message) {
  if (message.size() > kMaxRequestBytes) {
    return fail(Code::kLimit, "a discovery request of more than 16 MiB", Side::kDownstream);
  }
  Received received;
  if (take_ack(message, &received)) return received;
  DeltaDiscoveryRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(Code::kProtocol, "not a DeltaDiscoveryRequest", Side::kDownstream);
  }
  if (request.type_url().empty()) {
    return fail(Code::kProtocol, "type_url is missing", Side::kDownstream);
  }
  received.type_url = request.type_url();
  if (!started_) {
    if (request.node().id().empty()) {
      return fail(Code::kProtocol, "the first request of a stream must carry node.id",
                  Side::kDownstream);
    }
    node_ = node_info(request.node());
    started_ = true;
    received.first_on_stream = true;
  }
  bool first = find(request.type_url()) == nullptr;
  Slot& slot = this->slot(request.type_url());
  slot.pending = true;
  Type& type = *slot.type;
  received.subscribed.assign(request.resource_names_subscribe().begin(),
                             request.resource_names_subscribe().end());
  received.unsubscribed.assign(request.resource_names_unsubscribe().begin(),
                               request.resource_names_unsubscribe().end());
  if (type.names.size() + received.subscribed.size() > kMaxNames) {
    return fail(Code::kLimit, "more than 200,000 names in a subscription", Side::kDownstream);
  }
  std::unordered_map<std::string, std::string> known(request.initial_resource_versions().begin(),
                                                     request.initial_resource_versions().end());
  apply_subscriptions(type, received, first, known);

  if (request.has_error_detail()) {
    received.kind = Received::Kind::kNack;
    received.error = request.error_detail().message();
    type.status.last_error = received.error;
  } else if (!request.response_nonce().empty() && !first) {
    if (request.response_nonce() == type.status.nonce_sent) {
      received.kind = Received::Kind::kAck;
      type.status.nonce_acked = type.status.nonce_sent;
      type.status.version_acked = type.status.version_sent;
      type.status.last_error.clear();
    } else if (received.subscribed.empty() && received.unsubscribed.empty()) {
      received.kind = Received::Kind::kStale;
    }
  }
  return received;
}

void DeltaServer::apply_subscriptions(Type& type, Received& received, bool first,
                                      const std::unordered_map<std::string, std::string>& known) {
  // A first request that names nothing asks for everything; later "*" does.
  if (first && received.subscribed.empty()) type.wildcard = true;
  if (first) type.has = known;
  for (const auto& name : received.subscribed) {
    if (name == kWildcard) {
      type.wildcard = true;
      continue;
    }
    type.names.insert(name);
    if (!known.contains(name)) {
      type.has.erase(name);
      type.again.insert(name);
    }
  }
  for (const auto& name : received.unsubscribed) {
    if (name == kWildcard) {
      type.wildcard = false;
      std::erase_if(type.has, [&](const auto& entry) { return !type.names.contains(entry.first); });
      continue;
    }
    type.names.erase(name);
    type.again.erase(name);
    // Under a wildcard the client goes on having it, unless it was asked for on top of it: the
    // protocol then wants it sent again, or said to be removed.
    type.has.erase(name);
    if (type.wildcard) type.again.insert(name);
  }
  // What a client has, it wants.
  if (first && !type.wildcard) {
    std::erase_if(type.has, [&](const auto& entry) { return !type.names.contains(entry.first); });
  }
  if (first || !received.subscribed.empty() || !received.unsubscribed.empty()) type.dirty = true;
  type.status.wildcard = type.wildcard;
}

void DeltaServer::offer(std::shared_ptr<const World> world) {
  const std::shared_ptr<const World> before = std::exchange(world_, std::move(world));
  if (before != nullptr && world_ != nullptr && follow(*before)) return;
  for (Slot& slot : slots_) resolve(slot);
}

std::optional<std::string> DeltaServer::next() {
  if (!world_) return std::nullopt;
  for (Slot& slot : slots_) {
    if (!slot.pending) continue;
    if (auto response = respond(*slot.type)) return response;
    slot.pending = false;
  }
  return std::nullopt;
}

template <class Consider>
void DeltaServer::compare_all(const Type& type, const ResourceMap& map, Consider consider,
                              std::vector<std::string>* removed) {
  if (type.wildcard) {
    for (const auto& [name, resource] : map) consider(resource);
  } else {
    for (const auto& name : type.names) {
      if (auto it = map.find(name); it != map.end()) consider(it->second);
    }
  }
  for (const auto& [name, version] : type.has) {
    bool wanted = type.wildcard || type.names.contains(name);
    if (wanted && !map.contains(name)) removed->push_back(name);
  }
}

std::optional<std::string> DeltaServer::respond(Type& type) {
  if (!type.dirty && type.seen == type.here && type.again.empty()) return std::nullopt;
  const ResourceMap& map = *type.here;

  std::vector<ResourceRef> changed;
  auto consider = [&](const ResourceRef& resource) {
    const auto [had, added] = type.has.try_emplace(resource->name);
    if (!added && had->second == resource->version && !type.again.contains(resource->name)) return;
    had->second = resource->version;
    changed.push_back(resource);
  };
  std::vector<std::string> removed;
  if (!type.dirty && type.again.empty() && type.seen != nullptr) {
    each_difference(
        *type.seen, map,
        [&](const ResourceRef& resource) {
          const std::string& name = resource->name;
          if (type.wildcard || type.has.contains(name) || type.names.contains(name)) {
            consider(resource);
          }
        },
        [&](const ResourceRef& gone) {
          if (type.has.contains(gone->name)) removed.push_back(gone->name);
        });
  } else {
    compare_all(type, map, consider, &removed);
    std::ranges::sort(changed, {}, &Resource::name);
  }
  // Names asked for that are not there: saying so ends the client's wait.
  for (const auto& name : type.again) {
    if (!map.contains(name) && !type.has.contains(name)) removed.push_back(name);
  }
  type.seen = type.here;
  type.dirty = false;
  if (changed.empty() && removed.empty() && type.answered) {
    type.again.clear();
    return std::nullopt;
  }

  std::ranges::sort(removed);
  std::string response = write_response(type, changed, removed);
  type.again.clear();
  type.answered = true;
  if (type.url == api::kClusterType) resend_endpoints(changed);
  return response;
}

// By hand: through a message every byte would be copied twice, for each proxy.
std::string DeltaServer::write_response(Type& type, const std::vector<ResourceRef>& changed,
                                        const std::vector<std::string>& removed) {
  type.status.nonce_sent =
      fmt::format("{}-{}-{}", stream_id_, type_order(type.url), ++type.nonce_number);
  type.status.version_sent = world_->version;
  std::size_t most = field_size(type.url.size()) + field_size(world_->version.size()) +
                     field_size(type.status.nonce_sent.size());
  for (const auto& resource : changed) most += field_size(resource_size(*resource, type.url));
  for (const auto& name : removed) most += field_size(name.size());
  std::string out;
  out.reserve(most);
  put_field(Response::kSystemVersionInfoFieldNumber, world_->version, &out);
  for (const auto& resource : changed) {
    put_resource(*resource, type.url, &out);
  }
  put_field(Response::kTypeUrlFieldNumber, type.url, &out);
  put_field(Response::kNonceFieldNumber, type.status.nonce_sent, &out);
  for (const auto& name : removed) {
    put_field(Response::kRemovedResourcesFieldNumber, name, &out);
    type.has.erase(name);
  }
  return out;
}

void DeltaServer::resend_endpoints(const std::vector<ResourceRef>& clusters) {
  Slot* found = find(api::kEndpointType);
  if (found == nullptr) return;
  Type& endpoints = *found->type;
  for (const auto& cluster : clusters) {
    if (cluster->endpoints.empty()) continue;
    if (!endpoints.wildcard && !endpoints.names.contains(cluster->endpoints)) continue;
    endpoints.again.insert(cluster->endpoints);
    endpoints.dirty = true;
    found->pending = true;
  }
}

bool DeltaServer::wants(std::string_view type_url, std::string_view name) const {
  const Slot* found = find(type_url);
  if (found == nullptr) return false;
  return found->type->wildcard || found->type->names.contains(std::string(name));
}

std::vector<std::string> DeltaServer::names(std::string_view type_url) const {
  const Slot* found = find(type_url);
  if (found == nullptr) return {};
  std::vector<std::string> names(found->type->names.begin(), found->type->names.end());
  std::ranges::sort(names);
  return names;
}

std::vector<TypeStatus> DeltaServer::status() const {
  std::vector<TypeStatus> all;
  for (const Slot& slot : slots_) {
    all.push_back(slot.type->status);
    all.back().subscribed = slot.type->names.size();
    all.back().resources = slot.type->has.size();
  }
  return all;
}

}  // namespace mizzen::xds
