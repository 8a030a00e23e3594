#include "cli/proxy_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/table.h"
#include "pki/certificate.h"

namespace mizzen::cli {
namespace {

std::string type_of(const Json& filter) {
  std::string type = text_at(filter, {"typed_config", "@type"});
  return type.substr(type.rfind('.') + 1);
}

int port_of(const Json& listener) {
  const Json& port = at(listener, {"address", "socket_address", "port_value"});
  return port.is_number_integer() ? port.get<int>() : 0;
}

std::string address_of(const Json& listener) {
  return text_at(listener, {"address", "socket_address", "address"});
}

std::string join_list(const Json& list) {
  std::string out;
  for (const Json& item : list) out += (out.empty() ? "" : ",") + item.get<std::string>();
  return out;
}

std::string ranges(const Json& list) {
  std::string out;
  for (const Json& range : list) {
    std::string prefix = text_at(range, {"address_prefix"});
    const Json& length = at(range, {"prefix_len"});
    if (!out.empty()) out += ",";
    out += length.is_number() ? fmt::format("{}/{}", prefix, length.get<int>()) : prefix;
  }
  return out;
}

// "Trans: tls; App: istio; Addr: *:9080", or ALL.
std::string match_text(const Json& match) {
  std::vector<std::string> parts;
  const Json& names = at(match, {"server_names"});
  if (names.is_array()) parts.push_back("SNI: " + join_list(names));
  std::string transport = text_at(match, {"transport_protocol"});
  if (!transport.empty()) parts.push_back("Trans: " + transport);
  const Json& applications = at(match, {"application_protocols"});
  if (applications.is_array()) {
    std::string text = join_list(applications);
    parts.push_back("App: " + (text == "istio-peer-exchange,istio" ? "TCP TLS" : text));
  }
  std::string port = text_at(match, {"destination_port"});
  const Json& prefixes = at(match, {"prefix_ranges"});
  if (prefixes.is_array()) {
    parts.push_back("Addr: " + ranges(prefixes) + (port.empty() ? "" : ":" + port));
  } else if (!port.empty()) {
    parts.push_back("Addr: *:" + port);
  }
  return parts.empty() ? "ALL" : join(parts, "; ");
}

std::string route_match(const Json& match);

std::string http_destination(const Json& config) {
  std::string rds = text_at(config, {"rds", "route_config_name"});
  if (!rds.empty()) return "Route: " + rds;
  const Json& hosts = at(config, {"route_config", "virtual_hosts"});
  if (!hosts.is_array() || hosts.empty()) return "Inline Route: ";
  const Json& routes = at(hosts[0], {"routes"});
  if (routes.is_array() && routes.size() == 1 && text_at(routes[0], {"match", "prefix"}) == "/") {
    std::string cluster = text_at(routes[0], {"route", "cluster"});
    if (cluster.find('|') != cluster.npos) return "Cluster: " + cluster;
    if (!cluster.empty()) return cluster;
  }
  std::string out;
  for (const Json& route : routes) {
    out += (out.empty() ? "" : ", ") + route_match(at(route, {"match"}));
  }
  return "Inline Route: " + out;
}

std::string tcp_destination(const Json& config) {
  std::string cluster = text_at(config, {"cluster"});
  if (cluster.find('|') != cluster.npos) return "Cluster: " + cluster;
  if (cluster == "BlackHoleCluster") return "Non-HTTP/Non-TCP";  // istioctl's words for it
  if (!cluster.empty()) return cluster;
  std::string out;
  for (const Json& entry : at(config, {"weighted_clusters", "clusters"})) {
    out += fmt::format("{}{} ({}%)", out.empty() ? "Cluster: " : ", ", text_at(entry, {"name"}),
                       text_at(entry, {"weight"}));
  }
  return out;
}

std::string destination_of(const Json& chain) {
  for (const Json& filter : at(chain, {"filters"})) {
    std::string type = type_of(filter);
    if (type == "HttpConnectionManager") return http_destination(at(filter, {"typed_config"}));
    if (type == "TcpProxy") return tcp_destination(at(filter, {"typed_config"}));
  }
  return "Non-HTTP/Non-TCP";
}

bool is_http(const Json& listener) {
  for (const Json& chain : at(listener, {"filter_chains"})) {
    for (const Json& filter : at(chain, {"filters"})) {
      if (type_of(filter) == "HttpConnectionManager") return true;
    }
  }
  return false;
}

std::string route_match(const Json& match) {
  std::string out;
  for (const char* key : {"prefix", "path_separated_prefix"}) {
    if (at(match, {key}).is_string()) out = text_at(match, {key}) + "*";
  }
  if (at(match, {"path"}).is_string()) out = text_at(match, {"path"});
  if (at(match, {"safe_regex"}).is_object())
    out = "regex " + text_at(match, {"safe_regex", "regex"});
  return out;
}

bool is_ip_literal(std::string_view host) {
  return host.find_first_not_of("0123456789.") == host.npos || host.starts_with('[');
}

// Two names that a person would type, and how many more there are.
std::string domains_text(const Json& domains, std::string_view host) {
  if (!domains.is_array() || domains.empty()) return "";
  std::vector<std::string> names;
  for (const Json& domain : domains) {
    std::string name = domain.get<std::string>();
    bool with_port = name.find(':') != name.npos;
    bool own = host.substr(0, host.rfind(':')) == name;
    if (!with_port && !own && !is_ip_literal(name)) names.push_back(std::move(name));
  }
  if (names.empty()) return domains[0].get<std::string>();
  if (names.size() <= 2) return join(names, ", ");
  return fmt::format("{}, {} + {} more...", names[0], names[1], names.size() - 2);
}

std::string cluster_type(const Json& cluster) {
  std::string type = text_at(cluster, {"type"});
  return type.empty() ? "STATIC" : type;
}

std::string inline_string(const Json& source) {
  std::string text = text_at(source, {"inline_string"});
  if (!text.empty()) return text;
  return base64_decode(text_at(source, {"inline_bytes"})).value_or("");
}

std::string endpoint_address(const Json& host) {
  const Json& address = at(host, {"address"});
  std::string path = text_at(address, {"pipe", "path"});
  if (!path.empty()) return "unix://" + path;
  return fmt::format("{}:{}", text_at(address, {"socket_address", "address"}),
                     text_at(address, {"socket_address", "port_value"}));
}

}  // namespace

std::optional<ClusterName> parse_cluster_name(std::string_view name) {
  auto parts = split(name, '|');
  if (parts.size() != 4) return std::nullopt;
  return ClusterName{std::string(parts[0]), std::string(parts[1]), std::string(parts[2]),
                     std::string(parts[3])};
}

std::vector<Json> filter_listeners(std::vector<Json> listeners, const TableFilter& filter) {
  std::erase_if(listeners, [&](const Json& listener) {
    if (filter.port && port_of(listener) != *filter.port) return true;
    if (!filter.address.empty() && address_of(listener) != filter.address) return true;
    if (filter.type.empty()) return false;
    return is_http(listener) != equals_ignore_case(filter.type, "HTTP");
  });
  return listeners;
}

std::vector<Json> filter_clusters(std::vector<Json> clusters, const TableFilter& filter) {
  std::erase_if(clusters, [&](const Json& cluster) {
    std::string full = text_at(cluster, {"name"});
    auto name = parse_cluster_name(full);
    if (!filter.fqdn.empty() && (name ? name->fqdn : full) != filter.fqdn) return true;
    if (!name) return filter.port || !filter.subset.empty() || !filter.direction.empty();
    if (filter.port && name->port != std::to_string(*filter.port)) return true;
    if (!filter.subset.empty() && name->subset != filter.subset) return true;
    return !filter.direction.empty() && name->direction != filter.direction;
  });
  return clusters;
}

std::vector<Json> filter_routes(std::vector<Json> routes, const TableFilter& filter) {
  std::erase_if(routes, [&](const Json& route) {
    return !filter.name.empty() && text_at(route, {"name"}) != filter.name;
  });
  return routes;
}

std::string listener_table(const std::vector<Json>& listeners) {
  std::vector<const Json*> sorted;
  for (const Json& listener : listeners) sorted.push_back(&listener);
  std::ranges::stable_sort(sorted, [](const Json* a, const Json* b) {
    return std::pair(port_of(*a), address_of(*a)) < std::pair(port_of(*b), address_of(*b));
  });
  Table table({"ADDRESSES", "PORT", "MATCH", "DESTINATION"}, 1);
  for (const Json* listener : sorted) {
    auto add = [&](const Json& chain, std::string match) {
      table.add({address_of(*listener), std::to_string(port_of(*listener)), std::move(match),
                 destination_of(chain)});
    };
    for (const Json& chain : at(*listener, {"filter_chains"})) {
      add(chain, match_text(at(chain, {"filter_chain_match"})));
    }
    const Json& last = at(*listener, {"default_filter_chain"});
    if (last.is_object()) add(last, "ALL");
  }
  return table.to_string();
}

std::string cluster_table(const std::vector<Json>& clusters) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& cluster : clusters) {
    std::string full = text_at(cluster, {"name"});
    auto name = parse_cluster_name(full);
    std::string rule = istio_config_of(cluster);
    if (name) {
      rows.push_back({name->fqdn, name->port, name->subset.empty() ? "-" : name->subset,
                      name->direction, cluster_type(cluster), rule});
    } else {
      rows.push_back({full, "-", "-", "-", cluster_type(cluster), rule});
    }
  }
  std::ranges::stable_sort(rows, [](const auto& a, const auto& b) {
    auto key = [](const auto& row) {
      return std::tuple(row[0], parse_int<int>(row[1]).value_or(0), row[2], row[3]);
    };
    return key(a) < key(b);
  });
  Table table({"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"});
  for (auto& row : rows) table.add(std::move(row));
  return table.to_string();
}

std::string route_table(const std::vector<Json>& routes) {
  std::vector<const Json*> sorted;
  for (const Json& route : routes) sorted.push_back(&route);
  std::ranges::stable_sort(sorted, [](const Json* a, const Json* b) {
    auto key = [](const Json* route) {
      std::string name = text_at(*route, {"name"});
      return std::pair(parse_int<int>(name).value_or(1 << 20), name);
    };
    return key(a) < key(b);
  });
  Table table({"NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"});
  for (const Json* config : sorted) {
    for (const Json& host : at(*config, {"virtual_hosts"})) {
      std::string name = text_at(host, {"name"});
      // The catch-alls that every outbound port has tell nothing.
      if (name == "allow_any" || name == "block_all") continue;
      for (const Json& route : at(host, {"routes"})) {
        table.add({text_at(*config, {"name"}), name, domains_text(at(host, {"domains"}), name),
                   route_match(at(route, {"match"})), istio_config_of(route)});
      }
    }
  }
  return table.to_string();
}

std::string endpoint_table(const Json& clusters, const TableFilter& filter) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& cluster : at(clusters, {"cluster_statuses"})) {
    std::string name = text_at(cluster, {"name"});
    if (!filter.cluster.empty() && name != filter.cluster) continue;
    for (const Json& host : at(cluster, {"host_statuses"})) {
      std::string address = endpoint_address(host);
      std::string health = text_at(host, {"health_status", "eds_health_status"});
      bool ejected = at(host, {"health_status", "failed_outlier_check"}) == true;
      if (health.empty() || health == "UNKNOWN") health = "HEALTHY";
      if (!filter.status.empty() && !equals_ignore_case(filter.status, health)) continue;
      if (filter.port && !address.ends_with(fmt::format(":{}", *filter.port))) continue;
      if (!filter.address.empty() && address.substr(0, address.rfind(':')) != filter.address)
        continue;
      rows.push_back({address, health, ejected ? "FAILED" : "OK", name});
    }
  }
  std::ranges::stable_sort(rows);
  Table table({"ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"});
  for (auto& row : rows) table.add(std::move(row));
  return table.to_string();
}

std::string secret_table(const std::vector<Json>& secrets) {
  Table table({"RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER",
               "NOT BEFORE"});
  WallTime now = system_clock().wall();
  for (const Json& entry : secrets) {
    const Json& secret = at(entry, {"secret"});
    bool chain = at(secret, {"tls_certificate"}).is_object();
    std::string pem = inline_string(chain ? at(secret, {"tls_certificate", "certificate_chain"})
                                          : at(secret, {"validation_context", "trusted_ca"}));
    std::vector<std::string> row = {text_at(entry, {"name"}), chain ? "Cert Chain" : "CA",
                                    text_at(entry, {"state"})};
    auto certificate = pki::Certificate::from_pem(pem);
    if (certificate) {
      bool valid = certificate->not_before() <= now && now < certificate->not_after();
      row.insert(row.end(),
                 {valid ? "true" : "false", certificate->serial(),
                  rfc3339(certificate->not_after()), rfc3339(certificate->not_before())});
    } else {
      row.insert(row.end(), {"false", "", "", ""});
    }
    table.add(std::move(row));
  }
  return table.to_string();
}

}  // namespace mizzen::cli
