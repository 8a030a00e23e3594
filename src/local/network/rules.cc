#include "local/network/rules.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "io/unique_fd.h"
#include "local/network/pod_network.h"

extern char** environ;

namespace mizzen::local {
namespace {

std::string backend_map(const std::vector<ServiceBackend>& backends) {
  std::string text = fmt::format("numgen random mod {} map {{ ", backends.size());
  for (std::size_t i = 0; i < backends.size(); ++i) {
    text += fmt::format("{}{} : {} . {}", i == 0 ? "" : ", ", i, backends[i].ip, backends[i].port);
  }
  return text + " }";
}

// Affinity by a hash of the client's address: stateless, moves clients only when backends change.
std::string affinity_map(const std::vector<ServiceBackend>& backends) {
  std::string map = backend_map(backends);
  return fmt::format("jhash ip saddr mod {} {}", backends.size(), map.substr(map.find("map")));
}

std::string service_chain(std::size_t index, const ServicePort& service) {
  if (service.backends.empty()) return {};
  std::string protocol = service.udp ? "udp" : "tcp";
  std::string choice =
      service.client_ip_affinity ? affinity_map(service.backends) : backend_map(service.backends);
  return fmt::format("  chain svc{} {{\n    meta l4proto {} dnat ip to {}\n  }}\n", index, protocol,
                     choice);
}

std::string hairpins(const std::vector<ServicePort>& services) {
  std::set<std::string> ips;
  for (const ServicePort& service : services) {
    for (const ServiceBackend& backend : service.backends) ips.insert(backend.ip);
  }
  std::string text;
  for (const std::string& ip : ips) text += fmt::format("      {} . {},\n", ip, ip);
  return text;
}

}  // namespace

std::string service_rules(const std::vector<ServicePort>& services, const WayOut& way_out) {
  std::string chains;
  std::string by_address;
  std::string by_node_port;
  std::string by_door;
  for (std::size_t i = 0; i < services.size(); ++i) {
    const ServicePort& service = services[i];
    chains += service_chain(i, service);
    if (service.backends.empty()) continue;
    const char* protocol = service.udp ? "udp" : "tcp";
    for (const std::string& address : service.addresses) {
      by_address +=
          fmt::format("      {} . {} . {} : goto svc{},\n", address, protocol, service.port, i);
    }
    for (std::uint16_t door : service.doors) {
      if (!service.udp) by_door += fmt::format("      {} : goto svc{},\n", door, i);
    }
    if (service.node_port != 0) {
      by_node_port += fmt::format("      {} . {} : goto svc{},\n", protocol, service.node_port, i);
    }
  }
  auto elements = [](const std::string& text) {
    return text.empty() ? std::string() : "    elements = {\n" + text + "    }\n";
  };
  std::string out = "table ip mizzen\ndelete table ip mizzen\ntable ip mizzen {\n" + chains;
  out += "  map services {\n    type ipv4_addr . inet_proto . inet_service : verdict\n" +
         elements(by_address) + "  }\n";
  out += "  map node_ports {\n    type inet_proto . inet_service : verdict\n" +
         elements(by_node_port) + "  }\n";
  out += "  map doors {\n    type inet_service : verdict\n" + elements(by_door) + "  }\n";
  std::string redirect =
      way_out.relay_port == 0
          ? std::string()
          // Not `redirect`: a veth without an address of its own has none to redirect to.
          : fmt::format(
                "    ip daddr != {{ 10.96.0.0/16, 127.0.0.0/8 }} ip daddr != {{ 10.244.0.0/31, "
                "10.244.0.3-10.244.255.255 }} meta l4proto tcp "
                "dnat to 10.244.0.1:{}\n",
                way_out.relay_port);
  std::string lookup =
      "    ip daddr 10.244.0.3 tcp dport vmap @doors\n"
      "    ip daddr . meta l4proto . th dport vmap @services\n"
      "    ip daddr 10.244.0.1 meta l4proto . th dport vmap @node_ports\n";
  out += "  chain prerouting {\n    type nat hook prerouting priority dstnat;\n" + lookup +
         redirect + "  }\n";
  out += "  chain output {\n    type nat hook output priority -100;\n" + lookup + "  }\n";
  // A pod that calls its own service meets itself: its own address must not come back as the
  // source.
  out +=
      "  set hairpin {\n    type ipv4_addr . ipv4_addr\n" + elements(hairpins(services)) + "  }\n";
  out +=
      "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n"
      "    ct status dnat ip saddr . ip daddr @hairpin masquerade\n  }\n";
  // What is left of the service range has nobody behind it.
  const char* refuse =
      "    ip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 meta l4proto tcp reject with tcp reset\n"
      "    ip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 reject\n";
  out += std::string("  chain forward {\n    type filter hook forward priority filter;\n") +
         refuse + "  }\n";
  // Connections under a client's address: what comes back is for the node.
  out += fmt::format(
      "  chain door {{\n    type filter hook output priority mangle;\n"
      "    meta mark {:#x} ct mark set {:#x}\n  }}\n"
      "  chain door_reply {{\n    type filter hook prerouting priority mangle;\n"
      "    ct direction reply ct mark {:#x} meta mark set ct mark\n  }}\n",
      kDoorMark, kDoorReplyMark, kDoorReplyMark);
  out += std::string("  chain local {\n    type filter hook output priority filter;\n") + refuse +
         "  }\n}\n";
  return out;
}

std::string pod_rules() {
  return fmt::format(
      "table ip mizzen_pod {{\n"
      "  chain output {{\n    type nat hook output priority -110;\n"
      "    ip daddr {} meta l4proto tcp dnat to {}\n  }}\n"
      "  chain postrouting {{\n    type nat hook postrouting priority srcnat;\n"
      "    ip saddr 127.0.0.0/8 ip daddr {} masquerade\n  }}\n}}\n",
      ipv4_text(kDoorAddress), ipv4_text(kDoorsInside), ipv4_text(kDoorsInside));
}

Status apply_rules(const std::string& rules) {
  io::UniqueFd input(memfd_create("nft", MFD_CLOEXEC));
  io::UniqueFd output(memfd_create("nft-errors", MFD_CLOEXEC));
  if (!input || !output) return std::unexpected(errno_error("memfd_create", errno));
  if (write(input.get(), rules.data(), rules.size()) != static_cast<ssize_t>(rules.size())) {
    return fail(Code::kInternal, "cannot write the rules");
  }
  lseek(input.get(), 0, SEEK_SET);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, output.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, output.get(), 2);
  char* argv[] = {const_cast<char*>("nft"), const_cast<char*>("-f"), const_cast<char*>("-"),
                  nullptr};
  pid_t pid = -1;
  int error = posix_spawn(&pid, "/usr/sbin/nft", &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(errno_error("run /usr/sbin/nft", error));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  char text[2000];
  ssize_t n = pread(output.get(), text, sizeof text, 0);
  return fail(Code::kInternal,
              fmt::format("nft refused the service rules: {}",
                          std::string_view(text, n > 0 ? static_cast<std::size_t>(n) : 0)));
}

}  // namespace mizzen::local
