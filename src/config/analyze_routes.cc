// VirtualServices: where they lead, whom they shadow, and which of their rules are never used.
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "config/analyze_world.h"

namespace mizzen::config {
namespace {

// Every destination that a VirtualService names.
std::vector<const Json*> destinations_of(const Json& service) {
  std::vector<const Json*> out;
  const auto add = [&](const Json& holder, std::string_view member) {
    if (const Json* found = object::find(holder, {member}); found && found->is_object())
      out.push_back(found);
  };
  for (const char* protocol : {"http", "tls", "tcp"}) {
    for (const Json& rule : list_at(service, {"spec", protocol})) {
      for (const Json& route : list_at(rule, {"route"})) add(route, "destination");
      add(rule, "mirror");
      for (const Json& mirror : list_at(rule, {"mirrors"})) add(mirror, "destination");
    }
  }
  return out;
}

bool subset_exists(const AnalysisWorld& world, const std::string& full, const std::string& subset) {
  for (const SourcedObject* rule : world.of_kind("DestinationRule")) {
    const std::string host = world.full_host(object::string_at(rule->value, {"spec", "host"}),
                                             object::namespace_of(rule->value));
    if (!hosts_overlap(host, full)) continue;
    for (const Json& one : list_at(rule->value, {"spec", "subsets"})) {
      if (object::string_at(one, {"name"}) == subset) return true;
    }
  }
  return false;
}

void check_destination(AnalysisWorld& world, const SourcedObject& service, const Json& to) {
  const std::string name_space = object::namespace_of(service.value);
  const std::string written = object::string_at(to, {"host"});
  if (written.empty()) return;  // validation's
  const KnownHost* host = world.host(written, name_space);
  if (host == nullptr) {
    world.tell(service, Severity::kError, "IST0101", "Referenced host not found: \"{}\"", written);
    return;
  }
  const std::string subset = object::string_at(to, {"subset"});
  if (!subset.empty() && !subset_exists(world, world.full_host(written, name_space), subset)) {
    world.tell(service, Severity::kError, "IST0101",
               "Referenced host+subset in destinationrule not found: \"{}+{}\"", written, subset);
  }
  const auto port = object::int_at(to, {"port", "number"});
  if (port == 0 && host->ports.size() > 1) {
    std::vector<int> numbers;
    for (const KnownPort& one : host->ports) numbers.push_back(one.number);
    world.tell(service, Severity::kError, "IST0112",
               "This VirtualService routes to a service \"{}\" that exposes multiple ports [{}]. "
               "Specifying a port in the destination is required to disambiguate.",
               written, fmt::join(numbers, " "));
  }
  if (port != 0 &&
      std::ranges::none_of(host->ports, [&](const KnownPort& one) { return one.number == port; })) {
    world.tell(service, Severity::kError, "IST0101", "Referenced host:port not found: \"{}:{}\"",
               written, port);
  }
}

// The gateways of a VirtualService, `mesh` included, by "namespace/name".
std::vector<std::string> gateways_of(const SourcedObject& service) {
  std::set<std::string> out;
  const auto add = [&](const std::vector<std::string>& names) {
    out.insert(names.begin(), names.end());
  };
  add(strings_at(service.value, {"spec", "gateways"}));
  if (out.empty()) out.insert("mesh");
  for (const char* protocol : {"http", "tls", "tcp"}) {
    for (const Json& rule : list_at(service.value, {"spec", protocol})) {
      for (const Json& match : list_at(rule, {"match"})) add(strings_at(match, {"gateways"}));
    }
  }
  return {out.begin(), out.end()};
}

const SourcedObject* find_gateway(const AnalysisWorld& world, const std::string& written,
                                  const std::string& name_space) {
  if (const auto slash = written.find('/'); slash != written.npos)
    return world.find("Gateway", written.substr(0, slash), written.substr(slash + 1));
  if (const SourcedObject* found = world.find("Gateway", name_space, written)) return found;
  // "name.namespace.svc.cluster.local", as releases before 1.2 wrote it.
  const auto dot = written.find('.');
  if (dot == written.npos) return nullptr;
  const std::string rest = written.substr(dot + 1);
  return world.find("Gateway", rest.substr(0, rest.find('.')), written.substr(0, dot));
}

// Hosts of Gateways may have a namespace in front: "*/x", "./x", "default/x".
bool gateway_takes(const SourcedObject& gateway, const std::string& host,
                   const std::string& name_space) {
  for (const Json& server : list_at(gateway.value, {"spec", "servers"})) {
    for (std::string wanted : strings_at(server, {"hosts"})) {
      if (const auto slash = wanted.find('/'); slash != wanted.npos) {
        const std::string of = wanted.substr(0, slash);
        const bool here = of == "*" || of == name_space ||
                          (of == "." && name_space == object::namespace_of(gateway.value));
        if (!here) continue;
        wanted.erase(0, slash + 1);
      }
      if (hosts_overlap(wanted, host)) return true;
    }
  }
  return false;
}

void check_gateways(AnalysisWorld& world, const SourcedObject& service) {
  const std::string name_space = object::namespace_of(service.value);
  for (const std::string& written : gateways_of(service)) {
    if (written == "mesh") continue;
    const SourcedObject* gateway = find_gateway(world, written, name_space);
    if (gateway == nullptr) {
      world.tell(service, Severity::kError, "IST0101", "Referenced gateway not found: \"{}\"",
                 written);
      continue;
    }
    std::vector<std::string> missing;
    for (const std::string& host : strings_at(service.value, {"spec", "hosts"})) {
      const bool taken = gateway_takes(*gateway, host, name_space) ||
                         gateway_takes(*gateway, world.full_host(host, name_space), name_space);
      if (!taken) missing.push_back(host);
    }
    if (!missing.empty()) {
      world.tell(service, Severity::kWarning, "IST0132",
                 "one or more host [{}] defined in VirtualService {}/{} not found in Gateway {}.",
                 fmt::join(missing, " "), name_space, object::name_of(service.value), written);
    }
  }
}

// A rule's name for people: "#2", or its own.
std::string rule_name(const Json& rule, std::size_t index) {
  const std::string name = object::string_at(rule, {"name"});
  return name.empty() ? fmt::format("#{}", index) : fmt::format("\"{}\"", name);
}

// Fields of a match that do not narrow it.
Json bare(Json match) {
  if (match.is_object()) match.erase("name");
  return match;
}

void check_order(AnalysisWorld& world, const SourcedObject& service, const char* protocol) {
  const Json& rules = list_at(service.value, {"spec", protocol});
  std::vector<std::pair<Json, std::string>> seen;  // match and its rule
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Json& matches = list_at(rules[i], {"match"});
    const std::string name = rule_name(rules[i], i);
    if (matches.empty()) {
      if (i + 1 < rules.size()) {
        world.tell(service, Severity::kWarning, "IST0130", "VirtualService rule {} not used ({}).",
                   rule_name(rules[i + 1], i + 1), "only the last rule can have no matches");
      }
      continue;
    }
    std::size_t duplicates = 0;
    std::string before;
    for (std::size_t m = 0; m < matches.size(); ++m) {
      const Json match = bare(matches[m]);
      const auto same = std::ranges::find(seen, match, &std::pair<Json, std::string>::first);
      if (same == seen.end()) {
        seen.emplace_back(match, name);
        continue;
      }
      ++duplicates;
      before = same->second;
      if (matches.size() > 1) {
        world.tell(service, Severity::kInfo, "IST0131",
                   "VirtualService rule {} match #{} is not used (duplicate/overlapping match in "
                   "rule {}).",
                   name, m, before);
      }
    }
    if (duplicates == matches.size()) {
      world.tell(service, Severity::kWarning, "IST0130", "VirtualService rule {} not used ({}).",
                 name, "all matches used by prior rules");
    }
  }
}

// Whether two rules are seen by a common namespace.
bool both_seen(const SourcedObject& a, const SourcedObject& b) {
  const auto seen_by = [](const SourcedObject& one) {
    std::set<std::string> out;
    for (const std::string& to : strings_at(one.value, {"spec", "exportTo"}))
      out.insert(to == "." ? object::namespace_of(one.value) : to);
    if (out.empty()) out.insert("*");
    return out;
  };
  const auto first = seen_by(a);
  const auto second = seen_by(b);
  if (first.contains("*") || second.contains("*")) return true;
  return std::ranges::any_of(first, [&](const std::string& one) { return second.contains(one); });
}

void check_conflicts(AnalysisWorld& world) {
  std::map<std::string, std::vector<const SourcedObject*>> by_host;
  for (const SourcedObject* service : world.of_kind("VirtualService")) {
    const auto gateways = gateways_of(*service);
    if (std::ranges::find(gateways, "mesh") == gateways.end()) continue;
    const std::string name_space = object::namespace_of(service->value);
    for (const std::string& host : strings_at(service->value, {"spec", "hosts"}))
      by_host[world.full_host(host, name_space)].push_back(service);
  }
  for (const auto& [host, services] : by_host) {
    for (const SourcedObject* one : services) {
      std::string names;
      int others = 0;
      for (const SourcedObject* other : services) {
        if (other != one && !both_seen(*one, *other)) continue;
        others += other != one ? 1 : 0;
        names += fmt::format("{}{}/{}", names.empty() ? "" : ",",
                             object::namespace_of(other->value), object::name_of(other->value));
      }
      if (others == 0) continue;
      world.tell(
          *one, Severity::kError, "IST0109",
          "The VirtualServices {} associated with mesh gateway define the same host {} which "
          "can lead to undefined behavior. This can be fixed by merging the conflicting "
          "VirtualServices into a single resource.",
          names, host);
    }
  }
}

// Fields that were replaced, by their path below a rule of `http`.
void check_deprecated(AnalysisWorld& world, const SourcedObject& service) {
  struct Old {
    std::initializer_list<std::string_view> path;
    const char* name;
    const char* instead;
  };
  static const Old kOld[] = {
      {{"fault", "delay", "percent"},
       "HTTPRoute.fault.delay.percent",
       "HTTPRoute.fault.delay.percentage"},
      {{"fault", "abort", "percent"},
       "HTTPRoute.fault.abort.percent",
       "HTTPRoute.fault.abort.percentage"},
      {{"mirrorPercent"}, "HTTPRoute.mirrorPercent", "HTTPRoute.mirrorPercentage"},
      {{"mirror_percent"}, "HTTPRoute.mirror_percent", "HTTPRoute.mirrorPercentage"},
      {{"corsPolicy", "allowOrigin"},
       "HTTPRoute.corsPolicy.allowOrigin",
       "HTTPRoute.corsPolicy.allowOrigins"},
  };
  for (const Json& rule : list_at(service.value, {"spec", "http"})) {
    for (const Old& old : kOld) {
      if (object::find(rule, old.path) == nullptr) continue;
      world.tell(service, Severity::kWarning, "IST0002", "Deprecated: {} is deprecated; use {}",
                 old.name, old.instead);
    }
  }
}

}  // namespace

void analyze_virtual_services(AnalysisWorld& world) {
  for (const SourcedObject* service : world.of_kind("VirtualService")) {
    for (const Json* destination : destinations_of(service->value))
      check_destination(world, *service, *destination);
    check_gateways(world, *service);
    for (const char* protocol : {"http", "tls", "tcp"}) check_order(world, *service, protocol);
    check_deprecated(world, *service);
  }
  check_conflicts(world);
}

}  // namespace mizzen::config
