// ServiceEntries and WorkloadEntries as services and their endpoints. Pure. Internal to control.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/mesh/snapshot.h"

namespace mizzen::schema {
class ServiceEntry;
class WorkloadEntry;
}  // namespace mizzen::schema

namespace mizzen::control {

using ServiceEntryRule = Rule<schema::ServiceEntry>;
using WorkloadEntryRule = Rule<schema::WorkloadEntry>;
using WorkloadEntries = std::map<std::string, WorkloadEntryRule>;               // "namespace/name"
using Pods = std::unordered_map<std::string, std::shared_ptr<const Workload>>;  // "namespace/name"

// What WorkloadEntries and pods there are, for entries and Services that select them.
struct Workloads {
  const WorkloadEntries& entries;
  const Pods& pods;
};

// One service per host of each entry, oldest entry first; entries of one namespace for one host are
// one service. Those without addresses get one of 240.240.0.0/16 each, which depends on namespace
// and host (and, where two meet, on their age) alone.
std::vector<Service> services_of_entries(const std::vector<ServiceEntryRule>& entries,
                                         const Workloads& workloads, const MeshConfig& mesh);

// Sorts the endpoints and says which accounts stand behind them.
void settle_endpoints(const MeshConfig& mesh, Service* service);

// Adds the WorkloadEntries that a Kubernetes Service selects to its endpoints.
void add_selected_entries(const WorkloadEntries& entries, Service* service);

}  // namespace mizzen::control
