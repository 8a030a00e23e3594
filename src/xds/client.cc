#include "xds/client.h"

#include <algorithm>
#include <iterator>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "xds/wire.h"

namespace mizzen::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr std::size_t kMaxErrorBytes = 4096;

// Destinations that are known say what all else must hold: the server is told them first. Those
// that are not come last, so that all else is on its way before their answer.
std::pair<int, std::string_view> telling_order(std::string_view url) {
  return {url == api::kDestinationType ? -1 : type_order(url), url};
}

}  // namespace

std::string describe(const std::vector<Rejection>& rejections) {
  std::string text;
  for (const auto& rejection : rejections) {
    if (!text.empty()) text += "; ";
    text += rejection.name.empty() ? rejection.reason : rejection.name + ": " + rejection.reason;
    if (text.size() > kMaxErrorBytes) {
      text.resize(kMaxErrorBytes);
      return text + "...";
    }
  }
  return text;
}

DeltaClient::DeltaClient(std::string node) : node_(std::move(node)) {}

const DeltaClient::Type* DeltaClient::find(std::string_view url) const {
  const auto found = std::ranges::find(types_, url, &Type::url);
  return found == types_.end() ? nullptr : &*found;
}

DeltaClient::Type* DeltaClient::find(std::string_view url) {
  return const_cast<Type*>(std::as_const(*this).find(url));
}

// The reference is good until the next type comes in.
DeltaClient::Type& DeltaClient::type(std::string_view url) {
  if (Type* known = find(url)) return *known;
  const auto place = std::ranges::upper_bound(
      types_, telling_order(url), {}, [](const Type& one) { return telling_order(one.url); });
  Type& made = *types_.emplace(place);
  made.url = url;
  return made;
}

void DeltaClient::subscribe_all(std::string_view type_url) {
  Type& type = this->type(type_url);
  if (type.wildcard) return;
  type.wildcard = true;
  if (type.started) type.to_subscribe.insert("*");
}

void DeltaClient::subscribe(std::string_view type_url, const std::vector<std::string>& names) {
  Type& type = this->type(type_url);
  for (const auto& name : names) {
    if (!type.names.insert(name).second) continue;
    type.to_unsubscribe.erase(name);
    type.to_subscribe.insert(name);
  }
}

void DeltaClient::unsubscribe(std::string_view type_url, const std::vector<std::string>& names) {
  Type& type = this->type(type_url);
  for (const auto& name : names) {
    if (type.names.erase(name) == 0) continue;
    // The owner may let go of it at once: asked for again, it must come again.
    if (!type.wildcard) type.versions.erase(name);
    if (!type.wildcard && type.to_subscribe.erase(name) > 0) continue;
    type.to_subscribe.erase(name);
    type.to_unsubscribe.insert(name);
  }
}

void DeltaClient::set_names(std::string_view type_url, const std::set<std::string>& names) {
  Type& type = this->type(type_url);
  std::vector<std::string> more;
  std::vector<std::string> fewer;
  std::ranges::set_difference(names, type.names, std::back_inserter(more));
  std::ranges::set_difference(type.names, names, std::back_inserter(fewer));
  subscribe(type_url, more);
  unsubscribe(type_url, fewer);
}

void DeltaClient::on_open() {
  open_ = true;
  node_sent_ = false;
  answers_.clear();
  for (Type& type : types_) {
    type.started = false;
    type.to_subscribe.clear();
    type.to_unsubscribe.clear();
  }
}

void DeltaClient::on_closed() {
  open_ = false;
  answers_.clear();
}

Result<Update> DeltaClient::receive(std::string_view message) {
  if (message.size() > kMaxResponseBytes) {
    return fail(Code::kLimit, "a discovery response of more than 256 MiB", Side::kUpstream);
  }
  DeltaDiscoveryResponse response;
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(Code::kProtocol, "not a DeltaDiscoveryResponse", Side::kUpstream);
  }
  if (find(response.type_url()) == nullptr) {
    return fail(Code::kProtocol,
                "a response of type '" + response.type_url() + "', which was not asked for",
                Side::kUpstream);
  }
  Update update;
  update.type_url = response.type_url();
  update.nonce = response.nonce();
  update.version = response.system_version_info();
  update.resources.reserve(static_cast<std::size_t>(response.resources_size()));
  for (auto& resource : *response.mutable_resources()) {
    if (resource.resource().type_url() != update.type_url) {
      return fail(Code::kProtocol,
                  "resource '" + resource.name() + "' is of type '" +
                      resource.resource().type_url() + "' in a response of type '" +
                      update.type_url + "'",
                  Side::kUpstream);
    }
    update.resources.push_back({resource.name(),
                                resource.version(),
                                std::move(*resource.mutable_resource()->mutable_value()),
                                {}});
  }
  update.removed.assign(response.removed_resources().begin(), response.removed_resources().end());
  return update;
}

void DeltaClient::answer(const Update& update, const std::vector<Rejection>& rejections) {
  Type& type = this->type(update.type_url);
  auto rejected = [&](const std::string& name) {
    return std::ranges::any_of(rejections, [&](const Rejection& rejection) {
      return rejection.name == name || rejection.name.empty();
    });
  };
  for (const auto& resource : update.resources) {
    // A late answer for a name given up meanwhile must not come back as a known version.
    if (!type.wildcard && !type.names.contains(resource.name)) continue;
    if (rejections.empty() || !rejected(resource.name)) {
      type.versions[resource.name] = resource.version;
    }
  }
  for (const auto& name : update.removed) type.versions.erase(name);
  if (open_) answers_.push_back({update.type_url, update.nonce, describe(rejections)});
}

std::string DeltaClient::start_request(Type& type) {
  DeltaDiscoveryRequest request;
  request.set_type_url(type.url);
  // "*" is said only beside names: alone, the first empty request means it in every version of the
  // protocol.
  if (type.wildcard && !type.names.empty()) request.add_resource_names_subscribe("*");
  type.to_subscribe.clear();
  for (const auto& name : type.names) {
    const bool later = type.url == api::kDestinationType && !type.versions.empty() &&
                       !type.versions.contains(name);
    if (later) {
      type.to_subscribe.insert(name);
    } else {
      request.add_resource_names_subscribe(name);
    }
  }
  for (const auto& [name, version] : type.versions) {
    (*request.mutable_initial_resource_versions())[name] = version;
  }
  if (!node_sent_) {
    request.mutable_node()->ParseFromString(node_);
    node_sent_ = true;
  }
  type.started = true;
  type.to_unsubscribe.clear();
  return request.SerializeAsString();
}

std::optional<std::string> DeltaClient::next() {
  if (!open_) return std::nullopt;
  if (!answers_.empty()) {
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    if (answer.error.empty()) return write_answer({answer.type_url, answer.nonce});
    DeltaDiscoveryRequest request;
    request.set_type_url(answer.type_url);
    request.set_response_nonce(answer.nonce);
    request.mutable_error_detail()->set_code(kInvalidArgument);
    request.mutable_error_detail()->set_message(answer.error);
    return request.SerializeAsString();
  }
  return next_subscription();
}

std::optional<std::string> DeltaClient::next_subscription() {
  for (Type& type : types_) {
    if (type.started || (!type.wildcard && type.names.empty())) continue;
    if (type.url == api::kDestinationType && type.versions.empty()) continue;
    return start_request(type);
  }
  for (Type& type : types_) {
    if (!type.started && !type.names.empty()) return start_request(type);
    if (!type.started) continue;
    if (type.to_subscribe.empty() && type.to_unsubscribe.empty()) continue;
    DeltaDiscoveryRequest request;
    request.set_type_url(type.url);
    for (const auto& name : type.to_subscribe) request.add_resource_names_subscribe(name);
    for (const auto& name : type.to_unsubscribe) request.add_resource_names_unsubscribe(name);
    type.to_subscribe.clear();
    type.to_unsubscribe.clear();
    return request.SerializeAsString();
  }
  return std::nullopt;
}

const std::unordered_map<std::string, std::string>& DeltaClient::versions(
    std::string_view type_url) const {
  static const std::unordered_map<std::string, std::string> kNone;
  const Type* found = find(type_url);
  return found == nullptr ? kNone : found->versions;
}

bool DeltaClient::subscribed(std::string_view type_url, std::string_view name) const {
  const Type* found = find(type_url);
  return found != nullptr && (found->wildcard || found->names.contains(std::string(name)));
}

}  // namespace mizzen::xds
