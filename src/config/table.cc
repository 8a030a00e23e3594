#include "config/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/strings.h"
#include "object/meta.h"
#include "object/selector.h"

namespace mizzen::config {
namespace {

using object::Json;
using Cells = std::vector<Json>;

struct Row {
  const Json& object;
  WallTime now;

  std::string text(std::initializer_list<std::string_view> path,
                   std::string_view fallback = "<none>") const {
    std::string value = object::string_at(object, path);
    return value.empty() ? std::string(fallback) : value;
  }
  std::int64_t number(std::initializer_list<std::string_view> path,
                      std::int64_t fallback = 0) const {
    return object::int_at(object, path, fallback);
  }
  const Json& list(std::initializer_list<std::string_view> path) const {
    static const Json kEmpty = Json::array();
    const Json* value = object::find(object, path);
    return value && value->is_array() ? *value : kEmpty;
  }
  std::size_t size(std::initializer_list<std::string_view> path) const {
    const Json* value = object::find(object, path);
    return value && value->is_structured() ? value->size() : 0;
  }
  std::string age(std::initializer_list<std::string_view> path = {"metadata",
                                                                  "creationTimestamp"}) const {
    auto time = object::parse_time(object::string_at(object, path));
    return time ? object::human_duration(now - *time) : "<unknown>";
  }
  std::string name() const { return object::name_of(object); }
};

std::string joined(const std::vector<std::string>& parts, std::string_view none = "<none>") {
  return parts.empty() ? std::string(none) : join(parts, ",");
}

std::string labels_text(const Json* map) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : object::string_map(map)) parts.push_back(key + "=" + value);
  return joined(parts);
}

// Names and images of a pod template's containers.
std::string containers(const Row& row, std::string_view member,
                       std::initializer_list<std::string_view> path = {"spec", "template", "spec",
                                                                       "containers"}) {
  std::vector<std::string> parts;
  for (const Json& one : row.list(path)) parts.push_back(object::string_at(one, {member}));
  return joined(parts);
}

std::string selector_text(const Row& row) {
  auto selector = object::LabelSelector::from_json(object::find(row.object, {"spec", "selector"}));
  return selector && !selector->empty() ? selector->to_string() : "<none>";
}

// --- pods ----------------------------------------------------------------------------------------
bool restartable_init(const Json& pod, const std::string& name) {
  const Json* all = object::find(pod, {"spec", "initContainers"});
  if (!all || !all->is_array()) return false;
  return std::ranges::any_of(*all, [&](const Json& one) {
    return object::string_at(one, {"name"}) == name &&
           object::string_at(one, {"restartPolicy"}) == "Always";
  });
}

// What STATUS shows while init containers have not all succeeded; empty when they have.
std::string init_reason(const Row& row, std::int64_t* restarts, int* ready_sidecars) {
  const Json& statuses = row.list({"status", "initContainerStatuses"});
  std::size_t total = row.size({"spec", "initContainers"});
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const Json& one = statuses[i];
    *restarts += object::int_at(one, {"restartCount"});
    if (object::find(one, {"state", "terminated"}) &&
        object::int_at(one, {"state", "terminated", "exitCode"}) == 0) {
      continue;
    }
    if (restartable_init(row.object, object::string_at(one, {"name"})) &&
        object::bool_at(one, {"started"})) {
      if (object::bool_at(one, {"ready"})) ++*ready_sidecars;
      continue;
    }
    std::string reason = object::string_at(one, {"state", "terminated", "reason"});
    if (object::find(one, {"state", "terminated"})) {
      return "Init:" + (reason.empty()
                            ? fmt::format("ExitCode:{}",
                                          object::int_at(one, {"state", "terminated", "exitCode"}))
                            : reason);
    }
    reason = object::string_at(one, {"state", "waiting", "reason"});
    if (!reason.empty() && reason != "PodInitializing") return "Init:" + reason;
    return fmt::format("Init:{}/{}", i, total);
  }
  return {};
}

struct PodState {
  std::string status;
  int ready = 0;
  int total = 0;
  std::int64_t restarts = 0;
  std::string last_restart;
};

PodState pod_state(const Row& row) {
  PodState state;
  state.status = row.text({"status", "reason"}, object::string_at(row.object, {"status", "phase"}));
  state.total = static_cast<int>(row.size({"spec", "containers"}));
  for (const Json& one : row.list({"spec", "initContainers"})) {
    if (object::string_at(one, {"restartPolicy"}) == "Always") ++state.total;
  }
  std::int64_t init_restarts = 0;
  std::string init = init_reason(row, &init_restarts, &state.ready);
  if (!init.empty()) {
    state.status = init;
    state.restarts = init_restarts;
  } else {
    bool running = false;
    for (const Json& one : row.list({"status", "containerStatuses"})) {
      state.restarts += object::int_at(one, {"restartCount"});
      auto last =
          object::parse_time(object::string_at(one, {"lastState", "terminated", "finishedAt"}));
      if (last) state.last_restart = object::human_duration(row.now - *last);
      std::string waiting = object::string_at(one, {"state", "waiting", "reason"});
      std::string ended = object::string_at(one, {"state", "terminated", "reason"});
      if (!waiting.empty()) {
        state.status = waiting;
      } else if (!ended.empty()) {
        state.status = ended;
      } else if (object::find(one, {"state", "terminated"})) {
        state.status =
            fmt::format("ExitCode:{}", object::int_at(one, {"state", "terminated", "exitCode"}));
      } else if (object::bool_at(one, {"ready"}) && object::find(one, {"state", "running"})) {
        running = true;
        ++state.ready;
      }
    }
    if (state.status == "Completed" && running) state.status = "Running";
  }
  if (object::find(row.object, {"metadata", "deletionTimestamp"})) state.status = "Terminating";
  return state;
}

Cells pod(const Row& row) {
  PodState state = pod_state(row);
  std::string restarts = fmt::format("{}", state.restarts);
  if (state.restarts > 0 && !state.last_restart.empty())
    restarts += " (" + state.last_restart + " ago)";
  int gates = 0;
  for (const Json& gate : row.list({"spec", "readinessGates"})) {
    for (const Json& condition : row.list({"status", "conditions"})) {
      gates +=
          object::string_at(condition, {"type"}) == object::string_at(gate, {"conditionType"}) &&
          object::string_at(condition, {"status"}) == "True";
    }
  }
  std::size_t all_gates = row.size({"spec", "readinessGates"});
  return {row.name(),
          fmt::format("{}/{}", state.ready, state.total),
          state.status,
          restarts,
          row.age(),
          row.text({"status", "podIP"}),
          row.text({"spec", "nodeName"}),
          row.text({"status", "nominatedNodeName"}),
          all_gates ? fmt::format("{}/{}", gates, all_gates) : "<none>"};
}

// --- services and endpoints ---
std::string external_ip(const Row& row) {
  std::string type = row.text({"spec", "type"}, "ClusterIP");
  std::vector<std::string> parts;
  if (type == "ExternalName") return row.text({"spec", "externalName"});
  if (type == "LoadBalancer") {
    for (const Json& one : row.list({"status", "loadBalancer", "ingress"})) {
      std::string ip = object::string_at(one, {"ip"});
      parts.push_back(ip.empty() ? object::string_at(one, {"hostname"}) : ip);
    }
  }
  for (const Json& ip : row.list({"spec", "externalIPs"})) {
    if (ip.is_string()) parts.push_back(ip.get<std::string>());
  }
  return joined(parts, type == "LoadBalancer" ? "<pending>" : "<none>");
}

Cells service(const Row& row) {
  std::vector<std::string> ports;
  for (const Json& port : row.list({"spec", "ports"})) {
    std::int64_t node = object::int_at(port, {"nodePort"});
    std::string protocol = object::string_at(port, {"protocol"}, "TCP");
    ports.push_back(node ? fmt::format("{}:{}/{}", object::int_at(port, {"port"}), node, protocol)
                         : fmt::format("{}/{}", object::int_at(port, {"port"}), protocol));
  }
  return {row.name(),
          row.text({"spec", "type"}, "ClusterIP"),
          row.text({"spec", "clusterIP"}),
          external_ip(row),
          joined(ports),
          row.age(),
          labels_text(object::find(row.object, {"spec", "selector"}))};
}

std::string shortened(std::vector<std::string> parts) {
  constexpr std::size_t kShown = 3;
  if (parts.size() <= kShown) return joined(parts);
  std::size_t more = parts.size() - kShown;
  parts.resize(kShown);
  return fmt::format("{} + {} more...", join(parts, ","), more);
}

Cells endpoints(const Row& row) {
  std::vector<std::string> parts;
  for (const Json& subset : row.list({"subsets"})) {
    const Json* addresses = object::find(subset, {"addresses"});
    const Json* ports = object::find(subset, {"ports"});
    if (!addresses) continue;
    for (const Json& address : *addresses) {
      std::string ip = object::string_at(address, {"ip"});
      if (!ports) parts.push_back(ip);
      for (const Json& port : ports ? *ports : Json::array()) {
        parts.push_back(fmt::format("{}:{}", ip, object::int_at(port, {"port"})));
      }
    }
  }
  return {row.name(), shortened(std::move(parts)), row.age()};
}

Cells endpoint_slice(const Row& row) {
  std::vector<std::string> ports, addresses;
  for (const Json& port : row.list({"ports"}))
    ports.push_back(fmt::format("{}", object::int_at(port, {"port"})));
  for (const Json& one : row.list({"endpoints"})) {
    const Json* list = object::find(one, {"addresses"});
    if (!list || !list->is_array()) continue;
    for (const Json& address : *list) {
      if (address.is_string()) addresses.push_back(address.get<std::string>());
    }
  }
  if (ports.empty()) ports.push_back("<unset>");
  return {row.name(), row.text({"addressType"}), joined(ports),
          addresses.empty() ? "<unset>" : shortened(addresses), row.age()};
}

// --- workloads ---
Cells deployment(const Row& row) {
  return {row.name(),
          fmt::format("{}/{}", row.number({"status", "readyReplicas"}),
                      row.number({"spec", "replicas"}, 1)),
          row.number({"status", "updatedReplicas"}),
          row.number({"status", "availableReplicas"}),
          row.age(),
          containers(row, "name"),
          containers(row, "image"),
          selector_text(row)};
}

Cells replica_set(const Row& row) {
  return {row.name(),
          row.number({"spec", "replicas"}, 1),
          row.number({"status", "replicas"}),
          row.number({"status", "readyReplicas"}),
          row.age(),
          containers(row, "name"),
          containers(row, "image"),
          selector_text(row)};
}

Cells stateful_set(const Row& row) {
  return {row.name(),
          fmt::format("{}/{}", row.number({"status", "readyReplicas"}),
                      row.number({"spec", "replicas"}, 1)),
          row.age(), containers(row, "name"), containers(row, "image")};
}

Cells daemon_set(const Row& row) {
  return {row.name(),
          row.number({"status", "desiredNumberScheduled"}),
          row.number({"status", "currentNumberScheduled"}),
          row.number({"status", "numberReady"}),
          row.number({"status", "updatedNumberScheduled"}),
          row.number({"status", "numberAvailable"}),
          labels_text(object::find(row.object, {"spec", "template", "spec", "nodeSelector"})),
          row.age(),
          containers(row, "name"),
          containers(row, "image"),
          selector_text(row)};
}

Cells job(const Row& row) {
  std::string status = "Running";
  for (const Json& condition : row.list({"status", "conditions"})) {
    if (object::string_at(condition, {"status"}) == "True")
      status = object::string_at(condition, {"type"});
  }
  auto start = object::parse_time(row.text({"status", "startTime"}));
  auto end = object::parse_time(row.text({"status", "completionTime"}));
  std::string duration = start ? object::human_duration((end ? *end : row.now) - *start) : "";
  return {row.name(),
          status,
          fmt::format("{}/{}", row.number({"status", "succeeded"}),
                      row.number({"spec", "completions"}, 1)),
          duration,
          row.age(),
          containers(row, "name"),
          containers(row, "image"),
          selector_text(row)};
}

Cells cron_job(const Row& row) {
  return {
      row.name(),
      row.text({"spec", "schedule"}),
      object::bool_at(row.object, {"spec", "suspend"}) ? "True" : "False",
      row.size({"status", "active"}),
      object::find(row.object, {"status", "lastScheduleTime"})
          ? row.age({"status", "lastScheduleTime"})
          : "<none>",
      row.age(),
      containers(row, "name", {"spec", "jobTemplate", "spec", "template", "spec", "containers"}),
      containers(row, "image", {"spec", "jobTemplate", "spec", "template", "spec", "containers"})};
}

// --- the rest ---
Cells node(const Row& row) {
  std::string status = "Unknown";
  for (const Json& condition : row.list({"status", "conditions"})) {
    if (object::string_at(condition, {"type"}) == "Ready") {
      status = object::string_at(condition, {"status"}) == "True" ? "Ready" : "NotReady";
    }
  }
  if (object::bool_at(row.object, {"spec", "unschedulable"})) status += ",SchedulingDisabled";
  std::vector<std::string> roles;
  constexpr std::string_view kRole = "node-role.kubernetes.io/";
  for (const auto& [key, value] : object::labels_of(row.object)) {
    if (key.starts_with(kRole)) roles.push_back(key.substr(kRole.size()));
  }
  auto address = [&](std::string_view type) {
    for (const Json& one : row.list({"status", "addresses"})) {
      if (object::string_at(one, {"type"}) == type) return object::string_at(one, {"address"});
    }
    return std::string("<none>");
  };
  auto info = [&](std::string_view what) {
    return row.text({"status", "nodeInfo", what}, "<unknown>");
  };
  return {row.name(),
          status,
          joined(roles),
          row.age(),
          info("kubeletVersion"),
          address("InternalIP"),
          address("ExternalIP"),
          info("osImage"),
          info("kernelVersion"),
          info("containerRuntimeVersion")};
}

Cells event(const Row& row) {
  const Json* involved = object::find(row.object, {"involvedObject"});
  if (!involved) involved = object::find(row.object, {"regarding"});
  std::string object_name = involved ? lower(object::string_at(*involved, {"kind"})) + "/" +
                                           object::string_at(*involved, {"name"})
                                     : "";
  std::string last = object::find(row.object, {"lastTimestamp"}) ? row.age({"lastTimestamp"})
                     : object::find(row.object, {"eventTime"})   ? row.age({"eventTime"})
                                                                 : row.age();
  std::string first =
      object::find(row.object, {"firstTimestamp"}) ? row.age({"firstTimestamp"}) : last;
  std::string source = row.text({"source", "component"}, row.text({"reportingComponent"}, ""));
  std::string host = row.text({"source", "host"}, "");
  std::string message = std::string(trim(row.text({"message"}, row.text({"note"}, ""))));
  return {last,
          row.text({"type"}, ""),
          row.text({"reason"}, ""),
          object_name,
          involved ? object::string_at(*involved, {"fieldPath"}) : "",
          host.empty() ? source : source + ", " + host,
          message,
          first,
          row.number({"count"}, 1),
          row.name()};
}

Cells ingress(const Row& row) {
  std::vector<std::string> hosts, addresses;
  for (const Json& rule : row.list({"spec", "rules"})) {
    std::string host = object::string_at(rule, {"host"});
    hosts.push_back(host.empty() ? "*" : host);
  }
  for (const Json& one : row.list({"status", "loadBalancer", "ingress"})) {
    std::string ip = object::string_at(one, {"ip"});
    addresses.push_back(ip.empty() ? object::string_at(one, {"hostname"}) : ip);
  }
  return {row.name(),
          row.text({"spec", "ingressClassName"}),
          joined(hosts, "*"),
          joined(addresses, ""),
          row.size({"spec", "tls"}) ? "80, 443" : "80",
          row.age()};
}

Cells autoscaler(const Row& row) {
  return {row.name(),
          row.text({"spec", "scaleTargetRef", "kind"}, "") + "/" +
              row.text({"spec", "scaleTargetRef", "name"}, ""),
          row.number({"spec", "minReplicas"}, 1),
          row.number({"spec", "maxReplicas"}),
          row.number({"status", "currentReplicas"}),
          row.age()};
}

Cells webhooks(const Row& row) { return {row.name(), row.size({"webhooks"}), row.age()}; }
Cells created_at(const Row& row) {
  return {row.name(), row.text({"metadata", "creationTimestamp"}, "<unknown>")};
}
Cells role_binding(const Row& row) {
  return {row.name(), row.text({"roleRef", "kind"}, "") + "/" + row.text({"roleRef", "name"}, ""),
          row.age()};
}

using Maker = std::function<Cells(const Row&)>;
const std::map<std::string_view, Maker>& makers() {
  static const std::map<std::string_view, Maker> table = {
      {"Pod", pod},
      {"Service", service},
      {"Endpoints", endpoints},
      {"EndpointSlice", endpoint_slice},
      {"Deployment", deployment},
      {"ReplicaSet", replica_set},
      {"ReplicationController", replica_set},
      {"StatefulSet", stateful_set},
      {"DaemonSet", daemon_set},
      {"Job", job},
      {"CronJob", cron_job},
      {"Node", node},
      {"Event", event},
      {"Ingress", ingress},
      {"MutatingWebhookConfiguration", webhooks},
      {"ValidatingWebhookConfiguration", webhooks},
      {"Role", created_at},
      {"ClusterRole", created_at},
      {"CustomResourceDefinition", created_at},
      {"LimitRange", created_at},
      {"RoleBinding", role_binding},
      {"ClusterRoleBinding", role_binding},
      {"Namespace",
       [](const Row& row) -> Cells {
         bool going = object::find(row.object, {"metadata", "deletionTimestamp"});
         return {row.name(), going ? "Terminating" : row.text({"status", "phase"}, "Active"),
                 row.age()};
       }},
      {"ConfigMap",
       [](const Row& row) -> Cells {
         return {row.name(), row.size({"data"}) + row.size({"binaryData"}), row.age()};
       }},
      {"Secret",
       [](const Row& row) -> Cells {
         return {row.name(), row.text({"type"}, "Opaque"), row.size({"data"}), row.age()};
       }},
      {"ServiceAccount",
       [](const Row& row) -> Cells {
         return {row.name(), row.size({"secrets"}), row.age()};
       }},
      {"Lease",
       [](const Row& row) -> Cells {
         return {row.name(), row.text({"spec", "holderIdentity"}, ""), row.age()};
       }},
      {"IngressClass",
       [](const Row& row) -> Cells {
         return {row.name(), row.text({"spec", "controller"}), "<none>", row.age()};
       }},
      {"NetworkPolicy",
       [](const Row& row) -> Cells {
         return {row.name(),
                 labels_text(object::find(row.object, {"spec", "podSelector", "matchLabels"})),
                 row.age()};
       }},
      {"HorizontalPodAutoscaler", autoscaler},
      {"StorageClass",
       [](const Row& row) -> Cells {
         return {row.name(), row.text({"provisioner"}), row.age()};
       }},
      {"PriorityClass",
       [](const Row& row) -> Cells {
         return {row.name(), row.number({"value"}), object::bool_at(row.object, {"globalDefault"}),
                 row.age()};
       }},
  };
  return table;
}

Json custom_cell(const Column& column, const Row& row) {
  auto found = object::json_path(row.object, column.json_path);
  if (!found || found->empty()) return column.type == "date" ? Json("<unknown>") : Json("");
  const Json& value = found->front();
  if (column.type != "date") return value.is_structured() ? Json(value.dump()) : value;
  auto time =
      value.is_string() ? object::parse_time(value.get_ref<const std::string&>()) : std::nullopt;
  return time ? object::human_duration(row.now - *time) : "<unknown>";
}

}  // namespace

std::vector<Json> table_cells(const Kind& kind, const Json& object, WallTime now) {
  Row row{object, now};
  if (kind.custom) {
    Cells cells;
    for (const Column& column : kind.columns) cells.push_back(custom_cell(column, row));
    return cells;
  }
  auto maker = makers().find(kind.kind);
  Cells cells = maker == makers().end() ? Cells{row.name()} : maker->second(row);
  // Kinds without a printer of their own: name and, in the last column, age.
  if (maker == makers().end()) {
    for (std::size_t i = 1; i < kind.columns.size(); ++i) {
      cells.push_back(kind.columns[i].name == "Age" ? Json(row.age()) : Json(""));
    }
  }
  return cells;
}

}  // namespace mizzen::config
