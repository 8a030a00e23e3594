#include "xds/server.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "xds/wire.h"

namespace mizzen::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr std::size_t kMaxRequestBytes = 16U << 20;
constexpr std::string_view kWildcard = "*";

// Names that come in a request; a stream may not grow without bound.
constexpr std::size_t kMaxNames = 200'000;

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

bool DeltaServer::Order::operator()(const std::string& a, const std::string& b) const {
  int order_a = type_order(a);
  int order_b = type_order(b);
  return order_a != order_b ? order_a < order_b : a < b;
}

DeltaServer::DeltaServer(std::string stream_id) : stream_id_(std::move(stream_id)) {}

DeltaServer::Type& DeltaServer::type(const std::string& url) {
  auto [found, made] = types_.try_emplace(url);
  if (made) {
    found->second.url = url;
    found->second.status.type_url = url;
  }
  return found->second;
}

Result<Received> DeltaServer::receive(std::string_view message) {
  if (message.size() > kMaxRequestBytes) {
    return fail(Code::kLimit, "a discovery request of more than 16 MiB", Side::kDownstream);
  }
  DeltaDiscoveryRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(Code::kProtocol, "not a DeltaDiscoveryRequest", Side::kDownstream);
  }
  if (request.type_url().empty()) {
    return fail(Code::kProtocol, "type_url is missing", Side::kDownstream);
  }
  Received received;
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
  bool first = !types_.contains(request.type_url());
  Type& type = this->type(request.type_url());
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
  if (first || !received.subscribed.empty() || !received.unsubscribed.empty()) type.dirty = true;
  type.status.wildcard = type.wildcard;
}

void DeltaServer::offer(std::shared_ptr<const World> world) { world_ = std::move(world); }

std::optional<std::string> DeltaServer::next() {
  if (!world_) return std::nullopt;
  for (auto& [url, type] : types_) {
    if (auto response = respond(type)) return response;
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
  static const auto kNothing = std::make_shared<const ResourceMap>();
  auto found = world_->types.find(type.url);
  const auto& here = found == world_->types.end() ? kNothing : found->second;
  if (!type.dirty && type.seen == here && type.again.empty()) return std::nullopt;
  const ResourceMap& map = *here;

  std::vector<ResourceRef> changed;
  auto consider = [&](const ResourceRef& resource) {
    auto had = type.has.find(resource->name);
    if (had != type.has.end() && had->second == resource->version &&
        !type.again.contains(resource->name)) {
      return;
    }
    changed.push_back(resource);
  };
  std::vector<std::string> removed;
  if (!type.dirty && type.again.empty() && type.seen != nullptr) {
    each_difference(
        *type.seen, map,
        [&](const ResourceRef& resource) {
          if (type.wildcard || type.names.contains(resource->name)) consider(resource);
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
  type.seen = here;
  type.dirty = false;
  if (changed.empty() && removed.empty() && type.answered) {
    type.again.clear();
    return std::nullopt;
  }

  std::ranges::sort(removed);
  DeltaDiscoveryResponse response;
  response.set_type_url(type.url);
  response.set_system_version_info(world_->version);
  response.set_nonce(
      fmt::format("{}-{}-{}", stream_id_, type_order(type.url), ++type.nonce_number));
  for (const auto& resource : changed) {
    auto* out = response.add_resources();
    out->set_name(resource->name);
    out->set_version(resource->version);
    out->mutable_resource()->set_type_url(type.url);
    out->mutable_resource()->set_value(resource->bytes);
    type.has[resource->name] = resource->version;
  }
  for (const auto& name : removed) {
    response.add_removed_resources(name);
    type.has.erase(name);
  }
  type.again.clear();
  type.answered = true;
  type.status.nonce_sent = response.nonce();
  type.status.version_sent = world_->version;
  if (type.url == api::kClusterType) resend_endpoints(changed);
  return response.SerializeAsString();
}

void DeltaServer::resend_endpoints(const std::vector<ResourceRef>& clusters) {
  auto found = types_.find(std::string(api::kEndpointType));
  if (found == types_.end()) return;
  Type& endpoints = found->second;
  for (const auto& cluster : clusters) {
    if (cluster->endpoints.empty()) continue;
    if (!endpoints.wildcard && !endpoints.names.contains(cluster->endpoints)) continue;
    endpoints.again.insert(cluster->endpoints);
    endpoints.dirty = true;
  }
}

bool DeltaServer::wants(std::string_view type_url, std::string_view name) const {
  auto found = types_.find(std::string(type_url));
  if (found == types_.end()) return false;
  return found->second.wildcard || found->second.names.contains(std::string(name));
}

std::vector<std::string> DeltaServer::names(std::string_view type_url) const {
  auto found = types_.find(std::string(type_url));
  if (found == types_.end()) return {};
  std::vector<std::string> names(found->second.names.begin(), found->second.names.end());
  std::ranges::sort(names);
  return names;
}

std::vector<TypeStatus> DeltaServer::status() const {
  std::vector<TypeStatus> all;
  for (const auto& [url, type] : types_) {
    all.push_back(type.status);
    all.back().subscribed = type.names.size();
    all.back().resources = type.has.size();
  }
  return all;
}

}  // namespace mizzen::xds
