#include "control/mesh/entries.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/hosts.h"
#include "istio/networking.pb.h"

namespace mizzen::control {
namespace {

constexpr const char* kNetworkLabel = "topology.istio.io/network";
constexpr std::uint32_t kSlots = 254 * 254;  // x.y of 240.240.x.y without .0 and .255

template <class Map>
Labels labels_of(const Map& map) {
  Labels labels;
  for (const auto& [key, value] : map) labels[key] = value;
  return labels;
}

// An entry that names an account is taken to have a proxy, unless its labels say otherwise.
bool has_proxy(const Workload& workload) {
  const auto mode = workload.labels.find(api::kTlsModeLabel);
  if (mode != workload.labels.end()) return mode->second == api::kTlsModeIstio;
  return !workload.service_account.empty();
}

std::shared_ptr<const Workload> read_workload(const schema::WorkloadEntry& spec,
                                              const std::string& name,
                                              const std::string& name_space) {
  auto out = std::make_shared<Workload>();
  out->name = name;
  out->name_space = name_space;
  out->address = spec.address();
  out->labels = labels_of(spec.labels());
  if (!spec.network().empty()) out->labels[kNetworkLabel] = spec.network();
  out->service_account = spec.service_account();
  out->locality = spec.locality();
  out->owner_name = name;
  out->owner_kind = "WorkloadEntry";
  out->tls = has_proxy(*out);
  return out;
}

std::uint16_t target_of(const ServicePort& port) {
  return parse_int<std::uint16_t>(port.target).value_or(port.number);
}

void add_workload_entry(const schema::WorkloadEntry& spec,
                        const std::shared_ptr<const Workload>& workload, Service* service) {
  const std::string address =
      spec.address().empty() && service->is_dns() ? service->host : spec.address();
  const bool socket = address.starts_with("unix://");
  // Names are looked up by the proxy, which it does for DNS services alone.
  if (!service->is_dns() && !socket && !is_address(address)) return;
  for (const ServicePort& port : service->ports) {
    const auto own = spec.ports().find(port.name);
    Endpoint endpoint;
    endpoint.address = address;
    endpoint.port_name = port.name;
    if (!socket) {
      endpoint.port =
          own == spec.ports().end() ? target_of(port) : static_cast<std::uint16_t>(own->second);
    }
    endpoint.workload = workload;
    endpoint.weight = std::max<std::uint32_t>(spec.weight(), 1);
    service->endpoints.push_back(std::move(endpoint));
  }
}

void add_pod(const std::shared_ptr<const Workload>& pod, Service* service) {
  for (const ServicePort& port : service->ports) {
    service->endpoints.push_back({pod->address, target_of(port), port.name, pod->ready, pod, 1});
  }
}

void add_selected(const Labels& selector, const Workloads& workloads, Service* service) {
  for (const auto& [key, rule] : workloads.entries) {
    if (rule.name_space != service->name_space) continue;
    if (!labels_match(selector, labels_of(rule.spec->labels()))) continue;
    add_workload_entry(*rule.spec, read_workload(*rule.spec, rule.name, rule.name_space), service);
  }
  for (const auto& [key, pod] : workloads.pods) {
    if (pod->name_space != service->name_space || pod->address.empty() || pod->over) continue;
    if (labels_match(selector, pod->labels)) add_pod(pod, service);
  }
}

Resolution resolution_of(schema::ServiceEntry::Resolution resolution) {
  switch (resolution) {
    case schema::ServiceEntry::STATIC:
      return Resolution::kEndpoints;
    case schema::ServiceEntry::DNS:
      return Resolution::kDns;
    case schema::ServiceEntry::DNS_ROUND_ROBIN:
      return Resolution::kDnsRoundRobin;
    default:
      return Resolution::kPassthrough;
  }
}

// "10.1.2.3/32" is one address.
std::string plain(const std::string& address) {
  const std::size_t slash = address.find('/');
  if (slash == std::string::npos) return address;
  const bool whole =
      address.substr(slash) == (address.find(':') == std::string::npos ? "/32" : "/128");
  return whole ? address.substr(0, slash) : address;
}

void add_endpoints(const ServiceEntryRule& rule, const Workloads& workloads, Service* service) {
  const schema::ServiceEntry& spec = *rule.spec;
  if (service->resolution == Resolution::kPassthrough) return;
  if (spec.has_workload_selector()) {
    add_selected(labels_of(spec.workload_selector().labels()), workloads, service);
  } else if (spec.endpoints().empty() && service->is_dns()) {
    schema::WorkloadEntry itself;
    itself.set_address(service->host);
    add_workload_entry(itself, read_workload(itself, rule.name, rule.name_space), service);
  } else {
    for (const schema::WorkloadEntry& endpoint : spec.endpoints()) {
      add_workload_entry(endpoint, read_workload(endpoint, rule.name, rule.name_space), service);
    }
  }
}

Service read_entry(const ServiceEntryRule& rule, const std::string& host,
                   const Workloads& workloads) {
  const schema::ServiceEntry& spec = *rule.spec;
  Service out;
  out.host = lower(host);
  out.name = out.host;
  out.name_space = rule.name_space;
  out.created = rule.created;
  out.entry = true;
  out.external = spec.location() == schema::ServiceEntry::MESH_EXTERNAL;
  out.resolution = resolution_of(spec.resolution());
  for (const std::string& address : spec.addresses()) out.addresses.push_back(plain(address));
  out.export_to.assign(spec.export_to().begin(), spec.export_to().end());
  out.sans.assign(spec.subject_alt_names().begin(), spec.subject_alt_names().end());
  for (const schema::ServicePort& port : spec.ports()) {
    ServicePort made;
    made.name = port.name();
    made.number = static_cast<std::uint16_t>(port.number());
    if (port.target_port() != 0) made.target = fmt::format("{}", port.target_port());
    made.protocol = parse_protocol(port.protocol());
    out.ports.push_back(std::move(made));
  }
  add_endpoints(rule, workloads, &out);
  return out;
}

// Ports that the first entry of a host does not have come from the next.
void merge(Service more, Service* into) {
  for (ServicePort& port : more.ports) {
    if (into->port(port.number) != nullptr) continue;
    const std::string name = port.name;
    const bool taken =
        std::ranges::any_of(into->ports, [&](const ServicePort& own) { return own.name == name; });
    if (taken) port.name = fmt::format("{}-{}", name, port.number);
    for (Endpoint endpoint : more.endpoints) {
      if (endpoint.port_name != name) continue;
      endpoint.port_name = port.name;
      into->endpoints.push_back(std::move(endpoint));
    }
    into->ports.push_back(std::move(port));
  }
}

void allocate_address(std::set<std::uint32_t>* taken, Service* service) {
  const bool needs = service->addresses.empty() && !service->host.starts_with('*') &&
                     service->resolution != Resolution::kPassthrough && taken->size() < kSlots;
  if (!needs) return;
  auto slot = static_cast<std::uint32_t>(fnv1a(service->name_space + "/" + service->host) % kSlots);
  while (!taken->insert(slot).second) slot = (slot + 1) % kSlots;
  service->auto_address = fmt::format("240.240.{}.{}", slot / 254, slot % 254 + 1);
}

}  // namespace

void settle_endpoints(const MeshConfig& mesh, Service* service) {
  std::ranges::stable_sort(service->endpoints, [](const Endpoint& a, const Endpoint& b) {
    return std::tie(a.address, a.port_name, a.port) < std::tie(b.address, b.port_name, b.port);
  });
  std::set<std::string> accounts;
  for (const Endpoint& endpoint : service->endpoints) {
    if (endpoint.workload && !endpoint.workload->service_account.empty()) {
      accounts.insert(endpoint.workload->spiffe_id(mesh.trust_domain));
    }
  }
  service->accounts.assign(accounts.begin(), accounts.end());
}

std::vector<Service> services_of_entries(const std::vector<ServiceEntryRule>& entries,
                                         const Workloads& workloads, const MeshConfig& mesh) {
  std::vector<Service> services;
  std::map<std::pair<std::string, std::string>, std::size_t> known;  // namespace and host
  for (const ServiceEntryRule& rule : entries) {
    for (const std::string& host : rule.spec->hosts()) {
      Service service = read_entry(rule, host, workloads);
      const auto [found, first] =
          known.try_emplace({service.name_space, service.host}, services.size());
      if (first) {
        services.push_back(std::move(service));
      } else {
        merge(std::move(service), &services[found->second]);
      }
    }
  }
  std::set<std::uint32_t> taken;
  for (Service& service : services) {
    if (service.export_to.empty()) service.export_to = mesh.service_export_to;
    settle_endpoints(mesh, &service);
    allocate_address(&taken, &service);
  }
  return services;
}

void add_selected_entries(const WorkloadEntries& entries, Service* service) {
  if (service->selector.empty() || service->is_dns()) return;
  const Pods none;
  add_selected(service->selector, {entries, none}, service);
}

}  // namespace mizzen::control
