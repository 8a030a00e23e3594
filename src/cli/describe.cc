#include "cli/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "object/json.h"
#include "object/meta.h"

namespace mizzen::cli {
namespace {

using object::StringMap;

constexpr std::string_view kLine = "--------------------\n";

const Json& list_at(const Json& value, std::initializer_list<std::string_view> path) {
  static const Json kEmpty = Json::array();
  const Json* found = object::find(value, path);
  return found != nullptr && found->is_array() ? *found : kEmpty;
}

bool covers(const StringMap& wanted, const StringMap& have) {
  return std::ranges::all_of(wanted, [&](const auto& pair) {
    const auto found = have.find(pair.first);
    return found != have.end() && found->second == pair.second;
  });
}

bool selects(const Json& service, const Json& pod) {
  const StringMap wanted = object::string_map(object::find(service, {"spec", "selector"}));
  return !wanted.empty() && object::namespace_of(service) == object::namespace_of(pod) &&
         covers(wanted, object::labels_of(pod));
}

std::string full_host(const MeshObjects& mesh, std::string_view host, std::string_view name_space) {
  if (host.find('.') != host.npos || host.starts_with('*')) return std::string(host);
  return fmt::format("{}.{}.svc.{}", host, name_space, mesh.domain);
}

std::string host_of(const MeshObjects& mesh, const Json& service) {
  return full_host(mesh, object::name_of(service), object::namespace_of(service));
}

bool host_fits(std::string_view written, std::string_view host) {
  if (!written.starts_with('*')) return written == host;
  return host.ends_with(written.substr(1));
}

// "reviews", or "reviews.other" seen from another namespace.
std::string short_name(const Json& object, std::string_view from) {
  const std::string name_space = object::namespace_of(object);
  return name_space == from ? object::name_of(object) : object::name_of(object) + "." + name_space;
}

// --- Ports ---------------------------------------------------------------------------------------

std::string protocol_of(const Json& port) {
  const std::string app = object::string_at(port, {"appProtocol"});
  const std::string name = app.empty() ? object::string_at(port, {"name"}) : app;
  const std::string word = lower(name.substr(0, name.find('-')));
  if (object::string_at(port, {"protocol"}, "TCP") == "UDP") return "UDP";
  for (const char* known :
       {"http", "http2", "https", "grpc", "tcp", "tls", "mongo", "mysql", "redis"}) {
    if (word != known) continue;
    std::string out = word;
    for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return out;
  }
  return "auto-detect";
}

// The number that a service's port leads to in a pod; named ports are looked up.
std::string target_of(const Json& port, const Json* pod) {
  const Json* target = object::find(port, {"targetPort"});
  if (target == nullptr) return std::to_string(object::int_at(port, {"port"}));
  if (!target->is_string()) return target->dump();
  if (pod != nullptr) {
    for (const Json& container : list_at(*pod, {"spec", "containers"})) {
      for (const Json& one : list_at(container, {"ports"})) {
        if (object::string_at(one, {"name"}) == target->get<std::string>())
          return std::to_string(object::int_at(one, {"containerPort"}));
      }
    }
  }
  return target->get<std::string>();
}

std::string service_text(const Json& service, const Json* pod) {
  std::string out = fmt::format("Service: {}\n", object::name_of(service));
  for (const Json& port : list_at(service, {"spec", "ports"})) {
    out += fmt::format("   Port: {} {}/{} targets pod port {}\n", object::string_at(port, {"name"}),
                       object::int_at(port, {"port"}), protocol_of(port), target_of(port, pod));
  }
  return out;
}

std::string pod_text(const Json& pod) {
  std::string out = fmt::format("Pod: {}\n", object::name_of(pod));
  std::vector<std::string> ports;
  bool sidecar = false;
  for (const Json& container : list_at(pod, {"spec", "containers"})) {
    const std::string name = object::string_at(container, {"name"});
    sidecar = sidecar || name == "istio-proxy";
    for (const Json& port : list_at(container, {"ports"})) {
      const bool udp = object::string_at(port, {"protocol"}) == "UDP";
      ports.push_back(fmt::format("{}{} ({})", object::int_at(port, {"containerPort"}),
                                  udp ? "/UDP" : "", name));
    }
  }
  out += fmt::format("   Pod Revision: {}\n",
                     object::label_of(pod, "istio.io/rev").value_or("default"));
  out += ports.empty() ? "   Pod does not expose ports\n"
                       : fmt::format("   Pod Ports: {}\n", fmt::join(ports, ", "));
  const std::string phase = object::string_at(pod, {"status", "phase"});
  if (phase != "Running") out += fmt::format("   Pod is not running, is {}\n", phase);
  if (!sidecar) {
    out += fmt::format("WARNING: {} is not part of mesh; no Istio sidecar\n", object::name_of(pod));
  }
  for (const char* label : {"app", "version"}) {
    if (!object::label_of(pod, label) &&
        !object::label_of(pod, fmt::format("app.kubernetes.io/{}",
                                           label == std::string("app") ? "name" : "version")))
      out += fmt::format("Suggestion: add '{}' label to pod for Istio telemetry.\n", label);
  }
  return out;
}

// --- DestinationRules ----------------------------------------------------------------------------

struct Subsets {
  const Json* rule = nullptr;
  std::vector<std::string> matching;
  std::vector<std::string> others;
  bool matches(const std::string& name) const {
    return std::ranges::find(matching, name) != matching.end();
  }
};

// The rule for a host; subsets that have one of `pods`.
Subsets subsets_of(const MeshObjects& mesh, const std::string& host,
                   const std::vector<const Json*>& pods) {
  Subsets out;
  for (const Json& rule : mesh.destination_rules) {
    const std::string written =
        full_host(mesh, object::string_at(rule, {"spec", "host"}), object::namespace_of(rule));
    if (!host_fits(written, host)) continue;
    // The one that names the host itself goes before those with a star.
    if (out.rule != nullptr && written.starts_with('*')) continue;
    out = {&rule, {}, {}};
    for (const Json& subset : list_at(rule, {"spec", "subsets"})) {
      const StringMap labels = object::string_map(object::find(subset, {"labels"}));
      const bool any = std::ranges::any_of(
          pods, [&](const Json* pod) { return covers(labels, object::labels_of(*pod)); });
      (any ? out.matching : out.others).push_back(object::string_at(subset, {"name"}));
    }
  }
  return out;
}

std::string rule_text(const Subsets& subsets, std::string_view from) {
  const Json& rule = *subsets.rule;
  std::string out = fmt::format("DestinationRule: {} for \"{}\"\n", short_name(rule, from),
                                object::string_at(rule, {"spec", "host"}));
  if (!subsets.matching.empty()) {
    out += fmt::format("   Matching subsets: {}\n", fmt::join(subsets.matching, ","));
    if (!subsets.others.empty())
      out += fmt::format("      (Non-matching subsets {})\n", fmt::join(subsets.others, ","));
  } else if (!subsets.others.empty()) {
    out += fmt::format("   WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets {})\n",
                       fmt::join(subsets.others, ","));
  }
  const Json* policy = object::find(rule, {"spec", "trafficPolicy"});
  if (policy == nullptr) return out + "   No Traffic Policy\n";
  if (const Json* tls = object::find(*policy, {"tls"}))
    out += fmt::format("   Traffic Policy TLS Mode: {}\n", object::string_at(*tls, {"mode"}));
  std::vector<std::string> words;
  for (const auto& [field, word] : {std::pair{"loadBalancer", "load balancer"},
                                    {"connectionPool", "connection pool"},
                                    {"outlierDetection", "outlier detection"}}) {
    if (policy->contains(field)) words.emplace_back(word);
  }
  if (!words.empty()) out += fmt::format("   {}\n", fmt::join(words, "/"));
  return out;
}

// --- VirtualServices -----------------------------------------------------------------------------

std::string string_match(const Json& match) {
  for (const char* kind : {"exact", "prefix", "regex"}) {
    const std::string text = object::string_at(match, {kind});
    if (text.empty()) continue;
    if (std::string_view(kind) == "prefix") return text + "*";
    return std::string_view(kind) == "regex" ? "regex " + text : text;
  }
  return "*";
}

// "Match: /productpage when headers are a=b".
std::string match_text(const Json& match) {
  std::string out = "Match: ";
  if (const Json* uri = object::find(match, {"uri"})) out += string_match(*uri);
  if (const Json* method = object::find(match, {"method"})) out += " " + string_match(*method);
  std::vector<std::string> headers;
  if (const Json* list = object::find(match, {"headers"})) {
    for (const auto& [name, wanted] : list->items())
      headers.push_back(name + "=" + string_match(wanted));
  }
  if (!headers.empty()) out += fmt::format(" when headers are {}", fmt::join(headers, ","));
  return out;
}

bool on_mesh(const Json& rule) {
  const Json& gateways = list_at(rule, {"spec", "gateways"});
  return gateways.empty() || std::ranges::find(gateways, Json("mesh")) != gateways.end();
}

// What the rules of a VirtualService say of a service: facts that reach the pods, and how many
// destinations do not.
struct RouteFacts {
  std::vector<std::string> lines;
  std::vector<std::string> misses;
  int plain = 0;    // rules without a match that lead there
  int checked = 0;  // HTTP rules
  int unreached = 0;
};

std::string matches_text(const Json& rule) {
  std::vector<std::string> out;
  for (const Json& match : list_at(rule, {"match"})) out.push_back(match_text(match));
  return fmt::format("{}", fmt::join(out, ", "));
}

void add_rule(const Json& rule, const std::string& host, const MeshObjects& mesh,
              const std::string& name_space, const Subsets& subsets, RouteFacts& facts) {
  const Json& routes = list_at(rule, {"route"});
  for (const Json& route : routes) {
    const std::string to =
        full_host(mesh, object::string_at(route, {"destination", "host"}), name_space);
    const std::string subset = object::string_at(route, {"destination", "subset"});
    if (to != host) continue;
    if (!subset.empty() && !subsets.matches(subset)) {
      ++facts.unreached;
      const std::string when = matches_text(rule);
      facts.misses.push_back(fmt::format("Route to non-matching subset {} for ({})", subset,
                                         when.empty() ? "everything" : when));
      continue;
    }
    std::string line = matches_text(rule);
    if (routes.size() > 1)
      line +=
          fmt::format("{}Weight {}%", line.empty() ? "" : " ", object::int_at(route, {"weight"}));
    if (object::find(rule, {"fault"}) != nullptr)
      line += fmt::format("{}with fault injection", line.empty() ? "" : " ");
    if (line.empty()) {
      ++facts.plain;
    } else {
      facts.lines.push_back(std::move(line));
    }
  }
}

RouteFacts facts_of(const MeshObjects& mesh, const Json& rule, const std::string& host,
                    const Subsets& subsets) {
  RouteFacts out;
  for (const Json& http : list_at(rule, {"spec", "http"})) {
    ++out.checked;
    add_rule(http, host, mesh, object::namespace_of(rule), subsets, out);
  }
  return out;
}

// `pods`: about a pod or about a whole service, which every destination reaches somehow.
std::string routes_text(const Json& rule, const RouteFacts& facts, std::string_view from,
                        bool of_pod) {
  std::string out = fmt::format("VirtualService: {}\n", short_name(rule, from));
  for (const std::string& line : facts.lines) out += fmt::format("   {}\n", line);
  if (facts.lines.empty() && facts.plain > 0)
    out += fmt::format("   {} HTTP route(s)\n", facts.plain);
  if (facts.lines.empty() && facts.plain == 0 && !facts.misses.empty()) {
    out += fmt::format("   WARNING: No destinations match pod subsets (checked {} HTTP routes)\n",
                       facts.checked);
    for (const std::string& miss : facts.misses) out += fmt::format("      {}\n", miss);
    return out;
  }
  if (of_pod && facts.unreached > 0)
    out += fmt::format("   {} additional destination(s) that will not reach this pod\n",
                       facts.unreached);
  return out;
}

bool names_host(const MeshObjects& mesh, const Json& rule, const std::string& host) {
  for (const Json& written : list_at(rule, {"spec", "hosts"})) {
    if (written.is_string() &&
        host_fits(full_host(mesh, written.get<std::string>(), object::namespace_of(rule)), host))
      return true;
  }
  return false;
}

// --- Gateways ------------------------------------------------------------------------------------

// "http://10.1.2.3", where the gateway that serves `gateway` answers; empty when nobody knows.
std::string gateway_address(const MeshObjects& mesh, const Json& gateway) {
  const StringMap selector = object::string_map(object::find(gateway, {"spec", "selector"}));
  for (const Json& service : mesh.services) {
    const StringMap chosen = object::string_map(object::find(service, {"spec", "selector"}));
    if (chosen.empty() || !covers(selector, chosen)) continue;
    for (const Json& ingress : list_at(service, {"status", "loadBalancer", "ingress"})) {
      const std::string ip = object::string_at(ingress, {"ip"});
      const std::string name = object::string_at(ingress, {"hostname"});
      if (!ip.empty() || !name.empty()) return "http://" + (ip.empty() ? name : ip);
    }
    const std::string cluster_ip = object::string_at(service, {"spec", "clusterIP"});
    if (!cluster_ip.empty() && cluster_ip != "None") return "http://" + cluster_ip;
  }
  return {};
}

std::string exposure_text(const MeshObjects& mesh, const std::string& host, const Subsets& subsets,
                          std::string_view from) {
  std::string out;
  std::set<std::string> told;
  for (const Json& rule : mesh.virtual_services) {
    const RouteFacts facts = facts_of(mesh, rule, host, subsets);
    if (facts.lines.empty() && facts.plain == 0) continue;
    for (const Json& written : list_at(rule, {"spec", "gateways"})) {
      if (!written.is_string() || written == "mesh") continue;
      const std::string text = written.get<std::string>();
      const std::size_t slash = text.find('/');
      const std::string name_space =
          slash == text.npos ? object::namespace_of(rule) : text.substr(0, slash);
      const std::string name = slash == text.npos ? text : text.substr(slash + 1);
      for (const Json& gateway : mesh.gateways) {
        if (object::name_of(gateway) != name || object::namespace_of(gateway) != name_space)
          continue;
        const std::string address = gateway_address(mesh, gateway);
        if (address.empty()) continue;
        if (told.insert(address).second)
          out += fmt::format("{}Exposed on Ingress Gateway {}\n", kLine, address);
        out += routes_text(rule, facts, from, false);
      }
    }
  }
  return out;
}

// A service with what the mesh does to it; for one pod of it, or for all.
std::string service_in_mesh(const MeshObjects& mesh, const Json& service,
                            const std::vector<const Json*>& pods, bool of_pod) {
  const std::string host = host_of(mesh, service);
  const std::string from = object::namespace_of(service);
  std::string out = service_text(service, pods.empty() ? nullptr : pods.front());
  const Subsets subsets = subsets_of(mesh, host, pods);
  if (subsets.rule != nullptr) out += rule_text(subsets, from);
  for (const Json& rule : mesh.virtual_services) {
    if (!on_mesh(rule) || !names_host(mesh, rule, host)) continue;
    const RouteFacts facts = facts_of(mesh, rule, host, subsets);
    out += routes_text(rule, facts, from, of_pod);
  }
  return out + exposure_text(mesh, host, subsets, from);
}

std::string created(const Json& object) {
  return object::string_at(object, {"metadata", "creationTimestamp"});
}

}  // namespace

EffectiveMtls effective_mtls(const MeshObjects& mesh, const Json& pod) {
  // By scope: workload, namespace, mesh; of equals the oldest.
  std::vector<std::pair<int, const Json*>> found;
  for (const Json& policy : mesh.peer_authentications) {
    const std::string name_space = object::namespace_of(policy);
    const StringMap labels =
        object::string_map(object::find(policy, {"spec", "selector", "matchLabels"}));
    const bool here = name_space == object::namespace_of(pod);
    if (!labels.empty()) {
      if (here && covers(labels, object::labels_of(pod))) found.emplace_back(0, &policy);
    } else if (here && name_space != mesh.root_namespace) {
      found.emplace_back(1, &policy);
    } else if (name_space == mesh.root_namespace) {
      found.emplace_back(2, &policy);
    }
  }
  std::ranges::sort(found, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : created(*a.second) < created(*b.second);
  });
  EffectiveMtls out;
  bool decided = false;
  for (const auto& [scope, policy] : found) {
    const std::string mode = object::string_at(*policy, {"spec", "mtls", "mode"}, "UNSET");
    if (mode != "UNSET" && !decided) {
      out.mode = mode;
      decided = true;
    }
    out.applied.push_back(object::name_of(*policy) + "." + object::namespace_of(*policy));
  }
  return out;
}

std::string describe_pod(const MeshObjects& mesh, const Json& pod) {
  std::string out = pod_text(pod);
  for (const Json& service : mesh.services) {
    if (selects(service, pod))
      out += std::string(kLine) + service_in_mesh(mesh, service, {&pod}, true);
  }
  const EffectiveMtls mtls = effective_mtls(mesh, pod);
  out +=
      fmt::format("{}Effective PeerAuthentication:\n   Workload mTLS mode: {}\n", kLine, mtls.mode);
  if (!mtls.applied.empty())
    out += fmt::format("Applied PeerAuthentication:\n   {}\n", fmt::join(mtls.applied, ", "));
  return out;
}

std::string describe_service(const MeshObjects& mesh, const Json& service) {
  std::vector<const Json*> pods;
  for (const Json& pod : mesh.pods) {
    const std::string phase = object::string_at(pod, {"status", "phase"});
    if (selects(service, pod) && phase != "Succeeded" && phase != "Failed") pods.push_back(&pod);
  }
  return service_in_mesh(mesh, service, pods, false);
}

}  // namespace mizzen::cli
