#include "proxy/admin/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "net/http_server.h"
#include "proxy/feed/destinations.h"
#include "proxy/http/authorization.h"
#include "proxy/http/path.h"
#include "proxy/http/request_view.h"
#include "proxy/upstream/connector.h"

namespace mizzen::proxy {
namespace {

using Json = nlohmann::json;
using Way = ExplainRequest::Way;

constexpr std::uint16_t kCapturedIn = 15006;

std::int64_t millis(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

double percent(const route::Fraction& share) {
  return share.denominator == 0 ? 0 : 100.0 * share.numerator / share.denominator;
}

// --- The connection ------------------------------------------------------------------------------

// The listener that takes the connection, as Arrival finds it.
std::shared_ptr<const Listener> listener_for(const LiveConfig& config,
                                             const ExplainRequest& request) {
  if (request.way == Way::kInbound) return config.hand_off(io::Address::any(kCapturedIn));
  if (auto exact = config.hand_off(request.destination)) return exact;
  if (request.way == Way::kDirect) return nullptr;
  for (const auto& listener : config.snapshot->listeners) {
    if (listener->use_original_dst && listener->direction != Direction::kInbound) return listener;
  }
  return nullptr;
}

// What the inspectors would find in the first bytes.
ConnectionInfo connection_for(const ExplainRequest& request,
                              std::shared_ptr<const Listener> listener) {
  ConnectionInfo info;
  info.local = request.destination;
  info.direct_local = request.destination;
  info.remote = request.source;
  info.direction = listener->direction;
  info.transport_protocol = "raw_buffer";
  const std::uint16_t port = request.destination.port();
  if (request.tls) {
    if (listener->tls_inspector.inspects(port)) {
      info.transport_protocol = "tls";
      info.server_name = lower(request.server_name);
    }
    info.tls = true;
    if (!request.principal.empty()) {
      info.application_protocols = {"istio-http/1.1", "istio"};
      auto peer = std::make_shared<io::PeerCertificate>();
      peer->uri_sans = {request.principal};
      info.peer = std::move(peer);
      info.mutual_tls = true;
    }
  } else if (listener->http_inspector.inspects(port)) {
    info.application_protocols = {"http/1.1"};
  }
  info.listener = std::move(listener);
  return info;
}

Json listener_json(const Listener& listener, const ExplainRequest& request) {
  Json out = {{"name", listener.name}, {"destination", request.destination.to_string()}};
  Json addresses = Json::array();
  for (const SocketAddr& address : listener.addresses) addresses.push_back(to_string(address));
  out["addresses"] = std::move(addresses);
  return out;
}

Json chain_json(const FilterChain& chain, bool is_default) {
  Json match = Json::object();
  if (chain.match.destination_port) match["destinationPort"] = *chain.match.destination_port;
  if (!chain.match.server_names.empty()) match["serverNames"] = chain.match.server_names;
  if (!chain.match.transport_protocol.empty())
    match["transportProtocol"] = chain.match.transport_protocol;
  if (!chain.match.application_protocols.empty())
    match["applicationProtocols"] = chain.match.application_protocols;
  return {{"name", chain.name},
          {"match", std::move(match)},
          {"default", is_default},
          {"tls", chain.tls != nullptr},
          {"clientCertificateRequired", chain.tls && chain.tls->require_client_certificate}};
}

// --- Where it goes -------------------------------------------------------------------------------

std::string_view to_word(Health health) {
  switch (health) {
    case Health::kUnhealthy:
      return "UNHEALTHY";
    case Health::kDraining:
      return "DRAINING";
    case Health::kTimeout:
      return "TIMEOUT";
    case Health::kDegraded:
      return "DEGRADED";
    default:
      return "HEALTHY";
  }
}

std::string_view to_word(LbPolicy policy) {
  switch (policy) {
    case LbPolicy::kRoundRobin:
      return "ROUND_ROBIN";
    case LbPolicy::kLeastRequest:
      return "LEAST_REQUEST";
    case LbPolicy::kRandom:
      return "RANDOM";
    case LbPolicy::kRingHash:
      return "RING_HASH";
    case LbPolicy::kMaglev:
      return "MAGLEV";
    case LbPolicy::kClusterProvided:
      break;
  }
  return "CLUSTER_PROVIDED";
}

Json endpoints_json(const ClusterEntry& entry) {
  Json out = Json::array();
  if (!entry.endpoints) return out;
  for (const LocalityEndpoints& group : entry.endpoints->localities) {
    for (const Endpoint& endpoint : group.endpoints) {
      const auto tls = upstream::transport_of(*entry.cluster, &endpoint);
      Json one = {{"address", to_string(endpoint.address)},
                  {"health", to_word(endpoint.health)},
                  {"priority", group.priority},
                  {"weight", endpoint.weight},
                  {"tls", tls != nullptr}};
      if (tls) one["sni"] = tls->sni;
      if (endpoint.workload) one["workload"] = endpoint.workload->name;
      out.push_back(std::move(one));
    }
  }
  return out;
}

Json cluster_json(const Snapshot& snapshot, std::string_view name, double share) {
  Json out = {{"name", name}, {"percent", share}};
  const ClusterEntry* entry = snapshot.cluster(name);
  if (entry == nullptr) {
    out["missing"] = true;
    return out;
  }
  const Cluster& cluster = *entry->cluster;
  out["loadBalancing"] = to_word(cluster.lb);
  out["connectTimeoutMs"] = millis(cluster.connect_timeout);
  if (!cluster.subset.empty()) out["subset"] = cluster.subset;
  if (!cluster.config_source.empty()) out["config"] = cluster.config_source;
  if (!cluster.services.empty()) out["service"] = cluster.services.front().host;
  if (cluster.outlier) out["outlierDetection"] = true;
  out["originalDestination"] = cluster.type == Cluster::Type::kOriginalDst;
  out["endpoints"] = endpoints_json(*entry);
  return out;
}

std::string outcome_of(const Json& clusters) {
  if (clusters.empty()) return "no cluster is named: 503 NC";
  std::string names;
  for (const Json& one : clusters) {
    if (one.contains("missing"))
      return fmt::format("cluster {} is not there: 503 NC", one.value("name", ""));
    names += fmt::format("{}{}", names.empty() ? "" : ", ", one.value("name", ""));
  }
  for (const Json& one : clusters) {
    bool any = one.value("originalDestination", false);
    for (const Json& endpoint : one["endpoints"]) {
      const std::string health = endpoint.value("health", "");
      any = any || health == "HEALTHY" || health == "DEGRADED";
    }
    if (!any)
      return fmt::format("cluster {} has no healthy endpoint: 503 UH", one.value("name", ""));
  }
  return "goes to " + names;
}

// --- HTTP ----------------------------------------------------------------------------------------

std::string_view action_of(const route::Rbac& rules) {
  switch (rules.action) {
    case route::Rbac::Action::kAllow:
      return "ALLOW";
    case route::Rbac::Action::kDeny:
      return "DENY";
    case route::Rbac::Action::kLog:
      break;
  }
  return "LOG";
}

// One RBAC filter's word; `request` null for a TCP chain.
Json policy_json(const route::Rbac& rules, const ConnectionInfo& info,
                 const route::RequestView* request, bool* refused) {
  Json names = Json::array();
  for (const auto& [name, policy] : rules.policies) names.push_back(name);
  Json out = {{"action", action_of(rules)}, {"policies", std::move(names)}};
  auto details = denied(rules, info, info.remote, request);
  out["allowed"] = !details.has_value();
  if (details) {
    out["details"] = *details;
    *refused = true;
  }
  return out;
}

Json fault_json(const route::Fault& fault) {
  Json out = Json::object();
  if (fault.delay_share)
    out["delay"] = {{"ms", millis(fault.delay)}, {"percent", percent(*fault.delay_share)}};
  if (fault.abort_share)
    out["abort"] = {{"status", fault.abort_status}, {"percent", percent(*fault.abort_share)}};
  return out;
}

Json route_json(const route::Decision& decision, const route::RequestView& view) {
  const route::Route& chosen = *decision.route;
  Json out = {{"name", chosen.name},
              {"position", decision.route - decision.host->routes.data()},
              {"config", chosen.source}};
  const route::Forward& forward = chosen.forward;
  if (decision.kind != route::Decision::Kind::kForward) return out;
  out["timeoutMs"] = millis(forward.timeout);
  if (const route::RetryPolicy* retry = route::retry_policy(decision))
    out["retries"] = {{"attempts", retry->attempts},
                      {"perTryTimeoutMs", millis(retry->per_try_timeout)}};
  if (auto path = route::rewritten_path(chosen, view.path())) out["rewrittenPath"] = *path;
  if (auto host = route::rewritten_host(decision, view)) out["rewrittenHost"] = *host;
  for (const route::Mirror& mirror : forward.mirrors)
    out["mirrors"].push_back({{"cluster", mirror.cluster}, {"percent", percent(mirror.fraction)}});
  return out;
}

Json clusters_json(const Snapshot& snapshot, const route::Decision& decision) {
  Json out = Json::array();
  const route::Forward& forward = decision.route->forward;
  for (const route::WeightedCluster& one : forward.weighted) {
    const double share = forward.total_weight == 0 ? 0 : 100.0 * one.weight / forward.total_weight;
    out.push_back(cluster_json(snapshot, one.cluster, share));
  }
  if (forward.weighted.empty() && !decision.cluster.empty())
    out.push_back(cluster_json(snapshot, decision.cluster, 100));
  return out;
}

// The filters in their order, until one refuses.
Json filters_json(const HttpSettings& settings, const route::Table* table,
                  const route::Decision& decision, const ConnectionInfo& info,
                  const route::RequestView& view, std::string* refusal) {
  Json out = Json::array();
  for (const HttpFilter& filter : settings.filters) {
    if (filter.disabled) continue;
    Json one = {{"name", filter.name}};
    if (const auto* rbac = std::get_if<RbacFilter>(&filter.settings)) {
      bool refused = false;
      if (rbac->rules) one["policy"] = policy_json(*rbac->rules, info, &view, &refused);
      if (refused) *refusal = "refused by " + filter.name + ": 403 RBAC: access denied";
    } else if (const auto* fault = std::get_if<FaultFilter>(&filter.settings)) {
      const route::Fault* rules =
          table ? route::effective(decision, *table, &route::PerFilter::fault) : nullptr;
      if (rules == nullptr) rules = fault->policy.get();
      if (rules != nullptr) one["fault"] = fault_json(*rules);
    }
    out.push_back(std::move(one));
    if (!refusal->empty()) break;
  }
  return out;
}

std::string outcome_of(const route::Decision& decision, const route::RequestView& view) {
  using Kind = route::Decision::Kind;
  switch (decision.kind) {
    case Kind::kNoVirtualHost:
      return "no virtual host: 404 NR route_not_found";
    case Kind::kNoRoute:
      return "no route: 404 NR route_not_found";
    case Kind::kRedirect:
      return fmt::format("redirect, {} to {}", decision.route->redirect.status,
                         route::redirect_location(decision, view));
    case Kind::kTlsRequired:
      return "redirect, 301 to " + route::redirect_location(decision, view);
    case Kind::kDirectResponse:
      return fmt::format("answered by the proxy itself: {}", decision.route->direct.status);
    case Kind::kForward:
      break;
  }
  return {};
}

void explain_http(const LiveConfig& config, const HttpSettings& settings,
                  const ConnectionInfo& info, const ExplainRequest& request, Json& out) {
  http::RequestHead head;
  head.set_method(request.method);
  head.set_scheme(info.tls ? "https" : "http");
  head.set_authority(request.authority);
  head.set_path(request.path);
  for (const auto& [name, value] : request.headers) head.headers.add(lower(name), value);
  std::string normal;
  if (normalize_path(head.path, settings, normal) == PathVerdict::kChanged) {
    head.set_path(normal);
    out["normalizedPath"] = normal;
  }
  HeadView view(head);
  route::TableRef table = config.snapshot->table(settings);
  route::Decision decision;
  out["routeConfig"] = table ? table->name : settings.rds_name;
  if (table) {
    route::Trace trace;
    decision = route::match(*table, view, request.random, info.tls, &trace);
    out["reasons"] = trace.lines;
  } else {
    out["reasons"] = Json::array({"the route configuration is not there yet"});
  }
  if (decision.host) {
    out["virtualHost"] = {{"name", decision.host->name}, {"domains", decision.host->domains}};
  }
  if (decision.route) out["route"] = route_json(decision, view);
  std::string refusal;
  out["filters"] = filters_json(settings, table.get(), decision, info, view, &refusal);
  out["outcome"] = refusal.empty() ? outcome_of(decision, view) : refusal;
  if (decision.kind != route::Decision::Kind::kForward) return;
  out["clusters"] = clusters_json(*config.snapshot, decision);
  if (refusal.empty()) out["outcome"] = outcome_of(out["clusters"]);
}

void explain_tcp(const LiveConfig& config, const FilterChain& chain, const TcpSettings& settings,
                 const ConnectionInfo& info, Json& out) {
  Json clusters = Json::array();
  for (const auto& [name, weight] : settings.weighted) {
    const double share = settings.total_weight == 0 ? 0 : 100.0 * weight / settings.total_weight;
    clusters.push_back(cluster_json(*config.snapshot, name, share));
  }
  if (chain.sni_cluster) {
    clusters.push_back(cluster_json(*config.snapshot, info.server_name, 100));
  } else if (settings.weighted.empty()) {
    clusters.push_back(cluster_json(*config.snapshot, settings.cluster, 100));
  }
  out["tcp"] = true;
  out["outcome"] = outcome_of(clusters);
  out["clusters"] = std::move(clusters);
}

}  // namespace

Json explain(const LiveConfig& config, const ExplainRequest& request) {
  Json out = Json::object();
  auto listener = listener_for(config, request);
  if (listener == nullptr) {
    out["outcome"] = fmt::format("no listener takes connections to {}: refused",
                                 request.destination.to_string());
    return out;
  }
  out["listener"] = listener_json(*listener, request);
  const ConnectionInfo info = connection_for(request, listener);
  const FilterChain* chain = chain_for(*listener, info);
  if (chain == nullptr) {
    out["outcome"] = fmt::format(
        "no filter chain takes {}: the connection is refused, NR filter_chain_not_found",
        request.tls ? "this TLS connection" : "a connection in plain text");
    return out;
  }
  const bool is_default = listener->default_chain && chain == &*listener->default_chain;
  out["filterChain"] = chain_json(*chain, is_default);
  bool refused = false;
  for (const NetworkFilter& filter : chain->before) {
    if (const auto* rbac = std::get_if<NetworkRbac>(&filter); rbac && rbac->rules)
      out["networkPolicies"].push_back(policy_json(*rbac->rules, info, nullptr, &refused));
  }
  if (refused) {
    out["outcome"] = "refused by an authorization policy: the connection is reset";
  } else if (const auto* http =
                 std::get_if<std::shared_ptr<const HttpSettings>>(&chain->terminal)) {
    explain_http(config, **http, info, request, out);
  } else {
    const auto& tcp = std::get<std::shared_ptr<const TcpSettings>>(chain->terminal);
    explain_tcp(config, *chain, *tcp, info, out);
  }
  return out;
}

Result<ExplainRequest> parse_explain(std::string_view query) {
  ExplainRequest out;
  for (std::string_view pair : split(query, '&')) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view name = pair.substr(0, equals);
    const std::string value = net::url_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (name == "way") {
      if (value != "outbound" && value != "inbound" && value != "direct")
        return fail(Code::kInvalid, "way: write outbound, inbound or direct");
      out.way = value == "outbound"  ? Way::kOutbound
                : value == "inbound" ? Way::kInbound
                                     : Way::kDirect;
    } else if (name == "destination" || name == "source") {
      auto address = io::Address::parse(value);
      if (!address || !address->is_ip())
        return fail(Code::kInvalid, fmt::format("{}: write IP:PORT", name));
      (name == "source" ? out.source : out.destination) = *address;
    } else if (name == "headers") {
      const Json headers = Json::parse(value, nullptr, false);
      if (!headers.is_object()) return fail(Code::kInvalid, "headers: write a JSON object");
      for (const auto& [key, text] : headers.items())
        out.headers.emplace_back(key, text.is_string() ? text.get<std::string>() : text.dump());
    } else if (name == "tls") {
      out.tls = value == "true";
    } else if (name == "random") {
      out.random = parse_int<std::uint64_t>(value).value_or(0);
    } else {
      std::string* text = name == "principal"   ? &out.principal
                          : name == "sni"       ? &out.server_name
                          : name == "method"    ? &out.method
                          : name == "authority" ? &out.authority
                          : name == "path"      ? &out.path
                                                : nullptr;
      if (text == nullptr) return fail(Code::kInvalid, fmt::format("{}: no such parameter", name));
      *text = value;
    }
  }
  if (!out.destination) return fail(Code::kInvalid, "destination: write IP:PORT");
  if (out.authority.empty()) out.authority = out.destination.to_string();
  return out;
}

std::vector<std::string> unknown_destinations(const LiveConfig& config,
                                              const ExplainRequest& request) {
  if (request.way != Way::kOutbound) return {};
  const std::uint16_t port = request.destination.port();
  std::vector<std::string> names;
  const auto ask = [&](std::string name) {
    if (!config.snapshot->knows(name, MonoTime{})) names.push_back(std::move(name));
  };
  const bool by_address = std::ranges::any_of(config.snapshot->listeners, [](const auto& listener) {
    return listener->use_original_dst && listener->on_demand;
  });
  if (by_address && !config.listens_at(request.destination)) {
    ask(request.destination.to_string());
    ask(port_name(port));
  }
  auto listener = listener_for(config, request);
  if (!names.empty() || listener == nullptr || !listener->on_demand) return names;
  const std::string& host = request.tls ? request.server_name : request.authority;
  const auto name = destination_name(host, port);
  if (!name) return names;
  const ConnectionInfo info = connection_for(request, listener);
  const FilterChain* chain = chain_for(*listener, info);
  if (request.tls) {
    if (chain == nullptr || chain->match.server_names.empty()) ask(*name);
    return names;
  }
  if (chain == nullptr) return names;
  const auto* http = std::get_if<std::shared_ptr<const HttpSettings>>(&chain->terminal);
  const auto table = http == nullptr ? nullptr : config.snapshot->table(**http);
  if (table == nullptr || !table->any) return names;
  if (route::find_host(*table, host) == &table->hosts[*table->any]) ask(*name);
  return names;
}

}  // namespace mizzen::proxy
