// Addresses and node ports of Services.
#include <fmt/core.h>

#include <set>

#include "io/address.h"
#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

std::uint32_t host_order(const io::Address& address) {
  const auto& b = address.bytes();
  return (std::uint32_t{b[0]} << 24) | (std::uint32_t{b[1]} << 16) | (std::uint32_t{b[2]} << 8) |
         b[3];
}

bool is_self(const Json& other, const Json& service) {
  return name_of(other) == name_of(service) && namespace_of(other) == namespace_of(service);
}

std::vector<Cause> allocate_address(const Store& store, const ApiOptions& options, Json& service,
                                    const Json* old) {
  Json& spec = service["spec"];
  std::string wanted = text_at(spec, {"clusterIP"});
  if (wanted == "None") {
    spec["clusterIPs"] = {"None"};
    return {};
  }
  const std::string before = old ? text_at(*old, {"spec", "clusterIP"}) : "";
  if (wanted.empty()) wanted = before == "None" ? "" : before;
  if (!before.empty() && before != "None" && wanted != before) {
    return {invalid_value("spec.clusterIPs[0]", Json::array({wanted}), "may not change once set")};
  }
  auto range = io::Cidr::parse(options.service_cidr);
  if (!range) return {invalid_value("spec.clusterIP", wanted, "the cluster has no service range")};
  std::set<std::string> taken;
  for (const Object& other : store.list("services")) {
    if (!is_self(*other, service)) taken.insert(text_at(*other, {"spec", "clusterIP"}));
  }
  if (!wanted.empty() && wanted != before) {
    auto address = io::Address::parse_ip(wanted, 0);
    if (!address || !range->contains(*address)) {
      return {
          invalid_value("spec.clusterIPs", Json::array({wanted}),
                        fmt::format("failed to allocate IP {}: the provided IP is not in the valid "
                                    "range. The range of valid IPs is {}",
                                    wanted, options.service_cidr))};
    }
    if (taken.contains(wanted)) {
      return {invalid_value(
          "spec.clusterIPs", Json::array({wanted}),
          fmt::format("failed to allocate IP {}: provided IP is already allocated", wanted))};
    }
  }
  if (wanted.empty()) {
    // A stable place for each name, then the next free one. The first ten are for names that the
    // cluster itself knows (kubernetes, DNS).
    const std::uint32_t size = 1U << (32 - range->prefix_length());
    const std::uint32_t base = host_order(range->base());
    std::uint32_t at = static_cast<std::uint32_t>(store.version() * 2654435761U) % size;
    for (std::uint32_t tries = 0; tries < size && wanted.empty(); ++tries, at = (at + 1) % size) {
      if (at <= 10 || at == size - 1) continue;
      const std::string candidate = io::Address::from_ipv4(base + at, 0).ip();
      if (!taken.contains(candidate)) wanted = candidate;
    }
    if (wanted.empty())
      return {invalid_value("spec.clusterIP", "", "the range of service addresses is full")};
  }
  spec["clusterIP"] = wanted;
  spec["clusterIPs"] = {wanted};
  return {};
}

std::vector<Cause> allocate_ports(const Store& store, const ApiOptions& options, Json& service,
                                  const Json* old) {
  std::set<int> taken;
  for (const Object& other : store.list("services")) {
    if (is_self(*other, service)) continue;
    for (const auto& port : at_path(*other, {"spec", "ports"}))
      taken.insert(port.value("nodePort", 0));
  }
  Json& ports = service["spec"]["ports"];
  for (std::size_t i = 0; i < ports.size(); ++i) {
    Json& port = ports[i];
    int wanted = static_cast<int>(object::int_at(port, {"nodePort"}));
    if (wanted == 0 && old) {
      for (const auto& before : at_path(*old, {"spec", "ports"})) {
        if (before.value("port", 0) == port.value("port", 0) &&
            before.value("protocol", "") == port.value("protocol", "")) {
          wanted = before.value("nodePort", 0);
        }
      }
      if (taken.contains(wanted)) wanted = 0;
    }
    const std::string field = fmt::format("spec.ports[{}].nodePort", i);
    if (wanted == 0) {
      for (int each = options.node_port_first; each <= options.node_port_last && wanted == 0;
           ++each) {
        if (!taken.contains(each)) wanted = each;
      }
      if (wanted == 0) return {invalid_value(field, 0, "no node port is free")};
    } else if (wanted < options.node_port_first || wanted > options.node_port_last) {
      return {
          invalid_value(field, wanted,
                        fmt::format("provided port is not in the valid range. The range of valid "
                                    "ports is {}-{}",
                                    options.node_port_first, options.node_port_last))};
    } else if (taken.contains(wanted)) {
      return {invalid_value(field, wanted, "provided port is already allocated")};
    }
    taken.insert(wanted);
    port["nodePort"] = wanted;
  }
  return {};
}

}  // namespace

std::vector<Cause> allocate_service(const Store& store, const ApiOptions& options, Json& service,
                                    const Json* old) {
  Json& spec = service["spec"];
  const std::string type = text_at(spec, {"type"});
  if (type == "ExternalName") {
    spec.erase("clusterIP");
    spec.erase("clusterIPs");
    return {};
  }
  if (auto causes = allocate_address(store, options, service, old); !causes.empty()) return causes;
  if (type == "NodePort" || type == "LoadBalancer") {
    return spec.contains("ports") ? allocate_ports(store, options, service, old)
                                  : std::vector<Cause>();
  }
  if (spec.contains("ports")) {
    for (auto& port : spec["ports"]) port.erase("nodePort");
  }
  return {};
}

}  // namespace mizzen::local
