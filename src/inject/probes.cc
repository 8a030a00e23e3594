#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "inject/parts.h"

namespace mizzen::inject {
namespace {

constexpr int kAgentPort = 15020;

struct ProbeKind {
  const char* field;  // in the container
  const char* path;   // in the agent's URL
};
constexpr ProbeKind kProbes[] = {
    {"readinessProbe", "readyz"}, {"livenessProbe", "livez"}, {"startupProbe", "startupz"}};

// A named port becomes its number: the agent does not know names.
Json resolve_port(const Json& port, const Json& container) {
  if (!port.is_string()) return port;
  for (const Json& known : container.value("ports", Json::array())) {
    if (known.is_object() && known.value("name", "") == port.get<std::string>()) {
      return known.value("containerPort", Json());
    }
  }
  return port;
}

// What the agent asks in the probe's stead; null for a probe that needs no help (exec).
Json take_action(Json* probe, const Json& container) {
  for (const char* action : {"httpGet", "tcpSocket", "grpc"}) {
    const auto found = probe->find(action);
    if (found == probe->end() || !found->is_object()) continue;
    Json taken = {{action, *found}};
    if (found->contains("port")) taken[action]["port"] = resolve_port((*found)["port"], container);
    taken["timeoutSeconds"] = probe->value("timeoutSeconds", 1);
    probe->erase(action);
    return taken;
  }
  return {};
}

}  // namespace

Json rewrite_probes(Json* spec) {
  Json probers = Json::object();
  for (const char* list : {"containers", "initContainers"}) {
    if (!spec->contains(list) || !(*spec)[list].is_array()) continue;
    for (Json& container : (*spec)[list]) {
      if (!container.is_object() || container.value("name", "") == "istio-proxy") continue;
      for (const ProbeKind& kind : kProbes) {
        const auto probe = container.find(kind.field);
        if (probe == container.end() || !probe->is_object()) continue;
        Json taken = take_action(&*probe, container);
        if (taken.is_null()) continue;
        const std::string path =
            fmt::format("/app-health/{}/{}", container.value("name", ""), kind.path);
        (*probe)["httpGet"] = {{"path", path}, {"port", kAgentPort}, {"scheme", "HTTP"}};
        probers[path] = std::move(taken);
      }
    }
  }
  return probers;
}

}  // namespace mizzen::inject
