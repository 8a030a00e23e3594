// Host names of the mesh: short names, wildcards, and the names by which a proxy may call a
// service.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mizzen::control {

// "reviews" in namespace "default" is "reviews.default.svc.cluster.local". A name with a dot, a
// wildcard or an address is returned as it is, in lower case.
std::string resolve_host(std::string_view host, std::string_view name_space,
                         std::string_view domain);

// True when `pattern` ("*", "*.example.com" or a plain name) covers `host`, which may be a
// wildcard itself: it is covered when everything it stands for is. Case is significant.
bool host_covers(std::string_view pattern, std::string_view host);

// True when the two have a name in common ("*.com" and "foo.com", either way round).
bool hosts_overlap(std::string_view a, std::string_view b);

// More specific first: plain names before wildcards, longer before shorter, then by letter.
bool more_specific_host(std::string_view a, std::string_view b);

// The domains of a service's virtual host as a proxy in `proxy_namespace` (whose DNS search list
// is that of its namespace) may write them: full name, full name with a dot, then the short forms
// and `addresses`. `host` need not be a cluster service: an outside name gives itself alone.
std::vector<std::string> service_domains(std::string_view host, std::string_view proxy_namespace,
                                         std::string_view domain,
                                         const std::vector<std::string>& addresses);

// True for text that is an IPv4 or IPv6 address.
bool is_address(std::string_view text);

}  // namespace mizzen::control
