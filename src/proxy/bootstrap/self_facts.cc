#include "proxy/bootstrap/self_facts.h"

#include <nlohmann/json.hpp>

#include "api/names.h"
#include "proxy/observe/peer_metadata.h"

namespace mizzen::proxy {
namespace {

std::string text(const nlohmann::json& from, std::string_view key) {
  if (!from.is_object()) return {};
  auto found = from.find(std::string(key));
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

SelfFacts self_facts(const xds::NodeInfo& node) {
  SelfFacts self;
  self.node_id = node.id;
  self.is_gateway = node.id.starts_with("router~");
  auto metadata = nlohmann::json::parse(node.metadata_json, nullptr, false);
  if (!metadata.is_object()) metadata = nlohmann::json::object();
  PeerWorkload& w = self.workload;
  w.name = text(metadata, api::node::kWorkloadName);
  w.name_space = text(metadata, api::node::kNamespace);
  w.cluster = text(metadata, api::node::kClusterId);
  nlohmann::json labels = metadata.value(std::string(api::node::kLabels), nlohmann::json::object());
  w.app = text(labels, "app");
  w.version = text(labels, "version");
  w.canonical_name = text(labels, api::kCanonicalNameLabel);
  if (w.canonical_name.empty()) w.canonical_name = w.app.empty() ? w.name : w.app;
  w.canonical_revision = text(labels, api::kCanonicalRevisionLabel);
  if (w.canonical_revision.empty() && !w.canonical_name.empty()) {
    w.canonical_revision = w.version.empty() ? "latest" : w.version;
  }
  std::string account = text(metadata, api::node::kServiceAccount);
  std::string trust_domain = text(metadata, api::node::kTrustDomain);
  if (!account.empty()) {
    self.principal = api::spiffe_id(trust_domain.empty() ? api::kDefaultTrustDomain : trust_domain,
                                    w.name_space, account);
  }
  self.peer_metadata = make_peer_metadata(w, text(metadata, api::node::kName));
  return self;
}

}  // namespace mizzen::proxy
