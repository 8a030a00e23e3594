#include "proxy/observe/peer_metadata.h"

#include <google/protobuf/struct.pb.h>

#include "api/names.h"
#include "base/strings.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kMostBytes = 16 * 1024;
using google::protobuf::Struct;

std::string text(const Struct& from, std::string_view key) {
  auto found = from.fields().find(std::string(key));
  return found == from.fields().end() ? std::string() : found->second.string_value();
}

}  // namespace

PeerRef parse_peer_metadata(std::string_view base64) {
  if (base64.size() > kMostBytes) return nullptr;
  auto bytes = base64_decode(base64);
  Struct metadata;
  if (!bytes || !metadata.ParseFromString(*bytes)) return nullptr;
  auto peer = std::make_shared<PeerWorkload>();
  peer->name = text(metadata, api::node::kWorkloadName);
  peer->name_space = text(metadata, api::node::kNamespace);
  peer->cluster = text(metadata, api::node::kClusterId);
  auto labels = metadata.fields().find(std::string(api::node::kLabels));
  if (labels != metadata.fields().end()) {
    const Struct& set = labels->second.struct_value();
    peer->app = text(set, "app");
    peer->version = text(set, "version");
    peer->canonical_name = text(set, api::kCanonicalNameLabel);
    peer->canonical_revision = text(set, api::kCanonicalRevisionLabel);
  }
  if (peer->canonical_name.empty())
    peer->canonical_name = peer->app.empty() ? peer->name : peer->app;
  if (peer->canonical_revision.empty() && !peer->canonical_name.empty()) {
    peer->canonical_revision = peer->version.empty() ? "latest" : peer->version;
  }
  return peer;
}

std::string make_peer_metadata(const PeerWorkload& workload, std::string_view name) {
  Struct metadata;
  auto set = [](Struct& to, std::string_view key, std::string_view value) {
    if (!value.empty()) {
      (*to.mutable_fields())[std::string(key)].set_string_value(std::string(value));
    }
  };
  set(metadata, api::node::kName, name);
  set(metadata, api::node::kNamespace, workload.name_space);
  set(metadata, api::node::kWorkloadName, workload.name);
  set(metadata, api::node::kClusterId, workload.cluster);
  Struct labels;
  set(labels, "app", workload.app);
  set(labels, "version", workload.version);
  set(labels, api::kCanonicalNameLabel, workload.canonical_name);
  set(labels, api::kCanonicalRevisionLabel, workload.canonical_revision);
  *(*metadata.mutable_fields())[std::string(api::node::kLabels)].mutable_struct_value() = labels;
  std::string bytes;
  metadata.SerializeToString(&bytes);
  return base64_encode(bytes);
}

}  // namespace mizzen::proxy
