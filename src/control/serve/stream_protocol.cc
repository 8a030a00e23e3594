#include "control/serve/stream_protocol.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "api/names.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace mizzen::control {

namespace discovery = envoy::service::discovery::v3;

namespace {

class DeltaProtocol final : public StreamProtocol {
 public:
  explicit DeltaProtocol(std::string stream_id) : server_(std::move(stream_id)) {}
  Result<xds::Received> receive(std::string_view message) override {
    return server_.receive(message);
  }
  void offer(std::shared_ptr<const xds::World> world) override { server_.offer(std::move(world)); }
  std::optional<std::string> next() override { return server_.next(); }
  const xds::NodeInfo& node() const override { return server_.node(); }
  std::vector<std::string> names(std::string_view type_url) const override {
    return server_.names(type_url);
  }
  std::vector<xds::TypeStatus> status() const override { return server_.status(); }

 private:
  xds::DeltaServer server_;
};

constexpr std::size_t kMaxRequest = 16 << 20;

class StateProtocol final : public StreamProtocol {
 public:
  explicit StateProtocol(std::string stream_id) : stream_id_(std::move(stream_id)) {}
  Result<xds::Received> receive(std::string_view message) override;
  void offer(std::shared_ptr<const xds::World> world) override { world_ = std::move(world); }
  std::optional<std::string> next() override;
  const xds::NodeInfo& node() const override { return node_; }
  std::vector<std::string> names(std::string_view type_url) const override {
    const auto found = types_.find(std::string(type_url));
    if (found == types_.end()) return {};
    return {found->second.names.begin(), found->second.names.end()};
  }
  std::vector<xds::TypeStatus> status() const override;

 private:
  struct Type {
    std::set<std::string> names;
    bool wildcard = true;  // asked for without names
    bool dirty = true;     // an answer is due whatever the content
    std::string content;   // what the last response held, as versions
    std::uint64_t number = 0;
    xds::TypeStatus status;
  };
  struct Order {
    bool operator()(const std::string& a, const std::string& b) const {
      const int x = xds::type_order(a);
      const int y = xds::type_order(b);
      return x != y ? x < y : a < b;
    }
  };
  std::vector<xds::ResourceRef> wanted(const std::string& url, const Type& type) const;
  void read_node(const envoy::config::core::v3::Node& node);

  std::string stream_id_;
  bool started_ = false;
  xds::NodeInfo node_;
  std::shared_ptr<const xds::World> world_;
  std::map<std::string, Type, Order> types_;
};

void StateProtocol::read_node(const envoy::config::core::v3::Node& node) {
  node_.id = node.id();
  node_.cluster = node.cluster();
  node_.region = node.locality().region();
  node_.zone = node.locality().zone();
  node_.sub_zone = node.locality().sub_zone();
  node_.user_agent_name = node.user_agent_name();
  node_.user_agent_version = node.user_agent_version();
  node_.metadata_json.clear();
  if (!google::protobuf::util::MessageToJsonString(node.metadata(), &node_.metadata_json).ok()) {
    node_.metadata_json = "{}";
  }
}

Result<xds::Received> StateProtocol::receive(std::string_view message) {
  if (message.size() > kMaxRequest) return fail(Code::kLimit, "DiscoveryRequest above 16 MiB");
  discovery::DiscoveryRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(Code::kInvalid, "not a DiscoveryRequest");
  }
  xds::Received received;
  received.type_url = request.type_url();
  if (!started_) {
    started_ = true;
    received.first_on_stream = true;
    read_node(request.node());
  }
  if (request.type_url().empty()) return fail(Code::kInvalid, "DiscoveryRequest without type_url");
  const auto found = types_.find(request.type_url());
  const bool first = found == types_.end();
  Type& type = first ? types_[request.type_url()] : found->second;
  type.status.type_url = request.type_url();
  if (!first && !request.response_nonce().empty() &&
      request.response_nonce() != type.status.nonce_sent) {
    received.kind = xds::Received::Kind::kStale;
    return received;
  }
  std::set<std::string> names(request.resource_names().begin(), request.resource_names().end());
  if (first || names != type.names) {
    received.kind = xds::Received::Kind::kSubscription;
    std::ranges::set_difference(names, type.names, std::back_inserter(received.subscribed));
    std::ranges::set_difference(type.names, names, std::back_inserter(received.unsubscribed));
    type.wildcard = names.empty() || names.contains("*");
    type.dirty = type.dirty || first || !received.subscribed.empty();
    type.names = std::move(names);
    if (!first && request.response_nonce().empty()) type.dirty = true;
  } else if (request.has_error_detail()) {
    received.kind = xds::Received::Kind::kNack;
  } else {
    received.kind = xds::Received::Kind::kAck;
  }
  if (request.has_error_detail()) {
    received.error = request.error_detail().message();
    type.status.last_error = received.error;
  } else if (!request.response_nonce().empty()) {
    type.status.nonce_acked = request.response_nonce();
    type.status.version_acked = request.version_info();
    type.status.last_error.clear();
  }
  type.status.wildcard = type.wildcard;
  type.status.subscribed = type.names.size();
  return received;
}

std::vector<xds::ResourceRef> StateProtocol::wanted(const std::string& url,
                                                    const Type& type) const {
  std::vector<xds::ResourceRef> out;
  const auto found = world_->types.find(url);
  if (found == world_->types.end() || found->second == nullptr) return out;
  for (const auto& [name, resource] : *found->second) {
    if (type.wildcard || type.names.contains(name)) out.push_back(resource);
  }
  return out;
}

std::optional<std::string> StateProtocol::next() {
  if (world_ == nullptr) return std::nullopt;
  for (auto& [url, type] : types_) {
    const std::vector<xds::ResourceRef> resources = wanted(url, type);
    std::string content;
    for (const xds::ResourceRef& resource : resources) {
      content += resource->name;
      content += '\n';
      content += resource->version;
      content += '\n';
    }
    if (!type.dirty && content == type.content) continue;
    // Changed clusters warm until their endpoints come, unchanged ones too.
    if (url == api::kClusterType && content != type.content) {
      if (const auto endpoints = types_.find(std::string(api::kEndpointType));
          endpoints != types_.end()) {
        endpoints->second.dirty = true;
      }
    }
    type.dirty = false;
    type.content = std::move(content);
    discovery::DiscoveryResponse response;
    response.set_type_url(url);
    response.set_version_info(world_->version);
    response.set_nonce(fmt::format("{}-{}", stream_id_, ++type.number));
    response.mutable_control_plane()->set_identifier("mizzend");
    for (const xds::ResourceRef& resource : resources) {
      google::protobuf::Any* any = response.add_resources();
      any->set_type_url(url);
      any->set_value(resource->bytes);
    }
    type.status.version_sent = world_->version;
    type.status.nonce_sent = response.nonce();
    type.status.resources = resources.size();
    return response.SerializeAsString();
  }
  return std::nullopt;
}

std::vector<xds::TypeStatus> StateProtocol::status() const {
  std::vector<xds::TypeStatus> out;
  for (const auto& [url, type] : types_) out.push_back(type.status);
  return out;
}

}  // namespace

std::unique_ptr<StreamProtocol> delta_protocol(std::string stream_id) {
  return std::make_unique<DeltaProtocol>(std::move(stream_id));
}

std::unique_ptr<StreamProtocol> state_of_the_world_protocol(std::string stream_id) {
  return std::make_unique<StateProtocol>(std::move(stream_id));
}

}  // namespace mizzen::control
