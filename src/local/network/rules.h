// Service addresses as nftables rules: a pure function from services to text, and its application
// as one transaction. Text as nft(8) reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace mizzen::local {

struct ServiceBackend {
  std::string ip;
  std::uint16_t port = 0;
  bool operator==(const ServiceBackend&) const = default;
};

// One port of one service, under each address where it answers.
struct ServicePort {
  std::vector<std::string> addresses;  // cluster IP, external IPs, load balancer address
  std::uint16_t port = 0;
  bool udp = false;
  std::uint16_t node_port = 0;       // 0: none
  std::vector<std::uint16_t> doors;  // ports of the address that pods and the machine share
  bool client_ip_affinity = false;
  std::uint32_t affinity_seconds = 10800;
  std::vector<ServiceBackend> backends;  // ready ones; empty: connections are refused
};

struct WayOut {
  std::uint16_t relay_port = 0;  // of the node: TCP that is not the cluster's is redirected there
};

// The whole table `mizzen`, replacing the one before in one transaction. Connections that exist
// keep their backends (conntrack).
std::string service_rules(const std::vector<ServicePort>& services, const WayOut& way_out);

// What a pod's own namespace needs: the doors' address leads to the node.
std::string pod_rules();

// Runs `nft -f -` in the calling process's namespace. Blocking, a few milliseconds.
Status apply_rules(const std::string& rules);

}  // namespace mizzen::local
