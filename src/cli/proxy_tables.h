// The tables of `proxy-config`, column for column as istioctl prints them. Pure: config in, text
// out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/dump.h"

namespace mizzen::cli {

// Filters of the commands; an empty one lets everything pass.
struct TableFilter {
  std::optional<int> port;
  std::string name;  // of a route configuration or secret
  std::string fqdn;  // of a cluster's service
  std::string subset;
  std::string direction;  // inbound or outbound
  std::string address;    // of a listener or endpoint
  std::string type;       // of a listener: HTTP or TCP
  std::string cluster;    // of an endpoint
  std::string status;     // of an endpoint
};

// The resources that a filter lets pass, for -o json and yaml.
std::vector<Json> filter_listeners(std::vector<Json> listeners, const TableFilter& filter);
std::vector<Json> filter_clusters(std::vector<Json> clusters, const TableFilter& filter);
std::vector<Json> filter_routes(std::vector<Json> routes, const TableFilter& filter);

std::string listener_table(const std::vector<Json>& listeners);
std::string cluster_table(const std::vector<Json>& clusters);
std::string route_table(const std::vector<Json>& routes);
// `clusters`: envoy.admin.v3.Clusters in JSON, the page /clusters?format=json.
std::string endpoint_table(const Json& clusters, const TableFilter& filter);
std::string secret_table(const std::vector<Json>& secrets);

// Parts of "outbound|9080|v1|reviews.default.svc.cluster.local"; nothing for other names.
struct ClusterName {
  std::string direction, port, subset, fqdn;
};
std::optional<ClusterName> parse_cluster_name(std::string_view name);

}  // namespace mizzen::cli
