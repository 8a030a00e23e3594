#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "envoy/admin/v3/certs.pb.h"
#include "envoy/admin/v3/clusters.pb.h"
#include "envoy/admin/v3/listeners.pb.h"
#include "envoy/admin/v3/server_info.pb.h"
#include "pki/certificate.h"
#include "proxy/admin/dump.h"
#include "proxy/admin/json.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy {
namespace {

namespace admin = envoy::admin::v3;

void set_address(const SocketAddr& address, envoy::config::core::v3::Address* to) {
  if (address.pipe) {
    to->mutable_pipe()->set_path(address.host);
    return;
  }
  to->mutable_socket_address()->set_address(address.host);
  to->mutable_socket_address()->set_port_value(address.port);
}

void set_limits(const Limits& limits, bool high, admin::ClusterStatus* to) {
  auto* threshold = to->mutable_circuit_breakers()->add_thresholds();
  if (high) threshold->set_priority(envoy::config::core::v3::HIGH);
  threshold->mutable_max_connections()->set_value(limits.max_connections);
  threshold->mutable_max_pending_requests()->set_value(limits.max_pending_requests);
  threshold->mutable_max_requests()->set_value(limits.max_requests);
  threshold->mutable_max_retries()->set_value(limits.max_retries);
}

std::vector<const ClusterEntry*> sorted_clusters(const Snapshot& snapshot) {
  std::vector<const ClusterEntry*> entries;
  for (const auto& [name, entry] : snapshot.clusters) entries.push_back(&entry);
  std::ranges::sort(entries, {}, [](const ClusterEntry* entry) { return entry->cluster->name; });
  return entries;
}

std::string health_flags(Health health, bool ejected) {
  std::string flags = ejected ? "/failed_outlier_check" : "";
  switch (health) {
    case Health::kUnhealthy:
    case Health::kTimeout:
      flags += "/failed_eds_health";
      break;
    case Health::kDegraded:
      flags += "/degraded_eds_health";
      break;
    case Health::kDraining:
      flags += "/eds_status_draining";
      break;
    default:
      break;
  }
  return flags.empty() ? "healthy" : flags;
}

// Of one cluster, "address:port" as endpoints write it.
std::set<std::string> ejected_hosts(const SharedLimits* limits, const Cluster& cluster) {
  std::set<std::string> ejected;
  if (limits == nullptr || !cluster.outlier) return ejected;
  if (auto counters = limits->find(cluster.name)) {
    for (const auto& host : counters->health.hosts()) {
      if (host.ejected) ejected.insert(host.address.to_string());
    }
  }
  return ejected;
}

void add_limits_text(const std::string& name, std::string_view priority, const Limits& limits,
                     std::string& text) {
  auto line = [&](std::string_view what, std::uint32_t value) {
    text += fmt::format("{}::{}::{}::{}\n", name, priority, what, value);
  };
  line("max_connections", limits.max_connections);
  line("max_pending_requests", limits.max_pending_requests);
  line("max_requests", limits.max_requests);
  line("max_retries", limits.max_retries);
}

void add_details(std::string_view pem,
                 google::protobuf::RepeatedPtrField<admin::CertificateDetails>* to, WallTime now) {
  auto bundle = pki::parse_bundle(pem);
  if (!bundle) return;
  for (const auto& certificate : *bundle) {
    auto* details = to->Add();
    details->set_path("<inline>");
    details->set_serial_number(certificate.serial());
    auto names = certificate.names();
    for (auto& uri : names.uris) details->add_subject_alt_names()->set_uri(uri);
    for (auto& dns : names.dns) details->add_subject_alt_names()->set_dns(dns);
    for (auto& ip : names.ips) details->add_subject_alt_names()->set_ip_address(ip);
    auto left = std::chrono::duration_cast<std::chrono::days>(certificate.not_after() - now);
    details->set_days_until_expiration(static_cast<std::uint64_t>(std::max<long>(left.count(), 0)));
    set_timestamp(certificate.not_before(), details->mutable_valid_from());
    set_timestamp(certificate.not_after(), details->mutable_expiration_time());
  }
}

}  // namespace

std::string clusters_json(const Snapshot& snapshot, const SharedLimits* limits) {
  admin::Clusters clusters;
  for (const ClusterEntry* entry : sorted_clusters(snapshot)) {
    const Cluster& cluster = *entry->cluster;
    auto* status = clusters.add_cluster_statuses();
    status->set_name(cluster.name);
    status->set_observability_name(cluster.stat_name);
    status->set_added_via_api(cluster.added_via_api);
    status->set_eds_service_name(cluster.eds_name);
    set_limits(cluster.limits, false, status);
    set_limits(cluster.high_priority_limits, true, status);
    if (!entry->endpoints) continue;
    const auto ejected = ejected_hosts(limits, cluster);
    for (const auto& group : entry->endpoints->localities) {
      for (const auto& endpoint : group.endpoints) {
        auto* host = status->add_host_statuses();
        set_address(endpoint.address, host->mutable_address());
        host->set_hostname(endpoint.hostname);
        host->set_weight(endpoint.weight);
        host->set_priority(group.priority);
        host->mutable_locality()->set_region(group.locality.region);
        host->mutable_locality()->set_zone(group.locality.zone);
        host->mutable_locality()->set_sub_zone(group.locality.sub_zone);
        auto health = endpoint.health == Health::kUnknown ? Health::kHealthy : endpoint.health;
        host->mutable_health_status()->set_eds_health_status(
            static_cast<envoy::config::core::v3::HealthStatus>(health));
        if (ejected.contains(to_string(endpoint.address))) {
          host->mutable_health_status()->set_failed_outlier_check(true);
        }
      }
    }
  }
  return admin_json(clusters);
}

std::string clusters_text(const Snapshot& snapshot, const SharedLimits* limits) {
  std::string text;
  for (const ClusterEntry* entry : sorted_clusters(snapshot)) {
    const Cluster& cluster = *entry->cluster;
    const std::string& name = cluster.name;
    text += fmt::format("{}::observability_name::{}\n", name, cluster.stat_name);
    add_limits_text(name, "default_priority", cluster.limits, text);
    add_limits_text(name, "high_priority", cluster.high_priority_limits, text);
    text += fmt::format("{}::added_via_api::{}\n", name, cluster.added_via_api);
    if (!cluster.eds_name.empty()) {
      text += fmt::format("{}::eds_service_name::{}\n", name, cluster.eds_name);
    }
    if (!entry->endpoints) continue;
    const auto ejected = ejected_hosts(limits, cluster);
    for (const auto& group : entry->endpoints->localities) {
      for (const auto& endpoint : group.endpoints) {
        std::string host = name + "::" + to_string(endpoint.address);
        text += fmt::format(
            "{0}::hostname::{1}\n{0}::health_flags::{2}\n{0}::weight::{3}\n", host,
            endpoint.hostname,
            health_flags(endpoint.health, ejected.contains(to_string(endpoint.address))),
            endpoint.weight);
        text += fmt::format(
            "{0}::region::{1}\n{0}::zone::{2}\n{0}::sub_zone::{3}\n"
            "{0}::priority::{4}\n",
            host, group.locality.region, group.locality.zone, group.locality.sub_zone,
            group.priority);
      }
    }
  }
  return text;
}

std::string listeners_json(const Snapshot& snapshot) {
  admin::Listeners listeners;
  for (const auto& listener : snapshot.listeners) {
    auto* status = listeners.add_listener_statuses();
    status->set_name(listener->name);
    set_address(listener->addresses.front(), status->mutable_local_address());
    for (std::size_t i = 1; i < listener->addresses.size(); ++i) {
      set_address(listener->addresses[i], status->add_additional_local_addresses());
    }
  }
  return admin_json(listeners);
}

std::string listeners_text(const Snapshot& snapshot) {
  std::string text;
  for (const auto& listener : snapshot.listeners) {
    for (const auto& address : listener->addresses) {
      text += fmt::format("{}::{}\n", listener->name, to_string(address));
    }
  }
  return text;
}

std::string certs_json(const Snapshot& snapshot, WallTime now) {
  admin::Certificates certificates;
  // One entry for each chain, with the roots beside it, as Envoy shows one for each TLS context.
  const Secret* roots = snapshot.secret("ROOTCA");
  for (const auto& [name, secret] : snapshot.secrets) {
    if (secret->certificate_chain.empty() && secret.get() == roots) continue;
    auto* entry = certificates.add_certificates();
    if (!secret->trusted_ca.empty())
      add_details(secret->trusted_ca, entry->mutable_ca_cert(), now);
    else if (name == "default" && roots)
      add_details(roots->trusted_ca, entry->mutable_ca_cert(), now);
    add_details(secret->certificate_chain, entry->mutable_cert_chain(), now);
  }
  return admin_json(certificates);
}

std::string server_info_json(const ServerFacts& facts, const Bootstrap& bootstrap) {
  admin::ServerInfo info;
  info.set_version("mizzen/0.1.0/Clean/RELEASE/OpenSSL");
  info.set_state(facts.state == "LIVE"       ? admin::ServerInfo::LIVE
                 : facts.state == "DRAINING" ? admin::ServerInfo::DRAINING
                                             : admin::ServerInfo::INITIALIZING);
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(facts.uptime).count();
  info.mutable_uptime_current_epoch()->set_seconds(seconds);
  info.mutable_uptime_all_epochs()->set_seconds(seconds);
  auto* options = info.mutable_command_line_options();
  options->set_concurrency(facts.concurrency);
  options->set_log_level(facts.log_level);
  options->set_service_cluster(bootstrap.node.cluster);
  options->set_service_node(bootstrap.node.id);
  options->set_restart_epoch(facts.epoch);
  options->mutable_drain_time()->set_seconds(
      std::chrono::duration_cast<std::chrono::seconds>(facts.drain_time).count());
  info.mutable_node()->ParseFromString(xds::node_bytes(bootstrap.node));
  return admin_json(info, true);  // "state": "LIVE" is a default, and what people look for
}

}  // namespace mizzen::proxy
