#include "xds/resource.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "api/json_to_wire.h"
#include "api/names.h"
#include "api/struct_json.h"
#include "base/strings.h"
#include "envoy/config/core/v3/base.pb.h"
#include "xds/wire.h"

namespace mizzen::xds {

namespace {

// The same text for as long as the process lives.
std::string_view lasting(std::string_view type_url) {
  for (const std::string_view known :
       {api::kClusterType, api::kEndpointType, api::kListenerType, api::kRouteType,
        api::kSecretType, api::kDestinationType, api::kNameTableType}) {
    if (type_url == known) return known;
  }
  static std::mutex mutex;
  static std::set<std::string, std::less<>> others;
  const std::lock_guard lock(mutex);
  return *others.emplace(type_url).first;
}

}  // namespace

std::vector<TypeMaps::Entry>::const_iterator TypeMaps::find(std::string_view type_url) const {
  return std::ranges::find(entries_, type_url, &Entry::first);
}

const std::shared_ptr<const ResourceMap>& TypeMaps::at(std::string_view type_url) const {
  const auto found = find(type_url);
  if (found == end()) throw std::out_of_range("no resources of type " + std::string(type_url));
  return found->second;
}

std::shared_ptr<const ResourceMap>& TypeMaps::operator[](std::string_view type_url) {
  const auto place = std::ranges::lower_bound(entries_, type_url, {}, &Entry::first);
  if (place != entries_.end() && place->first == type_url) return place->second;
  return entries_.emplace(place, lasting(type_url), nullptr)->second;
}

std::string content_version(std::string_view bytes) { return fmt::format("{:016x}", fnv1a(bytes)); }

int type_order(std::string_view type_url) {
  if (type_url == api::kClusterType) return 0;
  if (type_url == api::kEndpointType) return 1;
  if (type_url == api::kListenerType) return 2;
  if (type_url == api::kRouteType) return 3;
  if (type_url == api::kSecretType) return 4;
  return 5;
}

std::string_view short_type(std::string_view type_url) {
  static constexpr std::string_view kNames[] = {"CDS", "EDS", "LDS", "RDS", "SDS"};
  int order = type_order(type_url);
  return order < 5 ? kNames[order] : type_url;
}

std::string node_bytes(const NodeInfo& info) {
  envoy::config::core::v3::Node node;
  node.set_id(info.id);
  node.set_cluster(info.cluster);
  const auto metadata = nlohmann::json::parse(info.metadata_json, nullptr, false);
  if (const auto bytes = api::json_to_wire(metadata, "google.protobuf.Struct")) {
    node.mutable_metadata()->ParseFromString(*bytes);
  }
  if (!info.region.empty() || !info.zone.empty() || !info.sub_zone.empty()) {
    node.mutable_locality()->set_region(info.region);
    node.mutable_locality()->set_zone(info.zone);
    node.mutable_locality()->set_sub_zone(info.sub_zone);
  }
  node.set_user_agent_name(info.user_agent_name);
  node.set_user_agent_version(info.user_agent_version);
  return node.SerializeAsString();
}

NodeInfo node_info(const envoy::config::core::v3::Node& node) {
  NodeInfo info;
  info.id = node.id();
  info.cluster = node.cluster();
  info.metadata_json = api::struct_to_json(node.metadata()).dump();
  info.region = node.locality().region();
  info.zone = node.locality().zone();
  info.sub_zone = node.locality().sub_zone();
  info.user_agent_name = node.user_agent_name();
  info.user_agent_version = node.user_agent_version();
  if (info.user_agent_version.empty() && node.has_user_agent_build_version()) {
    const auto& version = node.user_agent_build_version().version();
    info.user_agent_version =
        fmt::format("{}.{}.{}", version.major_number(), version.minor_number(), version.patch());
  }
  return info;
}

}  // namespace mizzen::xds
