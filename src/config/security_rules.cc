#include <google/protobuf/duration.pb.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "config/rules.h"
#include "istio/security.pb.h"
#include "object/json.h"

namespace mizzen::config {
namespace {

template <class Selector>
object::StringMap selector_labels(const Selector& selector) {
  return {selector.match_labels().begin(), selector.match_labels().end()};
}

using Strings = google::protobuf::RepeatedPtrField<std::string>;

void check_values(Findings& out, const std::string& path, std::string_view member,
                  const Strings& values) {
  for (int i = 0; i < values.size(); ++i) {
    const std::string& value = values[i];
    std::string where = at(path, member, i);
    if (value.empty()) out.error(where, "is empty: write a value or remove it");
    bool inner = value.size() > 2 && value.find('*', 1) < value.size() - 1;
    if (inner && !member.ends_with("aths")) {
      out.error(where, "\"{}\": a wildcard may stand only at the start or at the end", value);
    }
  }
}

void check_blocks(Findings& out, const std::string& path, std::string_view member,
                  const Strings& values) {
  for (int i = 0; i < values.size(); ++i) {
    if (!is_cidr_or_ip(values[i])) {
      out.error(at(path, member, i),
                "\"{}\" is not an address or range: write it as 10.0.0.1 or 10.0.0.0/8", values[i]);
    }
  }
}

void check_source(Findings& out, const std::string& path, const schema::Source& source) {
  if (source.ByteSizeLong() == 0) {
    return out.error(path, "is empty: write principals, namespaces, ipBlocks or the like in it");
  }
  check_values(out, path, "principals", source.principals());
  check_values(out, path, "notPrincipals", source.not_principals());
  check_values(out, path, "requestPrincipals", source.request_principals());
  check_values(out, path, "notRequestPrincipals", source.not_request_principals());
  check_values(out, path, "namespaces", source.namespaces());
  check_values(out, path, "notNamespaces", source.not_namespaces());
  check_values(out, path, "serviceAccounts", source.service_accounts());
  check_values(out, path, "notServiceAccounts", source.not_service_accounts());
  check_blocks(out, path, "ipBlocks", source.ip_blocks());
  check_blocks(out, path, "notIpBlocks", source.not_ip_blocks());
  check_blocks(out, path, "remoteIpBlocks", source.remote_ip_blocks());
  check_blocks(out, path, "notRemoteIpBlocks", source.not_remote_ip_blocks());
  bool accounts = source.service_accounts_size() + source.not_service_accounts_size() > 0;
  if (accounts && (source.principals_size() > 0 || source.namespaces_size() > 0)) {
    out.error(at(path, "serviceAccounts"),
              "cannot stand together with principals or namespaces: keep one of them");
  }
}

void check_operation(Findings& out, const std::string& path, const schema::Operation& operation) {
  if (operation.ByteSizeLong() == 0) {
    return out.error(path, "is empty: write hosts, ports, methods or paths in it");
  }
  check_values(out, path, "hosts", operation.hosts());
  check_values(out, path, "notHosts", operation.not_hosts());
  check_values(out, path, "methods", operation.methods());
  check_values(out, path, "notMethods", operation.not_methods());
  check_values(out, path, "paths", operation.paths());
  check_values(out, path, "notPaths", operation.not_paths());
  for (const auto* ports : {&operation.ports(), &operation.not_ports()}) {
    for (int i = 0; i < ports->size(); ++i) {
      auto number = parse_int<std::uint32_t>((*ports)[i]);
      if (number && *number >= 1 && *number <= 65535) continue;
      out.error(at(path, ports == &operation.ports() ? "ports" : "notPorts", i),
                "\"{}\" is no port: write a number from 1 to 65535, in quotes", (*ports)[i]);
    }
  }
}

void check_condition(Findings& out, const std::string& path, const schema::Condition& condition) {
  static constexpr std::array<std::string_view, 16> kKeys = {"source.ip",
                                                             "remote.ip",
                                                             "source.namespace",
                                                             "source.principal",
                                                             "source.serviceAccount",
                                                             "source.trustDomain",
                                                             "request.auth.principal",
                                                             "request.auth.audiences",
                                                             "request.auth.presenter",
                                                             "destination.ip",
                                                             "destination.port",
                                                             "connection.sni",
                                                             "request.headers",
                                                             "request.auth.claims",
                                                             "experimental.envoy.filters",
                                                             ""};
  std::string_view key = condition.key();
  std::string_view base = key.substr(0, key.find('['));
  bool known = !key.empty() && (std::ranges::find(kKeys, base) != kKeys.end() ||
                                key.starts_with("experimental.envoy.filters."));
  if (!known) {
    out.error(at(path, "key"),
              "\"{}\" is not a condition's key: write one such as source.namespace, "
              "request.headers[name] or request.auth.claims[name]",
              key);
  }
  if ((base == "request.headers" || base == "request.auth.claims") && !key.ends_with(']')) {
    out.error(at(path, "key"), "\"{}\" lacks its name: write {}[name]", key, base);
  }
  if (condition.values_size() + condition.not_values_size() == 0) {
    out.error(path, "compares with nothing: write values or notValues");
  }
  if (base == "source.ip" || base == "remote.ip" || base == "destination.ip") {
    check_blocks(out, path, "values", condition.values());
    check_blocks(out, path, "notValues", condition.not_values());
  }
}

}  // namespace

void check_peer_authentication(Findings& out, const schema::PeerAuthentication& spec) {
  object::StringMap labels = selector_labels(spec.selector());
  check_selector_labels(out, "spec.selector.matchLabels", labels);
  for (const auto& [port, mode] : spec.port_level_mtls()) {
    check_port(out, fmt::format("spec.portLevelMtls[{}]", port), port);
  }
  if (spec.port_level_mtls_size() > 0 && labels.empty()) {
    out.error("spec.portLevelMtls",
              "needs spec.selector: write matchLabels of the workloads whose ports these are");
  }
}

void check_authorization_policy(Findings& out, const schema::AuthorizationPolicy& spec) {
  using Policy = schema::AuthorizationPolicy;
  check_selector_labels(out, "spec.selector.matchLabels", selector_labels(spec.selector()));
  if (spec.has_selector() && (spec.has_target_ref() || spec.target_refs_size() > 0)) {
    out.error("spec.targetRefs", "cannot stand together with \"selector\": keep one of them");
  }
  if (spec.action() == Policy::CUSTOM && spec.provider().name().empty()) {
    out.error("spec.provider.name",
              "is needed by action CUSTOM: write an extension provider of the mesh configuration");
  }
  if (spec.action() != Policy::CUSTOM && spec.has_provider()) {
    out.error("spec.provider", "belongs to action CUSTOM only: remove it, or write action: CUSTOM");
  }
  if (spec.action() != Policy::ALLOW && spec.rules_size() == 0) {
    out.error(
        "spec.rules",
        "is empty, which makes action {} do nothing: write a rule (`- {{}}` matches everything)",
        Policy::Action_Name(spec.action()));
  }
  for (int i = 0; i < spec.rules_size(); ++i) {
    std::string path = at("spec", "rules", i);
    const auto& rule = spec.rules(i);
    for (int j = 0; j < rule.from_size(); ++j) {
      check_source(out, at(at(path, "from", j), "source"), rule.from(j).source());
    }
    for (int j = 0; j < rule.to_size(); ++j) {
      check_operation(out, at(at(path, "to", j), "operation"), rule.to(j).operation());
    }
    for (int j = 0; j < rule.when_size(); ++j)
      check_condition(out, at(path, "when", j), rule.when(j));
  }
}

void check_request_authentication(Findings& out, const schema::RequestAuthentication& spec) {
  check_selector_labels(out, "spec.selector.matchLabels", selector_labels(spec.selector()));
  for (int i = 0; i < spec.jwt_rules_size(); ++i) {
    std::string path = at("spec", "jwtRules", i);
    const auto& rule = spec.jwt_rules(i);
    if (rule.issuer().empty())
      out.error(at(path, "issuer"), "is empty: write the `iss` of the tokens");
    if (!rule.jwks_uri().empty() && !rule.jwks_uri().starts_with("https://") &&
        !rule.jwks_uri().starts_with("http://")) {
      out.error(at(path, "jwksUri"), "\"{}\" is not a URL: write https://...", rule.jwks_uri());
    }
    if (!rule.jwks().empty() && !rule.jwks_uri().empty()) {
      out.error(at(path, "jwksUri"), "cannot stand together with \"jwks\": keep one of them");
    }
    if (!rule.jwks().empty()) {
      auto keys = object::parse_json(rule.jwks());
      if (!keys || !object::find(*keys, {"keys"})) {
        out.error(at(path, "jwks"), "is not a JSON Web Key Set: write {{\"keys\": [...]}}");
      }
    }
    for (int j = 0; j < rule.audiences_size(); ++j) {
      if (rule.audiences(j).empty())
        out.error(at(path, "audiences", j), "is empty: write an audience or remove it");
    }
    for (int j = 0; j < rule.from_headers_size(); ++j) {
      if (!valid_header_name(rule.from_headers(j).name())) {
        out.error(at(at(path, "fromHeaders", j), "name"), "\"{}\" is not a header's name",
                  rule.from_headers(j).name());
      }
    }
    if (rule.has_timeout()) check_duration(out, at(path, "timeout"), rule.timeout());
  }
}

}  // namespace mizzen::config
