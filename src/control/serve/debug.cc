#include "control/serve/debug.h"

#include <fmt/core.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/util/json_util.h>

#include "api/names.h"
#include "api/version.h"
#include "istio/networking.pb.h"
#include "object/walker.h"

namespace mizzen::control {

using object::Json;

namespace {

std::string_view short_key(std::string_view type_url) {
  if (type_url == api::kClusterType) return "cluster";
  if (type_url == api::kListenerType) return "listener";
  if (type_url == api::kRouteType) return "route";
  if (type_url == api::kEndpointType) return "endpoint";
  return {};
}

Json endpoint_json(const Endpoint& endpoint) {
  Json out = {{"address", endpoint.address},
              {"port", endpoint.port},
              {"portName", endpoint.port_name},
              {"ready", endpoint.ready}};
  if (endpoint.workload) {
    out["workload"] = endpoint.workload->owner_name;
    out["pod"] = endpoint.workload->name_space + "/" + endpoint.workload->name;
    out["labels"] = endpoint.workload->labels;
    out["serviceAccount"] = endpoint.workload->service_account;
    out["tlsMode"] = endpoint.workload->tls ? "istio" : "disabled";
    if (!endpoint.workload->locality.empty()) out["locality"] = endpoint.workload->locality;
  }
  return out;
}

Json registryz(const Snapshot& snapshot) {
  Json out = Json::array();
  for (const auto& [host, service] : snapshot.services) {
    Json ports = Json::array();
    for (const ServicePort& port : service->ports) {
      ports.push_back(
          {{"name", port.name}, {"port", port.number}, {"protocol", to_string(port.protocol)}});
    }
    out.push_back(
        {{"hostname", host},
         {"Attributes",
          {{"ServiceRegistry", service->entry ? "External" : "Kubernetes"},
           {"Name", service->name},
           {"Namespace", service->name_space},
           {"LabelSelectors", service->selector}}},
         {"ports", ports},
         {"defaultAddress", service->addresses.empty() ? "0.0.0.0" : service->addresses.front()},
         {"serviceAccounts", service->accounts}});
    if (!service->auto_address.empty()) out.back()["autoAllocatedAddress"] = service->auto_address;
  }
  return out;
}

Json endpointz(const Snapshot& snapshot) {
  Json out = Json::array();
  for (const auto& [host, service] : snapshot.services) {
    Json endpoints = Json::array();
    for (const Endpoint& endpoint : service->endpoints)
      endpoints.push_back(endpoint_json(endpoint));
    out.push_back({{"svc", host}, {"ep", std::move(endpoints)}});
  }
  return out;
}

template <class Rules>
void add_rules(const Rules& rules, std::string_view kind, Json* out) {
  for (const auto& rule : rules) {
    out->push_back({{"apiVersion", "networking.istio.io/v1"},
                    {"kind", kind},
                    {"metadata", {{"name", rule.name}, {"namespace", rule.name_space}}},
                    {"spec", object::encode(*rule.spec)}});
  }
}

std::string_view mode_name(MtlsMode mode) {
  switch (mode) {
    case MtlsMode::kDisable:
      return "DISABLE";
    case MtlsMode::kPermissive:
      return "PERMISSIVE";
    case MtlsMode::kStrict:
      return "STRICT";
    case MtlsMode::kUnset:
      break;
  }
  return "UNSET";
}

Json configz(const Snapshot& snapshot) {
  Json out = Json::array();
  add_rules(snapshot.virtual_services, "VirtualService", &out);
  add_rules(snapshot.destination_rules, "DestinationRule", &out);
  add_rules(snapshot.gateways, "Gateway", &out);
  add_rules(snapshot.sidecars, "Sidecar", &out);
  for (const PeerPolicy& policy : snapshot.peer_policies) {
    Json spec = {{"mtls", {{"mode", mode_name(policy.mode)}}}};
    if (!policy.selector.empty()) spec["selector"] = {{"matchLabels", policy.selector}};
    for (const auto& [port, mode] : policy.ports) {
      spec["portLevelMtls"][fmt::format("{}", port)] = {{"mode", mode_name(mode)}};
    }
    out.push_back({{"apiVersion", "security.istio.io/v1"},
                   {"kind", "PeerAuthentication"},
                   {"metadata", {{"name", policy.name}, {"namespace", policy.name_space}}},
                   {"spec", std::move(spec)}});
  }
  return out;
}

Json mesh_json(const MeshConfig& mesh) {
  return {
      {"trustDomain", mesh.trust_domain},
      {"rootNamespace", mesh.root_namespace},
      {"accessLogFile", mesh.access_log_file},
      {"enableAutoMtls", mesh.auto_mtls},
      {"connectTimeout", fmt::format("{}s", mesh.connect_timeout_ms / 1000)},
      {"outboundTrafficPolicy", {{"mode", mesh.registry_only ? "REGISTRY_ONLY" : "ALLOW_ANY"}}}};
}

// Everything that the proxy was given, as JSON of Envoy's messages by type.
Json config_dump(const xds::World& world) {
  Json configs = Json::array();
  for (const auto& [url, resources] : world.types) {
    if (url == api::kSecretType || resources == nullptr) continue;  // keys are not for looking at
    for (const auto& [name, resource] : *resources) {
      google::protobuf::Any any;
      any.set_type_url(std::string(url));
      any.set_value(resource->bytes);
      std::string text;
      if (!google::protobuf::util::MessageToJsonString(any, &text).ok()) continue;
      if (auto json = object::parse_json(text)) configs.push_back(std::move(*json));
    }
  }
  return {{"version", world.version}, {"configs", std::move(configs)}};
}

void respond_json(net::Exchange& exchange, const Json& json) {
  exchange.respond(200, {{"content-type", "application/json"}},
                   json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

Json syncz(const std::vector<ProxyStatus>& proxies) {
  Json out = Json::array();
  for (const ProxyStatus& proxy : proxies) {
    Json entry = {
        {"cluster_id", proxy.cluster_id},
        {"proxy", proxy.name},
        {"proxy_type", proxy.kind},
        {"istio_version", proxy.version.empty() ? std::string(api::kVersion) : proxy.version}};
    Json resources = Json::object();
    for (const xds::TypeStatus& type : proxy.types) {
      Json state = {{"sent", type.version_sent},
                    {"acked", type.version_acked},
                    {"synced", type.synced()},
                    {"resources", type.resources}};
      if (!type.last_error.empty()) state["error"] = type.last_error;
      resources[type.type_url] = std::move(state);
      const std::string_view key = short_key(type.type_url);
      if (key.empty()) continue;
      entry[fmt::format("{}_sent", key)] = type.version_sent;
      entry[fmt::format("{}_acked", key)] = type.synced() ? type.version_sent : type.version_acked;
    }
    entry["resources"] = std::move(resources);
    out.push_back(std::move(entry));
  }
  return out;
}

DebugPages::DebugPages(Store& store, Discovery& discovery, std::function<Status()> ready,
                       std::function<std::string()> extra_metrics)
    : store_(store),
      discovery_(discovery),
      ready_(std::move(ready)),
      extra_metrics_(std::move(extra_metrics)) {}

std::string DebugPages::metrics() const {
  const DiscoveryCounters& counters = discovery_.counters();
  const auto snapshot = store_.snapshot();
  std::string out;
  const auto add = [&](std::string_view type, std::string_view name, std::string_view labels,
                       std::uint64_t value) {
    out += fmt::format("# TYPE {} {}\n{}{} {}\n", name, type, name, labels, value);
  };
  add("gauge", "istio_build", fmt::format("{{component=\"pilot\",tag=\"{}\"}}", api::kVersion), 1);
  add("gauge", "pilot_xds", "", discovery_.proxies().size());
  add("counter", "pilot_xds_pushes", "", counters.pushes);
  add("counter", "pilot_xds_responses", "", counters.responses);
  add("counter", "pilot_total_xds_rejects", "", counters.nacks);
  add("counter", "pilot_xds_streams_refused", "", counters.refused);
  add("gauge", "pilot_services", "", snapshot->services.size());
  add("gauge", "pilot_virt_services", "", snapshot->virtual_services.size());
  return out + extra_metrics_();
}

bool DebugPages::handle(const std::shared_ptr<net::Exchange>& exchange) {
  const std::string_view path = exchange->path();
  const auto snapshot = [this] { return store_.snapshot(); };
  if (path == "/ready") {
    const Status ready = ready_();
    exchange->respond(ready ? 200 : 503, {{"content-type", "text/plain"}},
                      ready ? "" : ready.error().message + "\n");
  } else if (path == "/version") {
    exchange->respond(200, {{"content-type", "text/plain"}}, std::string(api::kVersion) + "\n");
  } else if (path == "/metrics") {
    exchange->respond(200, {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}},
                      metrics());
  } else if (path == "/debug/syncz" || path == "/debug/adsz" || path == "/debug/push_status") {
    respond_json(*exchange, syncz(discovery_.proxies()));
  } else if (path == "/debug/registryz") {
    respond_json(*exchange, registryz(*snapshot()));
  } else if (path == "/debug/endpointz" || path == "/debug/instancesz") {
    respond_json(*exchange, endpointz(*snapshot()));
  } else if (path == "/debug/configz") {
    respond_json(*exchange, configz(*snapshot()));
  } else if (path == "/debug/mesh") {
    respond_json(*exchange, mesh_json(snapshot()->mesh));
  } else if (path == "/debug/config_dump") {
    const std::string proxy = exchange->query_param("proxyID").value_or("");
    const auto world = discovery_.world_of(proxy);
    if (world == nullptr) {
      exchange->respond(404, {{"content-type", "text/plain"}},
                        fmt::format("proxyID \"{}\" is not connected; see /debug/syncz for those "
                                    "that are\n",
                                    proxy));
    } else {
      respond_json(*exchange, config_dump(*world));
    }
  } else if (path == "/debug" || path == "/debug/") {
    exchange->respond(200, {{"content-type", "text/plain"}},
                      "/debug/syncz\n/debug/registryz\n/debug/endpointz\n/debug/configz\n"
                      "/debug/mesh\n/debug/config_dump?proxyID=<pod>.<namespace>\n");
  } else {
    return false;
  }
  return true;
}

}  // namespace mizzen::control
