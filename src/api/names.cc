#include "api/names.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::api {

std::string outbound_cluster(std::uint16_t port, std::string_view subset, std::string_view host) {
  return fmt::format("outbound|{}|{}|{}", port, subset, host);
}

std::string inbound_cluster(std::uint16_t port) { return fmt::format("inbound|{}||", port); }

std::optional<ClusterName> parse_cluster_name(std::string_view name) {
  auto parts = split(name, '|');
  if (parts.size() != 4) return std::nullopt;
  auto port = parse_int<std::uint16_t>(parts[1]);
  if (!port || (parts[0] != "outbound" && parts[0] != "inbound")) return std::nullopt;
  return ClusterName{parts[0], *port, parts[2], parts[3]};
}

std::string outbound_sni(std::uint16_t port, std::string_view subset, std::string_view host) {
  return fmt::format("outbound_.{}_.{}_.{}", port, subset, host);
}

std::string spiffe_id(std::string_view trust_domain, std::string_view name_space,
                      std::string_view service_account) {
  return fmt::format("spiffe://{}/ns/{}/sa/{}", trust_domain, name_space, service_account);
}

std::string to_string(const NodeId& node) {
  return fmt::format("{}~{}~{}.{}~{}", node.type, node.address, node.pod, node.name_space,
                     node.domain);
}

std::optional<NodeId> parse_node_id(std::string_view id) {
  auto parts = split(id, '~');
  if (parts.size() != 4 || parts[0].empty()) return std::nullopt;
  // Pod names may hold dots, namespaces may not.
  auto dot = parts[2].rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  return NodeId{std::string(parts[0]), std::string(parts[1]), std::string(parts[2].substr(0, dot)),
                std::string(parts[2].substr(dot + 1)), std::string(parts[3])};
}

}  // namespace mizzen::api
