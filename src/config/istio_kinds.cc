#include "config/kind_tables.h"

namespace mizzen::config {
namespace {

const Column kAge{"Age", "date", ".metadata.creationTimestamp", 0};

std::vector<KindRow> build() {
  const std::vector<std::string_view> traffic = {"v1", "v1beta1", "v1alpha3"};
  const std::vector<std::string_view> security = {"v1", "v1beta1"};
  constexpr std::string_view kNet = "networking.istio.io";
  constexpr std::string_view kSec = "security.istio.io";
  std::vector<KindRow> rows;
  auto add = [&](std::string_view group, std::vector<std::string_view> versions,
                 std::string_view name, std::string_view plural, std::string_view singular,
                 std::vector<std::string_view> shorts, std::vector<Column> columns) {
    std::vector<std::string_view> categories = {"istio-io"};
    categories.push_back(group);
    columns.push_back(kAge);
    KindRow row;
    row.kind = {.group = group,
                .versions = std::move(versions),
                .kind = name,
                .plural = plural,
                .singular = singular,
                .short_names = std::move(shorts),
                .categories = std::move(categories),
                .columns = std::move(columns)};
    row.message = std::string(name) + "Object";
    rows.push_back(std::move(row));
  };
  add(kNet, traffic, "VirtualService", "virtualservices", "virtualservice", {"vs"},
      {{"Gateways", "string", ".spec.gateways"}, {"Hosts", "string", ".spec.hosts"}});
  add(kNet, traffic, "DestinationRule", "destinationrules", "destinationrule", {"dr"},
      {{"Host", "string", ".spec.host"}});
  add(kNet, traffic, "Gateway", "gateways", "gateway", {"gw"}, {});
  add(kNet, traffic, "ServiceEntry", "serviceentries", "serviceentry", {"se"},
      {{"Hosts", "string", ".spec.hosts"},
       {"Location", "string", ".spec.location"},
       {"Resolution", "string", ".spec.resolution"}});
  add(kNet, traffic, "Sidecar", "sidecars", "sidecar", {}, {});
  add(kNet, traffic, "WorkloadEntry", "workloadentries", "workloadentry", {"we"},
      {{"Address", "string", ".spec.address"}});
  add(kNet, traffic, "WorkloadGroup", "workloadgroups", "workloadgroup", {"wg"}, {});
  add(kNet, {"v1alpha3"}, "EnvoyFilter", "envoyfilters", "envoyfilter", {}, {});
  add(kNet, {"v1beta1"}, "ProxyConfig", "proxyconfigs", "proxyconfig", {}, {});
  add(kSec, security, "AuthorizationPolicy", "authorizationpolicies", "authorizationpolicy", {"ap"},
      {{"Action", "string", ".spec.action"}});
  add(kSec, security, "PeerAuthentication", "peerauthentications", "peerauthentication", {"pa"},
      {{"Mode", "string", ".spec.mtls.mode"}});
  add(kSec, security, "RequestAuthentication", "requestauthentications", "requestauthentication",
      {"ra"}, {});
  add("telemetry.istio.io", {"v1alpha1", "v1"}, "Telemetry", "telemetries", "telemetry",
      {"telemetry"}, {});
  add("extensions.istio.io", {"v1alpha1"}, "WasmPlugin", "wasmplugins", "wasmplugin", {}, {});
  add("extensions.istio.io", {"v1alpha1"}, "TrafficExtension", "trafficextensions",
      "trafficextension", {}, {});
  return rows;
}

}  // namespace

std::span<const KindRow> istio_kinds() {
  static const std::vector<KindRow> rows = build();
  return rows;
}

}  // namespace mizzen::config
