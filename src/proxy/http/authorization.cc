#include "proxy/http/authorization.h"

#include <fmt/format.h>

namespace mizzen::proxy {
namespace {

std::string_view packed(const io::Address& address) {
  if (!address.is_ip()) return {};
  return {reinterpret_cast<const char*>(address.bytes().data()),
          address.family() == io::Family::kIpv4 ? std::size_t{4} : std::size_t{16}};
}

}  // namespace

std::optional<std::string> denied(const route::Rbac& rules, const ConnectionInfo& connection,
                                  const io::Address& remote, const route::RequestView* request) {
  route::ConnectionView view;
  view.destination_ip = packed(connection.local);
  view.destination_port = connection.local.port();
  view.direct_source_ip = packed(connection.remote);
  view.remote_ip = packed(remote);
  view.server_name = connection.server_name;
  view.tls = connection.mutual_tls;
  if (connection.mutual_tls) {
    const io::PeerCertificate& peer = *connection.peer;
    view.principals.reserve(peer.uri_sans.size() + peer.dns_sans.size() + 1);
    for (const std::string& uri : peer.uri_sans) view.principals.push_back(uri);
    for (const std::string& dns : peer.dns_sans) view.principals.push_back(dns);
    view.principals.push_back(peer.subject);
  }
  route::RbacVerdict verdict = route::evaluate(rules, view, request, nullptr);
  if (verdict.allowed) return std::nullopt;
  return fmt::format("rbac_access_denied_matched_policy[{}]",
                     verdict.policy.empty() ? std::string_view("none") : verdict.policy);
}

std::optional<std::string> denied_by_chain(const FilterChain& chain,
                                           const ConnectionInfo& connection) {
  for (const NetworkFilter& filter : chain.before) {
    const auto& rbac = std::get<NetworkRbac>(filter);
    if (rbac.rules == nullptr) continue;
    if (auto details = denied(*rbac.rules, connection, connection.remote, nullptr)) return details;
  }
  return std::nullopt;
}

}  // namespace mizzen::proxy
