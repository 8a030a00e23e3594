#include <algorithm>
#include <set>

#include "base/strings.h"
#include "config/rules.h"
#include "istio/networking.pb.h"

namespace mizzen::config {
namespace {

using Entry = schema::ServiceEntry;

void check_ports(Findings& out, const Entry& spec) {
  std::set<std::string> names;
  std::set<std::uint32_t> numbers;
  for (int i = 0; i < spec.ports_size(); ++i) {
    std::string path = at("spec", "ports", i);
    const auto& port = spec.ports(i);
    check_port(out, at(path, "number"), port.number());
    if (port.target_port() != 0) check_port(out, at(path, "targetPort"), port.target_port());
    if (!port.protocol().empty()) check_protocol(out, at(path, "protocol"), port.protocol());
    if (!names.insert(port.name()).second) {
      out.error(at(path, "name"), "port name \"{}\" stands twice: give each port its own",
                port.name());
    }
    if (!numbers.insert(port.number()).second) {
      out.error(at(path, "number"), "port {} stands twice: remove one", port.number());
    }
  }
}

void check_endpoint_ports(Findings& out, const std::string& path,
                          const schema::WorkloadEntry& endpoint, const Entry* entry) {
  const bool socket = endpoint.address().starts_with("unix://");
  for (const auto& [name, number] : endpoint.ports()) {
    const std::string here = fmt::format("{}[{}]", at(path, "ports"), name);
    check_port(out, here, number);
    if (socket) out.error(here, "a UNIX socket has no ports: remove it");
    if (entry == nullptr) continue;
    const bool known = std::ranges::any_of(
        entry->ports(), [&](const schema::ServicePort& port) { return port.name() == name; });
    if (!known) out.error(here, "no port of this ServiceEntry is named \"{}\"", name);
  }
}

void check_resolution(Findings& out, const Entry& spec) {
  bool endpoints = spec.endpoints_size() > 0;
  if (spec.resolution() == Entry::DNS_ROUND_ROBIN && spec.endpoints_size() > 1) {
    out.error("spec.endpoints",
              "resolution DNS_ROUND_ROBIN takes one endpoint: remove the others, or write DNS");
  }
  for (int i = 0; i < spec.endpoints_size(); ++i) {
    check_endpoint_ports(out, at("spec", "endpoints", i), spec.endpoints(i), &spec);
  }
  switch (spec.resolution()) {
    case Entry::NONE:
      if (endpoints) {
        out.error(
            "spec.endpoints",
            "resolution NONE uses no endpoints: write resolution: STATIC or DNS, or remove them");
      }
      break;
    case Entry::STATIC:
      for (int i = 0; i < spec.endpoints_size(); ++i) {
        const std::string& address = spec.endpoints(i).address();
        if (address.empty() || is_ip(address) || address.starts_with("unix://")) continue;
        out.error(
            at(at("spec", "endpoints", i), "address"),
            "\"{}\" is not an address, as resolution STATIC needs: write one, or resolution: DNS",
            address);
      }
      break;
    case Entry::DNS:
    case Entry::DNS_ROUND_ROBIN:
      if (endpoints) break;
      for (int i = 0; i < spec.hosts_size(); ++i) {
        if (spec.hosts(i).starts_with('*')) {
          out.error(at("spec", "hosts", i),
                    "\"{}\" cannot be looked up: write endpoints, or resolution: NONE",
                    spec.hosts(i));
        }
      }
      if (spec.resolution() == Entry::DNS_ROUND_ROBIN && spec.hosts_size() > 1) {
        out.error(
            "spec.hosts",
            "resolution DNS_ROUND_ROBIN takes one host: split this into several ServiceEntries");
      }
      break;
    case Entry::DYNAMIC_DNS:
      out.error("spec.resolution",
                "DYNAMIC_DNS is not supported: write DNS for plain hosts, NONE for wildcards");
      break;
    default:
      break;
  }
}

}  // namespace

void check_service_entry(Findings& out, const Entry& spec) {
  if (spec.hosts_size() == 0)
    out.error("spec.hosts", "is empty: write the host names of the service");
  for (int i = 0; i < spec.hosts_size(); ++i) {
    check_host(out, at("spec", "hosts", i), spec.hosts(i));
    if (spec.hosts(i) == "*") {
      out.error(at("spec", "hosts", i),
                "\"*\" is too much: write a name, or a wildcard such as *.example.com");
    }
  }
  for (int i = 0; i < spec.addresses_size(); ++i) {
    if (!is_cidr_or_ip(spec.addresses(i))) {
      out.error(at("spec", "addresses", i),
                "\"{}\" is not an address or range: write it as 10.0.0.1 or 10.0.0.0/8",
                spec.addresses(i));
    }
  }
  if (spec.has_workload_selector() && spec.endpoints_size() > 0) {
    out.error("spec.workloadSelector",
              "cannot stand together with \"endpoints\": keep one of them");
  }
  check_ports(out, spec);
  check_resolution(out, spec);
  for (int i = 0; i < spec.export_to_size(); ++i)
    check_export_to(out, at("spec", "exportTo", i), spec.export_to(i));
}

void check_workload_entry(Findings& out, const schema::WorkloadEntry& spec) {
  if (spec.address().empty() && spec.network().empty()) {
    out.error("spec.address", "is empty: write the workload's address");
  } else if (!spec.address().empty() && !is_ip(spec.address()) &&
             !spec.address().starts_with("unix://")) {
    check_host(out, "spec.address", spec.address(), false);
  }
  check_endpoint_ports(out, "spec", spec, nullptr);
}

void check_workload_group(Findings& out, const schema::WorkloadGroup& spec) {
  if (spec.has_probe()) {
    out.error("spec.probe",
              "is not supported: remove it, and let the machine's proxy stop when the workload is "
              "not well; its entry goes with it");
  }
  if (!spec.template_().address().empty()) {
    out.error("spec.template.address",
              "has no meaning here: remove it, each machine that registers brings its own");
  }
  check_endpoint_ports(out, "spec.template", spec.template_(), nullptr);
}

namespace {

// Of a Sidecar's ingress: certificates from files alone, since secrets are gateways'.
void check_ingress_tls(Findings& out, const std::string& path,
                       const schema::ServerTLSSettings& tls) {
  using Tls = schema::ServerTLSSettings;
  if (tls.mode() != Tls::SIMPLE && tls.mode() != Tls::MUTUAL) {
    out.error(at(path, "mode"), "{} is not for a sidecar: write SIMPLE or MUTUAL",
              Tls::TLSmode_Name(tls.mode()));
  }
  if (!tls.credential_name().empty() || tls.credential_names_size() > 0) {
    out.error(at(path, "credentialName"),
              "a sidecar reads no secrets for its ingress: write serverCertificate and privateKey");
  } else if (tls.tls_certificates().empty() &&
             (tls.server_certificate().empty() || tls.private_key().empty())) {
    out.error(at(path, "serverCertificate"), "is needed, and privateKey: write the files' paths");
  }
  if (tls.mode() == Tls::MUTUAL && tls.ca_certificates().empty() &&
      tls.tls_certificates().empty()) {
    out.error(at(path, "caCertificates"), "is needed by mode MUTUAL: write the file's path");
  }
  out.warn(path, "acts where a PeerAuthentication has the mesh's mutual TLS DISABLE for the port");
}

void check_egress_proxy(Findings& out, const schema::OutboundTrafficPolicy& policy) {
  const std::string path = "spec.outboundTrafficPolicy.egressProxy";
  if (policy.mode() != schema::OutboundTrafficPolicy::ALLOW_ANY) {
    out.error(path, "needs mode: ALLOW_ANY beside it");
  }
  check_destination_host(out, at(path, "host"), policy.egress_proxy().host());
  check_port(out, at(path, "port.number"), policy.egress_proxy().port().number());
}

}  // namespace

void check_sidecar(Findings& out, const schema::Sidecar& spec) {
  object::StringMap labels(spec.workload_selector().labels().begin(),
                           spec.workload_selector().labels().end());
  check_selector_labels(out, "spec.workloadSelector.labels", labels);
  for (int i = 0; i < spec.egress_size(); ++i) {
    std::string path = at("spec", "egress", i);
    if (spec.egress(i).hosts_size() == 0) {
      out.error(at(path, "hosts"),
                "is empty: write the hosts reached, such as \"./*\" for this namespace");
    }
    for (int j = 0; j < spec.egress(i).hosts_size(); ++j) {
      check_namespaced_host(out, at(path, "hosts", j), spec.egress(i).hosts(j), true);
    }
    const std::string& bind = spec.egress(i).bind();
    if (!bind.empty() && !is_ip(bind)) {
      out.error(at(path, "bind"), "\"{}\" is not supported: write an IP address", bind);
    }
    if (!spec.egress(i).has_port() && i + 1 < spec.egress_size()) {
      out.error(path, "a listener without a port takes all that is left: put it last");
    }
  }
  for (int i = 0; i < spec.ingress_size(); ++i) {
    std::string path = at("spec", "ingress", i);
    const auto& one = spec.ingress(i);
    check_port(out, at(path, "port.number"), one.port().number());
    if (!one.bind().empty() && !is_ip(one.bind())) {
      out.error(at(path, "bind"), "\"{}\" is not an IP address: write one", one.bind());
    }
    if (one.has_tls()) check_ingress_tls(out, at(path, "tls"), one.tls());
    std::string_view target = one.default_endpoint();
    if (target.empty() || target.starts_with("unix://")) continue;
    auto colon = target.rfind(':');
    std::string_view digits = colon == target.npos ? "" : target.substr(colon + 1);
    std::uint16_t port = parse_int<std::uint16_t>(digits).value_or(0);  // 0 is none either
    std::string_view host = target.substr(0, colon == target.npos ? 0 : colon);
    bool known = host == "127.0.0.1" || host == "0.0.0.0" || host == "[::1]" || host == "[::]" ||
                 host.empty();
    if (port == 0 || !known) {
      out.error(at(path, "defaultEndpoint"),
                "\"{}\" is not understood: write 127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path",
                target);
    }
  }
  if (spec.outbound_traffic_policy().has_egress_proxy()) {
    check_egress_proxy(out, spec.outbound_traffic_policy());
  }
  if (spec.has_inbound_connection_pool())
    check_pool(out, "spec.inboundConnectionPool", spec.inbound_connection_pool());
}

}  // namespace mizzen::config
