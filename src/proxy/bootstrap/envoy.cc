#include <nlohmann/json.hpp>

#include "api/names.h"
#include "proxy/bootstrap/bootstrap.h"

namespace mizzen::proxy {
namespace {

using nlohmann::json;

json cluster_on(std::string_view name, const std::string& socket) {
  json endpoint = {{"endpoint", {{"address", {{"pipe", {{"path", socket}}}}}}}};
  return {{"name", name},
          {"type", "STATIC"},
          {"connect_timeout", "1s"},
          {"typed_extension_protocol_options",
           {{std::string(api::kHttpProtocolOptions),
             {{"@type", std::string(api::kTypePrefix) + std::string(api::kHttpProtocolOptions)},
              {"explicit_http_config", {{"http2_protocol_options", json::object()}}}}}}},
          {"load_assignment",
           {{"cluster_name", name}, {"endpoints", {{{"lb_endpoints", json::array({endpoint})}}}}}}};
}

}  // namespace

std::string envoy_bootstrap(const Bootstrap& made, const std::string& ads_socket,
                            const std::string& sds_socket) {
  // It would not ask for anything.
  json metadata = json::parse(made.node.metadata_json, nullptr, false);
  metadata.erase(std::string(api::node::kOnDemandScope));
  json by_ads = {
      {"ads", json::object()}, {"resource_api_version", "V3"}, {"initial_fetch_timeout", "0s"}};
  json service = {{"envoy_grpc", {{"cluster_name", api::kXdsCluster}}}};
  json bootstrap = {
      {"node",
       {{"id", made.node.id}, {"cluster", made.node.cluster}, {"metadata", std::move(metadata)}}},
      {"dynamic_resources",
       {{"lds_config", by_ads},
        {"cds_config", by_ads},
        {"ads_config",
         {{"api_type", "DELTA_GRPC"},
          {"transport_api_version", "V3"},
          {"set_node_on_first_message_only", true},
          {"grpc_services", json::array({service})}}}}},
      {"static_resources",
       {{"clusters", json::array({cluster_on(api::kXdsCluster, ads_socket),
                                  cluster_on(api::kSdsCluster, sds_socket)})}}}};
  if (made.admin && !made.admin->pipe) {
    bootstrap["admin"] = {
        {"address",
         {{"socket_address", {{"address", made.admin->host}, {"port_value", made.admin->port}}}}}};
  }
  return bootstrap.dump(2) + "\n";
}

}  // namespace mizzen::proxy
