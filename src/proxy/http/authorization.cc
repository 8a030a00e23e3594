#include "proxy/http/authorization.h"

#include <fmt/format.h>

#include <span>
#include <vector>

namespace mizzen::proxy {
namespace {

std::string_view packed(const io::Address& address) {
  if (!address.is_ip()) return {};
  return {reinterpret_cast<const char*>(address.bytes().data()),
          address.family() == io::Family::kIpv4 ? std::size_t{4} : std::size_t{16}};
}

// Valid until the next call on this thread.
std::span<const std::string_view> principals_of(const io::PeerCertificate& peer) {
  thread_local std::vector<std::string_view> names;
  names.assign(peer.uri_sans.begin(), peer.uri_sans.end());
  names.insert(names.end(), peer.dns_sans.begin(), peer.dns_sans.end());
  names.push_back(peer.subject);
  return names;
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
    view.principals = principals_of(*connection.peer);
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
