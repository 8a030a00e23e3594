#include <algorithm>
#include <set>

#include "config/rules.h"
#include "istio/networking.pb.h"
#include "object/kind.h"

namespace mizzen::config {
namespace {

void check_load_balancer(Findings& out, const std::string& path,
                         const schema::LoadBalancerSettings& lb) {
  if (lb.has_consistent_hash()) {
    using Hash = schema::LoadBalancerSettings::ConsistentHashLB;
    const auto& hash = lb.consistent_hash();
    std::string where = at(path, "consistentHash");
    if (hash.hash_key_case() == Hash::HASH_KEY_NOT_SET) {
      out.error(
          where,
          "has no key: write httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName");
    }
    if (hash.has_http_header_name() && !valid_header_name(hash.http_header_name())) {
      out.error(at(where, "httpHeaderName"), "\"{}\" is not a header's name",
                hash.http_header_name());
    }
    if (hash.has_http_cookie() && hash.http_cookie().name().empty()) {
      out.error(at(where, "httpCookie.name"), "is empty: write the cookie's name");
    }
  }
  if (lb.has_zone_aware_lb_setting()) {
    out.error(at(path, "zoneAwareLbSetting"), "is not supported: write localityLbSetting");
  }
  const auto& locality = lb.locality_lb_setting();
  if (!locality.distribute().empty() &&
      (!locality.failover().empty() || !locality.failover_priority().empty())) {
    out.error(at(path, "localityLbSetting"),
              "distribute cannot stand together with failover or failoverPriority: keep one");
  }
  for (int i = 0; i < locality.failover_size(); ++i) {
    if (locality.failover(i).from() != locality.failover(i).to()) continue;
    out.error(at(at(path, "localityLbSetting"), "failover", i),
              "leads from a region to itself: write another region in `to`");
  }
  for (int i = 0; i < lb.locality_lb_setting().distribute_size(); ++i) {
    const auto& one = lb.locality_lb_setting().distribute(i);
    std::uint64_t total = 0;
    for (const auto& [to, weight] : one.to()) total += weight;
    if (total != 100) {
      out.error(at(at(path, "localityLbSetting"), "distribute", i),
                "the weights of `to` add up to {}: write weights that add up to 100", total);
    }
  }
}

void check_outliers(Findings& out, const std::string& path,
                    const schema::OutlierDetection& outlier) {
  if (outlier.has_interval()) check_duration(out, at(path, "interval"), outlier.interval());
  if (outlier.has_base_ejection_time())
    check_duration(out, at(path, "baseEjectionTime"), outlier.base_ejection_time());
  check_percent(out, at(path, "maxEjectionPercent"), outlier.max_ejection_percent());
  check_percent(out, at(path, "minHealthPercent"), outlier.min_health_percent());
  if (outlier.has_consecutive_local_origin_failures() &&
      !outlier.split_external_local_origin_errors()) {
    out.error(at(path, "consecutiveLocalOriginFailures"),
              "needs splitExternalLocalOriginErrors: true beside it");
  }
  if (outlier.outlier_detection_http_error_codes_size() > 0) {
    out.error(at(path, "outlierDetectionHttpErrorCodes"),
              "is not supported: write consecutive5xxErrors or consecutiveGatewayErrors");
  }
}

void check_tls(Findings& out, const std::string& path, const schema::ClientTLSSettings& tls) {
  using Tls = schema::ClientTLSSettings;
  bool files = !tls.client_certificate().empty() || !tls.private_key().empty() ||
               !tls.ca_certificates().empty();
  if (tls.mode() == Tls::ISTIO_MUTUAL && (files || !tls.credential_name().empty())) {
    out.error(path,
              "mode ISTIO_MUTUAL uses the mesh's own certificates: remove the certificate fields, "
              "or write MUTUAL");
  }
  if (tls.mode() == Tls::MUTUAL && tls.credential_name().empty()) {
    if (tls.client_certificate().empty()) {
      out.error(at(path, "clientCertificate"),
                "is needed by mode MUTUAL: write the file's path, or credentialName");
    }
    if (tls.private_key().empty()) {
      out.error(at(path, "privateKey"),
                "is needed by mode MUTUAL: write the file's path, or credentialName");
    }
  }
  if (!tls.credential_name().empty() && files) {
    out.error(at(path, "credentialName"),
              "cannot stand together with certificate files: keep one of them");
  }
}

template <class Policy>
void check_common(Findings& out, const std::string& path, const Policy& policy) {
  if (policy.has_load_balancer())
    check_load_balancer(out, at(path, "loadBalancer"), policy.load_balancer());
  if (policy.has_connection_pool())
    check_pool(out, at(path, "connectionPool"), policy.connection_pool());
  if (policy.has_outlier_detection())
    check_outliers(out, at(path, "outlierDetection"), policy.outlier_detection());
  if (policy.has_tls()) check_tls(out, at(path, "tls"), policy.tls());
}

void check_tunnel(Findings& out, const std::string& path,
                  const schema::TrafficPolicy::TunnelSettings& tunnel) {
  if (!tunnel.protocol().empty() && tunnel.protocol() != "CONNECT" && tunnel.protocol() != "POST") {
    out.error(at(path, "protocol"), "\"{}\" is not known: write CONNECT or POST",
              tunnel.protocol());
  }
  if (tunnel.target_host().empty()) {
    out.error(at(path, "targetHost"), "is empty: write the host that the tunnel leads to");
  } else if (!is_ip(tunnel.target_host())) {
    check_host(out, at(path, "targetHost"), tunnel.target_host(), false);
  }
  check_port(out, at(path, "targetPort"), tunnel.target_port());
}

void check_policy(Findings& out, const std::string& path, const schema::TrafficPolicy& policy) {
  check_common(out, path, policy);
  if (policy.retry_budget().has_budget_interval()) {
    out.error(at(path, "retryBudget.budgetInterval"),
              "is not supported: remove it, the budget is of requests under way");
  }
  if (policy.has_tunnel()) check_tunnel(out, at(path, "tunnel"), policy.tunnel());
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    std::string where = at(path, "portLevelSettings", i);
    const auto& one = policy.port_level_settings(i);
    check_port(out, at(where, "port.number"), one.port().number());
    check_common(out, where, one);
  }
}

}  // namespace

void check_destination_rule(Findings& out, const schema::DestinationRule& spec) {
  if (spec.host().empty()) {
    out.error("spec.host", "is empty: write the service's name, such as host: reviews");
  } else {
    check_host(out, "spec.host", spec.host());
  }
  if (spec.has_traffic_policy()) check_policy(out, "spec.trafficPolicy", spec.traffic_policy());
  std::set<std::string> names;
  for (int i = 0; i < spec.subsets_size(); ++i) {
    const auto& subset = spec.subsets(i);
    std::string path = at("spec", "subsets", i);
    if (auto problem = object::check_dns1123_label(subset.name()); !problem.empty()) {
      out.error(at(path, "name"), "\"{}\" is not a subset's name: {}", subset.name(), problem);
    } else if (!names.insert(subset.name()).second) {
      out.error(at(path, "name"), "a subset \"{}\" is there already: give each its own name",
                subset.name());
    }
    object::StringMap labels(subset.labels().begin(), subset.labels().end());
    check_selector_labels(out, at(path, "labels"), labels);
    if (labels.empty()) out.warn(at(path, "labels"), "no labels: the subset is the whole service");
    if (subset.has_traffic_policy())
      check_policy(out, at(path, "trafficPolicy"), subset.traffic_policy());
  }
  for (int i = 0; i < spec.export_to_size(); ++i)
    check_export_to(out, at("spec", "exportTo", i), spec.export_to(i));
  object::StringMap selector(spec.workload_selector().match_labels().begin(),
                             spec.workload_selector().match_labels().end());
  check_selector_labels(out, "spec.workloadSelector.matchLabels", selector);
}

}  // namespace mizzen::config
