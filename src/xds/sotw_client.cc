#include "xds/sotw_client.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "api/names.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "xds/wire.h"

namespace mizzen::xds {
namespace {

using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using google::protobuf::internal::WireFormatLite;

// Only of these a response says what is there no more.
bool is_complete(std::string_view type_url) {
  return type_url == api::kClusterType || type_url == api::kListenerType;
}

}  // namespace

std::optional<std::string> resource_name(std::string_view bytes) {
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  std::string name;
  while (const std::uint32_t tag = input.ReadTag()) {
    if (tag == WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
      if (!WireFormatLite::ReadString(&input, &name)) return std::nullopt;
      return name;
    }
    if (!WireFormatLite::SkipField(&input, tag)) return std::nullopt;
  }
  if (!input.ConsumedEntireMessage()) return std::nullopt;
  return name;
}

bool SotwClient::Order::operator()(const std::string& a, const std::string& b) const {
  const int order_a = type_order(a);
  const int order_b = type_order(b);
  return order_a != order_b ? order_a < order_b : a < b;
}

SotwClient::SotwClient(std::string node) : node_(std::move(node)) {}

SotwClient::Type& SotwClient::type(std::string_view url) { return types_[std::string(url)]; }

void SotwClient::subscribe_all(std::string_view type_url) {
  Type& its = type(type_url);
  if (its.wildcard) return;
  its.wildcard = true;
  its.due = true;
}

void SotwClient::set_names(std::string_view type_url, const std::set<std::string>& names) {
  Type& its = type(type_url);
  if (its.wildcard || its.names == names) return;
  its.names = names;
  its.due = true;
  // The owner may let go of the others at once: asked for again, they must come again.
  std::erase_if(its.versions, [&](const auto& entry) { return !names.contains(entry.first); });
}

void SotwClient::on_open() {
  open_ = true;
  node_sent_ = false;
  for (auto& [url, its] : types_) {
    its.started = false;
    its.nonce.clear();
    its.error.clear();
    its.due = its.wildcard || !its.names.empty();
  }
}

void SotwClient::on_closed() { open_ = false; }

Result<Update> SotwClient::receive(std::string_view message) {
  if (message.size() > kMaxResponseBytes) {
    return fail(Code::kLimit, "a discovery response of more than 256 MiB", Side::kUpstream);
  }
  DiscoveryResponse response;
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(Code::kProtocol, "not a DiscoveryResponse", Side::kUpstream);
  }
  auto found = types_.find(response.type_url());
  if (found == types_.end()) {
    return fail(Code::kProtocol,
                "a response of type '" + response.type_url() + "', which was not asked for",
                Side::kUpstream);
  }
  Type& its = found->second;
  Update update{response.type_url(), response.nonce(), response.version_info(), {}, {}};
  std::set<std::string> named;
  for (auto& any : *response.mutable_resources()) {
    Resource resource;
    if (any.Is<envoy::service::discovery::v3::Resource>()) {
      envoy::service::discovery::v3::Resource wrapped;
      if (!any.UnpackTo(&wrapped)) return fail(Code::kProtocol, "a Resource that does not parse");
      any = std::move(*wrapped.mutable_resource());
    }
    auto name = resource_name(any.value());
    if (any.type_url() != update.type_url || !name) {
      return fail(Code::kProtocol,
                  "a resource of type '" + any.type_url() + "' in a response of type '" +
                      update.type_url + "'",
                  Side::kUpstream);
    }
    named.insert(*name);
    if (!its.wildcard && !its.names.contains(*name)) continue;  // more than was asked for
    resource.name = std::move(*name);
    resource.bytes = std::move(*any.mutable_value());
    resource.version = content_version(resource.bytes);
    auto known = its.versions.find(resource.name);
    if (known != its.versions.end() && known->second == resource.version) continue;
    update.resources.push_back(std::move(resource));
  }
  if (is_complete(update.type_url)) {
    for (const auto& [name, version] : its.versions) {
      if (!named.contains(name)) update.removed.push_back(name);
    }
    std::ranges::sort(update.removed);
  }
  return update;
}

void SotwClient::answer(const Update& update, const std::vector<Rejection>& rejections) {
  Type& its = type(update.type_url);
  std::set<std::string_view> rejected;
  for (const Rejection& rejection : rejections) rejected.insert(rejection.name);
  for (const Resource& resource : update.resources) {
    if (rejected.contains(resource.name) || rejected.contains("")) continue;
    if (!its.wildcard && !its.names.contains(resource.name)) continue;
    its.versions[resource.name] = resource.version;
  }
  for (const std::string& name : update.removed) its.versions.erase(name);
  its.nonce = update.nonce;
  if (rejections.empty()) its.version = update.version;
  its.error = describe(rejections);
  its.due = true;
}

std::optional<std::string> SotwClient::next() {
  if (!open_) return std::nullopt;
  for (auto& [url, its] : types_) {
    if (!its.due) continue;
    its.due = false;
    // Nothing has been asked for yet, and an empty list would mean all.
    if (!its.started && !its.wildcard && its.names.empty()) continue;
    its.started = true;
    DiscoveryRequest request;
    request.set_type_url(url);
    request.set_version_info(its.version);
    request.set_response_nonce(its.nonce);
    for (const std::string& name : its.names) request.add_resource_names(name);
    if (!its.error.empty()) {
      request.mutable_error_detail()->set_code(kInvalidArgument);
      request.mutable_error_detail()->set_message(its.error);
      its.error.clear();
    }
    if (!node_sent_) {
      request.mutable_node()->ParseFromString(node_);
      node_sent_ = true;
    }
    return request.SerializeAsString();
  }
  return std::nullopt;
}

}  // namespace mizzen::xds
