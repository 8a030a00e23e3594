// Capture rules of a pod's network namespace: the `istio-iptables` step of an injected pod. What
// goes out is redirected to the proxy's outbound port and what comes in to its inbound port, but
// for the proxy's own traffic (uid, gid and mark 1337).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::proxy {

// The flags of istio-iptables that Istio's injection templates use.
struct CaptureOptions {
  std::uint16_t outbound_port = 15001;              // -p
  std::uint16_t inbound_port = 15006;               // -z
  std::vector<std::string> uids = {"1337"};         // -u
  std::vector<std::string> gids = {"1337"};         // -g
  bool include_all_inbound = false;                 // -b '*'
  std::vector<std::string> include_inbound;         // -b, ports
  std::vector<std::string> exclude_inbound;         // -d, ports
  bool include_all_outbound = false;                // -i '*'
  std::vector<std::string> include_outbound;        // -i, ranges
  std::vector<std::string> exclude_outbound;        // -x, ranges
  std::vector<std::string> include_outbound_ports;  // -q: captured wherever they go
  std::vector<std::string> exclude_outbound_ports;  // -o
  bool dns = false;                                 // --redirect-dns: UDP queries to the agent
  bool dry_run = false;                             // --dry-run: prints the rules only
};

// Reads the arguments after `istio-iptables`. Flags that we know and cannot honour (TPROXY)
// are refused by name, unknown ones too.
Result<CaptureOptions> parse_capture(std::span<const std::string> arguments);

// The rules as nft reads them with `nft -f -`; one table, `inet mizzen_capture`, made anew.
std::string nft_rules(const CaptureOptions& options);
// The same for IPv4 and IPv6 as iptables-restore and ip6tables-restore read them, in chains of our
// own.
std::string iptables_rules(const CaptureOptions& options, bool ipv6);

// Applies them in this network namespace: with nft, else with iptables-restore. Needs
// CAP_NET_ADMIN.
Status apply_capture(const CaptureOptions& options);

}  // namespace mizzen::proxy
