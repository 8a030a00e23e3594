#include "cli/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "base/strings.h"
#include "cli/dump.h"

namespace mizzen::cli {
namespace {

constexpr std::size_t kMostEndpoints = 12;

// "virtual-service" -> "VirtualService".
std::string kind_of(std::string_view word) {
  std::string out;
  bool start = true;
  for (char c : word) {
    if (c == '-') {
      start = true;
      continue;
    }
    out += start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    start = false;
  }
  return out;
}

class Steps {
 public:
  Steps(std::string& out, int& number) : out_(out), number_(number) {}
  template <class... Args>
  void step(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format("{:>2}. {}\n", ++number_, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format("      {}\n", fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::string& out_;
  int& number_;
};

std::string join_strings(const Json& list) {
  std::vector<std::string> words;
  for (const Json& one : list)
    words.push_back(one.is_string() ? one.get<std::string>() : one.dump());
  return fmt::format("{}", fmt::join(words, ", "));
}

void tell_connection(const Json& answer, Steps& steps) {
  if (const Json& listener = at(answer, {"listener"}); listener.is_object()) {
    steps.step("Listener {} takes the connection to {}", text_at(listener, {"name"}),
               text_at(listener, {"destination"}));
  }
  const Json& chain = at(answer, {"filterChain"});
  if (!chain.is_object()) return;
  std::vector<std::string> match;
  for (const auto& [key, value] : at(chain, {"match"}).items())
    match.push_back(fmt::format("{} {}", key,
                                value.is_array()    ? join_strings(value)
                                : value.is_string() ? value.get<std::string>()
                                                    : value.dump()));
  const std::string name = text_at(chain, {"name"});
  steps.step("Filter chain {}{}", name.empty() ? std::string("without a name") : name,
             chain.value("default", false) ? " (the default one: no other matches)" : "");
  if (!match.empty()) steps.note("matches by {}", fmt::join(match, "; "));
  if (chain.value("tls", false))
    steps.note("ends TLS{}", chain.value("clientCertificateRequired", false)
                                 ? ", and wants a certificate of the mesh"
                                 : "");
}

void tell_policy(const Json& policy, Steps& steps) {
  const bool allowed = policy.value("allowed", true);
  const Json& names = at(policy, {"policies"});
  steps.note("{} policies [{}]: {}", text_at(policy, {"action"}),
             names.is_array() ? join_strings(names) : "", allowed ? "let it pass" : "refuse it");
  if (!allowed) steps.note("{}", text_at(policy, {"details"}));
}

void tell_route(const Json& answer, Steps& steps) {
  if (!answer.contains("routeConfig")) return;
  const Json& host = at(answer, {"virtualHost"});
  if (host.is_object()) {
    steps.step("Route configuration {}, virtual host {}", text_at(answer, {"routeConfig"}),
               text_at(host, {"name"}));
    steps.note("domains {}", join_strings(at(host, {"domains"})));
  } else {
    steps.step("Route configuration {} has no virtual host for it",
               text_at(answer, {"routeConfig"}));
  }
  const Json& route = at(answer, {"route"});
  const Json& reasons = at(answer, {"reasons"});
  if (route.is_object()) {
    const std::string config = text_at(route, {"config"});
    const std::string name = text_at(route, {"name"});
    steps.step("Route {}{}{}", route.value("position", 0), name.empty() ? "" : " \"" + name + "\"",
               config.empty() ? ", which no rule made" : ", from " + object_of(config));
  } else {
    steps.step("No route matches");
  }
  // The first line names the table and host again.
  for (std::size_t i = 1; reasons.is_array() && i < reasons.size(); ++i)
    steps.note("{}", reasons[i].get<std::string>());
  if (!route.is_object()) return;
  if (const Json& timeout = at(route, {"timeoutMs"}); timeout.is_number() && timeout != 0)
    steps.note("timeout {} ms", timeout.get<std::int64_t>());
  if (const Json& retries = at(route, {"retries"}); retries.is_object())
    steps.note("up to {} retries", retries.value("attempts", 0));
  if (const std::string path = text_at(route, {"rewrittenPath"}); !path.empty())
    steps.note("the path becomes {}", path);
  if (const std::string name = text_at(route, {"rewrittenHost"}); !name.empty())
    steps.note("the host becomes {}", name);
  if (const Json& mirrors = at(route, {"mirrors"}); mirrors.is_array()) {
    for (const Json& mirror : mirrors)
      steps.note("{}% are mirrored to {}", mirror.value("percent", 0.0),
                 text_at(mirror, {"cluster"}));
  }
}

void tell_filters(const Json& answer, Steps& steps) {
  const Json& filters = at(answer, {"filters"});
  if (!filters.is_array()) return;
  for (const Json& filter : filters) {
    const Json& policy = at(filter, {"policy"});
    const Json& fault = at(filter, {"fault"});
    if (!policy.is_object() && !fault.is_object()) continue;
    steps.step("Filter {}", text_at(filter, {"name"}));
    if (policy.is_object()) tell_policy(policy, steps);
    if (!fault.is_object()) continue;
    if (const Json& delay = at(fault, {"delay"}); delay.is_object())
      steps.note("delays {}% by {} ms", delay.value("percent", 0.0), delay.value("ms", 0));
    if (const Json& abort = at(fault, {"abort"}); abort.is_object())
      steps.note("answers {}% with {}", abort.value("percent", 0.0), abort.value("status", 0));
  }
}

void tell_cluster(const Json& cluster, Steps& steps) {
  const double share = cluster.value("percent", 100.0);
  const std::string config = text_at(cluster, {"config"});
  const std::string subset = text_at(cluster, {"subset"});
  steps.step("{}Cluster {}{}", share < 100 ? fmt::format("{}%: ", share) : "",
             text_at(cluster, {"name"}), config.empty() ? "" : ", by " + object_of(config));
  if (cluster.contains("missing")) return steps.note("is not there");
  if (!subset.empty()) steps.note("subset {}", subset);
  if (cluster.value("originalDestination", false))
    return steps.note("goes where the client meant to go");
  const Json& endpoints = at(cluster, {"endpoints"});
  if (!endpoints.is_array() || endpoints.empty()) return steps.note("has no endpoint");
  steps.note("{} among {} endpoint(s):", text_at(cluster, {"loadBalancing"}), endpoints.size());
  for (std::size_t i = 0; i < endpoints.size() && i < kMostEndpoints; ++i) {
    const Json& one = endpoints[i];
    const std::string workload = text_at(one, {"workload"});
    steps.note("  {} {}{}{}", text_at(one, {"address"}), text_at(one, {"health"}),
               workload.empty() ? "" : " " + workload,
               one.value("tls", false) ? ", by TLS" : ", in plain text");
  }
  if (endpoints.size() > kMostEndpoints)
    steps.note("  and {} more", endpoints.size() - kMostEndpoints);
}

}  // namespace

std::string object_of(std::string_view config) {
  const auto parts = split(config, '/');
  // "", apis, group, version, namespaces, namespace, kind, name
  if (parts.size() != 8 || parts[1] != "apis" || parts[4] != "namespaces")
    return std::string(config);
  return fmt::format("{} {}/{}", kind_of(parts[6]), parts[5], parts[7]);
}

std::string explain_text(const Json& answer, int& step) {
  std::string out;
  Steps steps(out, step);
  tell_connection(answer, steps);
  if (const Json& policies = at(answer, {"networkPolicies"}); policies.is_array()) {
    for (const Json& policy : policies) {
      steps.step("Policies of the connection");
      tell_policy(policy, steps);
    }
  }
  tell_route(answer, steps);
  tell_filters(answer, steps);
  if (const Json& clusters = at(answer, {"clusters"}); clusters.is_array()) {
    for (const Json& cluster : clusters) tell_cluster(cluster, steps);
  }
  out += fmt::format("  => {}\n", text_at(answer, {"outcome"}));
  return out;
}

}  // namespace mizzen::cli
