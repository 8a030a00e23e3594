#include "control/mesh/hosts.h"

#include <arpa/inet.h>

#include "base/strings.h"

namespace mizzen::control {
namespace {

bool is_wildcard(std::string_view host) { return host.starts_with('*'); }

}  // namespace

bool is_address(std::string_view text) {
  if (text.empty() || text.size() > 45) return false;
  const std::string copy(text);
  unsigned char out[16];
  return inet_pton(AF_INET, copy.c_str(), out) == 1 || inet_pton(AF_INET6, copy.c_str(), out) == 1;
}

std::string resolve_host(std::string_view host, std::string_view name_space,
                         std::string_view domain) {
  std::string name = lower(host);
  if (name.empty() || is_wildcard(name) || name.find('.') != std::string::npos ||
      is_address(name)) {
    return name;
  }
  name += '.';
  name += name_space;
  name += ".svc.";
  name += domain;
  return name;
}

bool host_covers(std::string_view pattern, std::string_view host) {
  if (!is_wildcard(pattern)) return pattern == host;
  const std::string_view suffix = pattern.substr(1);
  if (is_wildcard(host)) {
    const std::string_view inner = host.substr(1);
    return inner.size() >= suffix.size() && inner.ends_with(suffix);
  }
  return host.size() > suffix.size() && host.ends_with(suffix);
}

bool hosts_overlap(std::string_view a, std::string_view b) {
  return host_covers(a, b) || host_covers(b, a);
}

bool more_specific_host(std::string_view a, std::string_view b) {
  if (is_wildcard(a) != is_wildcard(b)) return is_wildcard(b);
  if (a.size() != b.size()) return a.size() > b.size();
  return a < b;
}

std::vector<std::string> service_domains(std::string_view host, std::string_view proxy_namespace,
                                         std::string_view domain,
                                         const std::vector<std::string>& addresses) {
  std::vector<std::string> domains{std::string(host)};
  if (!is_wildcard(host) && !is_address(host)) domains.push_back(std::string(host) + ".");
  std::string cluster_suffix = ".svc.";
  cluster_suffix += domain;
  if (host.ends_with(cluster_suffix)) {
    const std::string_view short_name = host.substr(0, host.size() - cluster_suffix.size());
    const std::size_t dot = short_name.rfind('.');
    if (dot != std::string_view::npos) {
      const std::string_view name = short_name.substr(0, dot);
      const std::string_view name_space = short_name.substr(dot + 1);
      if (name_space == proxy_namespace) domains.emplace_back(name);
      domains.push_back(std::string(short_name) + ".svc");
      domains.emplace_back(short_name);
    }
  }
  for (const std::string& address : addresses) {
    // Envoy compares with the authority, where an IPv6 address stands in brackets.
    domains.push_back(address.find(':') == std::string::npos ? address : "[" + address + "]");
  }
  return domains;
}

}  // namespace mizzen::control
