#include <set>

#include "base/strings.h"
#include "config/rules.h"
#include "istio/networking.pb.h"

namespace mizzen::config {
namespace {

using Tls = schema::ServerTLSSettings;

void check_tls(Findings& out, const std::string& path, const Tls& tls) {
  bool certificate = !tls.server_certificate().empty() || !tls.credential_name().empty() ||
                     tls.credential_names_size() > 0 || tls.tls_certificates_size() > 0;
  bool own =
      tls.mode() == Tls::SIMPLE || tls.mode() == Tls::MUTUAL || tls.mode() == Tls::OPTIONAL_MUTUAL;
  if (own && !certificate) {
    out.error(
        at(path, "credentialName"),
        "mode {} needs a certificate: write the name of a TLS Secret in the gateway's namespace",
        Tls::TLSmode_Name(tls.mode()));
  }
  if (own && !tls.server_certificate().empty() && tls.private_key().empty()) {
    out.error(at(path, "privateKey"), "is needed beside serverCertificate");
  }
  if (own && !tls.server_certificate().empty() && !tls.credential_name().empty()) {
    out.error(at(path, "credentialName"),
              "cannot stand together with \"serverCertificate\": keep one of them");
  }
  if (tls.mode() == Tls::MUTUAL && tls.credential_name().empty() &&
      tls.credential_names_size() == 0 && tls.ca_certificates().empty() &&
      tls.ca_cert_credential_name().empty() && tls.tls_certificates_size() == 0) {
    out.error(at(path, "caCertificates"),
              "is needed by mode MUTUAL: write the file's path, or use credentialName");
  }
  if (tls.mode() == Tls::ISTIO_MUTUAL && certificate) {
    out.error(path,
              "mode ISTIO_MUTUAL uses the mesh's own certificates: remove the certificate fields");
  }
  if (tls.min_protocol_version() && tls.max_protocol_version() &&
      tls.min_protocol_version() > tls.max_protocol_version()) {
    out.error(at(path, "minProtocolVersion"), "{} is above maxProtocolVersion {}",
              Tls::TLSProtocol_Name(tls.min_protocol_version()),
              Tls::TLSProtocol_Name(tls.max_protocol_version()));
  }
}

void check_server(Findings& out, const std::string& path, const schema::Server& server) {
  if (server.has_port()) {
    check_port(out, at(path, "port.number"), server.port().number());
    check_protocol(out, at(path, "port.protocol"), server.port().protocol());
    if (server.port().name().empty())
      out.error(at(path, "port.name"), "is empty: write a name such as http");
  }
  if (!server.default_endpoint().empty()) {
    out.error(at(path, "defaultEndpoint"),
              "is not supported, by Istio's gateways neither: write a VirtualService for the host");
  }
  if (server.hosts_size() == 0)
    out.error(at(path, "hosts"), "is empty: write the hosts served, or \"*\" for all");
  for (int i = 0; i < server.hosts_size(); ++i) {
    check_namespaced_host(out, at(path, "hosts", i), server.hosts(i), false);
  }
  std::string protocol = lower(server.port().protocol());
  bool tls_port = protocol == "https" || protocol == "tls";
  if (tls_port && !server.has_tls()) {
    out.error(at(path, "tls"),
              "is needed by protocol {}: write tls with a mode, such as SIMPLE or PASSTHROUGH",
              server.port().protocol());
  }
  if (!server.has_tls()) return;
  if (!tls_port && protocol.starts_with("http") && !server.tls().https_redirect()) {
    out.error(at(path, "tls"),
              "protocol {} has no TLS: write protocol HTTPS, or only httpsRedirect in tls",
              server.port().protocol());
  }
  if (tls_port) check_tls(out, at(path, "tls"), server.tls());
  if (tls_port && server.tls().https_redirect()) {
    out.error(at(path, "tls.httpsRedirect"), "belongs to the plain HTTP port, not to a {} one",
              server.port().protocol());
  }
}

}  // namespace

void check_gateway(Findings& out, const schema::Gateway& spec) {
  if (spec.servers_size() == 0)
    out.error("spec.servers", "is empty: write at least one server with port and hosts");
  if (spec.selector().empty()) {
    out.warn(
        "spec.selector",
        "is empty: this applies to every workload; write istio: ingressgateway for the gateway");
  }
  std::set<std::string> names;
  for (int i = 0; i < spec.servers_size(); ++i) {
    std::string path = at("spec", "servers", i);
    check_server(out, path, spec.servers(i));
    const std::string& name = spec.servers(i).port().name();
    if (!name.empty() && !names.insert(name).second) {
      out.error(at(path, "port.name"), "port names in servers must be unique: \"{}\" stands twice",
                name);
    }
  }
}

}  // namespace mizzen::config
