// A resource as it travels: xDS knows names, versions and bytes, never what is inside.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mizzen::xds {

struct Resource {
  std::string name;
  std::string version;  // any text; equal versions mean equal bytes
  std::string bytes;    // the serialized message (Any.value); its type is the map's
  // For a cluster of type EDS: the name of its endpoints' resource; empty otherwise.
  std::string endpoints;
};
using ResourceRef = std::shared_ptr<const Resource>;
using ResourceMap = std::map<std::string, ResourceRef, std::less<>>;

// Maps of resources by type URL, in its order. As std::map, but copied for next to nothing, since
// that happens for every proxy at every change: a handful of entries in one piece, whose keys live
// as long as the process.
class TypeMaps {
 public:
  using Entry = std::pair<std::string_view, std::shared_ptr<const ResourceMap>>;
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  std::vector<Entry>::const_iterator find(std::string_view type_url) const;
  const std::shared_ptr<const ResourceMap>& at(std::string_view type_url) const;
  // Made when it is not there.
  std::shared_ptr<const ResourceMap>& operator[](std::string_view type_url);

 private:
  std::vector<Entry> entries_;
};

// All that one proxy may see. Maps are shared between proxies and between worlds: an unchanged
// pointer is not looked at again.
struct World {
  std::string version;  // goes out as system_version_info, and to syncz
  TypeMaps types;
};

// A version for bytes: their 64-bit FNV-1a in hex. Good when the producer has none of its own.
std::string content_version(std::string_view bytes);

// The order in which types must reach a proxy: clusters, endpoints, listeners, routes, secrets,
// then anything else.
int type_order(std::string_view type_url);

// "CDS", "EDS", "LDS", "RDS", "SDS", or the type URL itself.
std::string_view short_type(std::string_view type_url);

// core.v3.Node as the first request on a stream carries it.
struct NodeInfo {
  std::string id;
  std::string cluster;
  std::string metadata_json;  // Node.metadata as JSON; "{}" when absent
  std::string region;
  std::string zone;
  std::string sub_zone;
  std::string user_agent_name;
  std::string user_agent_version;
};
// Serialized core.v3.Node; metadata that is not a JSON object is left out.
std::string node_bytes(const NodeInfo& node);

}  // namespace mizzen::xds
