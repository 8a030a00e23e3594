#include "control/translate/gateway_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "control/translate/translate.h"

namespace mizzen::control {
namespace {

bool selects(const GatewayRule& gateway, const Proxy& proxy) {
  for (const auto& [key, value] : gateway.spec->selector()) {
    const auto found = proxy.labels.find(key);
    if (found == proxy.labels.end() || found->second != value) return false;
  }
  return true;
}

// The number behind a Service's port; 0 for a named target, which only endpoints resolve.
std::uint16_t target_number(const ServicePort& port) {
  if (port.target.empty()) return port.number;
  return parse_int<std::uint16_t>(port.target).value_or(0);
}

// A Gateway names the port of the gateway's Service; the pod listens behind it. Before the pod is
// among the endpoints its labels say whose it is: it must not bind another port meanwhile.
std::uint16_t listening_port(const Snapshot& snapshot, const Proxy& proxy, std::uint16_t port) {
  if (const auto* instances = snapshot.instances_at(proxy.address)) {
    for (const Instance& instance : *instances) {
      if (instance.port->number == port) return instance.target;
    }
  }
  for (const auto& [host, service] : snapshot.services) {
    if (service->name_space != proxy.name_space || service->selector.empty()) continue;
    if (!labels_match(service->selector, proxy.labels)) continue;
    const ServicePort* known = service->port(port);
    if (known != nullptr && target_number(*known) != 0) return target_number(*known);
  }
  return port;
}

enum class Family : std::uint8_t { kHttp, kTls, kTcp };

Family family(Protocol protocol, bool tls) {
  if (protocol == Protocol::kHttps || protocol == Protocol::kTls || tls) return Family::kTls;
  return is_http(protocol) ? Family::kHttp : Family::kTcp;
}

bool has_tls(const ServerSpec& server) {
  return server.has_tls() && !server.tls().https_redirect();
}

}  // namespace

std::string GatewayServer::full_name() const { return gateway->name_space + "/" + gateway->name; }

bool GatewayServer::terminates_tls() const {
  if (!server->has_tls()) return false;
  const auto mode = server->tls().mode();
  return mode != schema::ServerTLSSettings::PASSTHROUGH &&
         mode != schema::ServerTLSSettings::AUTO_PASSTHROUGH && !server->tls().https_redirect();
}

std::string_view bare_host(std::string_view server_host) {
  const std::size_t slash = server_host.find('/');
  return slash == std::string_view::npos ? server_host : server_host.substr(slash + 1);
}

std::vector<std::string> admitted_hosts(const GatewayServer& server, std::string_view host,
                                        std::string_view name_space) {
  std::vector<std::string> out;
  for (const std::string& entry : server.server->hosts()) {
    const std::size_t slash = entry.find('/');
    if (slash != std::string::npos) {
      std::string_view wanted = std::string_view(entry).substr(0, slash);
      if (wanted == ".") wanted = server.gateway->name_space;
      if (wanted != "*" && wanted != name_space) continue;
    }
    const std::string admitted = lower(bare_host(entry));
    if (host_covers(admitted, host)) return {std::string(host)};
    if (host_covers(host, admitted)) out.push_back(admitted);
  }
  return out;
}

namespace {

std::string route_name(const GatewayServer& entry, const GatewayPort& port, Family kind) {
  if (kind == Family::kHttp) {
    return port.bind.empty() ? fmt::format("http.{}", port.number)
                             : fmt::format("http.{}.{}", port.number, port.bind);
  }
  if (kind != Family::kTls || !entry.terminates_tls() || entry.protocol == Protocol::kTls ||
      entry.protocol == Protocol::kTcp) {
    return {};
  }
  return fmt::format("https.{}.{}.{}.{}", entry.port, entry.server->port().name(),
                     entry.gateway->name, entry.gateway->name_space);
}

// Why the server cannot stand beside those that are there; empty when it can.
std::string collision(const std::vector<GatewayServer>& servers, const GatewayServer& entry,
                      Family kind) {
  if (servers.empty()) return {};
  const GatewayServer& first = servers.front();
  if (family(first.protocol, has_tls(*first.server)) != kind || kind == Family::kTcp) {
    return fmt::format("Gateway {} serves {} there already: use another port or `bind`",
                       first.full_name(), to_string(first.protocol));
  }
  if (kind != Family::kTls) return {};
  for (const GatewayServer& other : servers) {
    for (const std::string& host : entry.server->hosts()) {
      for (const std::string& taken : other.server->hosts()) {
        if (bare_host(host) != bare_host(taken)) continue;
        return fmt::format(
            "Gateway {} serves TLS for host \"{}\" there already: name each host once",
            other.full_name(), bare_host(host));
      }
    }
  }
  return {};
}

}  // namespace

GatewayPlan plan_gateway(const Snapshot& snapshot, const Proxy& proxy,
                         std::vector<GatewayConflict>* conflicts) {
  GatewayPlan plan;
  for (const GatewayRule& gateway : snapshot.gateways) {
    if (!selects(gateway, proxy)) continue;
    for (const ServerSpec& server : gateway.spec->servers()) {
      const auto number = static_cast<std::uint16_t>(server.port().number());
      if (number == 0) continue;
      GatewayServer entry{&gateway, &server, number, parse_protocol(server.port().protocol()), {}};
      const GatewayPort port{listening_port(snapshot, proxy, number), server.bind()};
      const Family kind = family(entry.protocol, has_tls(server));
      entry.route_name = route_name(entry, port, kind);
      std::vector<GatewayServer>& servers = plan[port];
      const std::string why = collision(servers, entry, kind);
      if (why.empty()) {
        servers.push_back(std::move(entry));
      } else if (conflicts != nullptr) {
        conflicts->push_back({&gateway, fmt::format("server {} (port {}) is not served: {}",
                                                    server.port().name(), number, why)});
      }
    }
  }
  return plan;
}

std::map<std::string, std::string> gateway_conflicts(const Snapshot& snapshot, const Proxy& proxy) {
  std::vector<GatewayConflict> conflicts;
  plan_gateway(snapshot, proxy, &conflicts);
  std::map<std::string, std::string> out;
  for (const GatewayConflict& conflict : conflicts) {
    std::string& text = out[conflict.gateway->name_space + "/" + conflict.gateway->name];
    if (!text.empty()) text += "; ";
    text += conflict.message;
  }
  return out;
}

}  // namespace mizzen::control
