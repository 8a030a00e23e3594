// On-demand scope: of all that a sidecar may see (scope.h), the part that it has asked for by name.
// Internal to control. Pure; any thread.
//
// A name is "<host>:<port>": a host as a client writes it, an address, or "*" for the port as such:
// whether connections to it are looked at for HTTP and TLS, and who takes its bytes whatever the
// address. What is narrowed answers for the names asked for as the whole would. So that a wildcard
// never answers for a name that has an answer of its own, it brings all that it covers.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/mesh/snapshot.h"
#include "io/address.h"

namespace mizzen::control {

struct Need {
  std::string host;  // lower case, without brackets and a dot at the end
  std::uint16_t port = 0;
};
// Nothing for what is no name (a host of more than 253 bytes or with other than letters, digits,
// "-._*:", a port that is none).
std::optional<Need> parse_need(std::string_view name);

// What names stand for. Proxies of one namespace with equal ones are told the same.
struct Wanted {
  std::set<std::string> hosts;    // services that are called
  std::set<std::string> rules;    // VirtualServices, "namespace/name", for hosts without a service
  std::set<std::uint16_t> ports;  // asked for as such
  auto operator<=>(const Wanted&) const = default;
};

// Whether `proxy` is told what it asks for alone. Sidecars with an egress of their own are limited
// by hand already and get that whole; so do those whose sockets are their own.
bool learns_scope(const Snapshot& scope, const Proxy& proxy);

// The look-ups of one scope.
class Directory {
 public:
  // `scope` as scope_for() gives it to `proxy`, which stands for every proxy with the same scope.
  Directory(const Snapshot& scope, const Proxy& proxy);

  // Adds what the name stands for; false when that is nothing. `scope` has the services of the one
  // that this was made of; their endpoints may differ.
  bool find(const Need& need, const Snapshot& scope, Wanted* wanted) const;

  // The part of `scope` that `wanted` names, with what its VirtualServices lead to.
  std::shared_ptr<const Snapshot> narrow(const std::shared_ptr<const Snapshot>& scope,
                                         const Wanted& wanted) const;

 private:
  struct Range {
    io::Cidr addresses;
    std::string host;
  };
  bool find_address(const Need& need, const Snapshot& scope, Wanted* wanted) const;
  bool find_host(const Need& need, const Snapshot& scope, Wanted* wanted) const;
  bool find_port(std::uint16_t port, Wanted* wanted) const;
  void index(const Service& service);
  void index(const Snapshot& scope, const VirtualServiceRule& rule);
  void add_host(const std::string& host, const Snapshot& scope, Wanted* wanted) const;
  void cover(const std::string& pattern, const Snapshot& scope, Wanted* wanted) const;
  bool add_rules(const std::string& host, const Snapshot& scope, Wanted* wanted) const;

  Proxy proxy_;
  std::string domain_;
  std::unordered_map<io::Address, std::vector<std::string>> by_address_;  // hosts of services
  std::vector<Range> ranges_;
  std::map<std::uint16_t, SharedPort> ports_;
  std::map<std::uint16_t, std::vector<std::string>> takers_;  // of a port's bytes, by no address
  // Hosts read backwards: what a wildcard covers stands together.
  std::set<std::string> services_;
  std::set<std::string> rule_hosts_;
  // Rules by the hosts that no service has, and by server names.
  std::map<std::string, std::vector<std::string>, std::less<>> rules_;
};

}  // namespace mizzen::control
