#include "report.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "home.h"
#include "io/listener.h"
#include "io/loop.h"
#include "local/network/pod_network.h"
#include "local/network/relay.h"
#include "local/runtime/cluster.h"

namespace mizzen::local {
namespace {

int ingress_port(const Json& state, const char* service_port) {
  const Json& port = at_path(state, {"ingress", service_port});
  return port.is_number_integer() ? port.get<int>() : 0;
}

// The state of a running cluster; says so when there is none.
bool running_state(const std::string& dir, Json* state) {
  if (lock_holder(dir) == 0) {
    fmt::print(stderr, "No cluster is running; start one with: mizzenctl up\n");
    return false;
  }
  *state = read_state(dir);
  return true;
}

}  // namespace

int print_status(const std::string& dir) {
  Json state;
  if (!running_state(dir, &state)) return 1;
  fmt::print("cluster:    {}\n", state.value("ready", false) ? "ready" : "starting");
  fmt::print("state:      {}\n", dir);
  fmt::print("runs as:    {}\n", state.value("ids", "?"));
  fmt::print("API server: https://{}\n", state.value("api", "?"));
  if (int port = ingress_port(state, "80"); port != 0)
    fmt::print("ingress:    http://127.0.0.1:{}\n", port);
  for (const Json& door : at_path(state, {"doors"})) {
    fmt::print("            {}/{}:{} answers on {}\n", door.value("namespace", ""),
               door.value("service", ""), door.value("port", 0), door.value("address", ""));
  }
  return 0;
}

int print_status_json(const std::string& dir) {
  Json state = Json::object();
  if (lock_holder(dir) != 0) state = read_state(dir);
  state["running"] = lock_holder(dir) != 0;
  state["known"] = std::filesystem::exists(dir + "/log");
  state["state"] = dir;
  fmt::print("{}\n", state.dump());
  return 0;
}

int print_env(const std::string& dir) {
  Json state;
  if (!running_state(dir, &state)) return 1;
  fmt::print("export KUBECONFIG='{}/kubeconfig'\n", dir);
  if (int port = ingress_port(state, "80"); port != 0) {
    fmt::print("export INGRESS_HOST={0}\nexport INGRESS_PORT={1}\nexport GATEWAY_URL={0}:{1}\n",
               state.value("ingressHost", "127.0.0.1"), port);
  }
  if (int port = ingress_port(state, "443"); port != 0)
    fmt::print("export SECURE_INGRESS_PORT={}\n", port);
  return 0;
}

int print_where_to_look(const std::string& dir, bool demo) {
  Json state;
  if (!running_state(dir, &state)) return 1;
  int port = ingress_port(state, "80");
  if (demo && port != 0)
    fmt::print("Bookinfo:   http://127.0.0.1:{}/productpage\n", port);
  else if (port != 0)
    fmt::print("Ingress:    http://127.0.0.1:{}\n", port);
  fmt::print("kubectl:    export KUBECONFIG={}/kubeconfig\n", dir);
  fmt::print("Settings:   eval \"$(mizzenctl env)\"\n");
  return 0;
}

int tunnel(const std::string& dir) {
  Json state;
  if (!running_state(dir, &state)) return 1;
  if (geteuid() != 0) {
    std::string self = program_dir() + "/mizzen-local";
    std::string home = "MIZZEN_HOME=" + dir;
    fmt::print("Ports 80 and 443 take root once; asking sudo.\n");
    std::fflush(nullptr);
    execlp("sudo", "sudo", home.c_str(), self.c_str(), "tunnel", nullptr);
    fmt::print(stderr, "mizzen-local: sudo: {}\n", std::strerror(errno));
    return 1;
  }
  io::EpollLoop loop;
  Relays relays(loop);
  std::vector<std::unique_ptr<Forwarder>> open;
  for (auto [outside, service] :
       {std::pair{std::uint16_t{80}, "80"}, {std::uint16_t{443}, "443"}}) {
    int port = ingress_port(state, service);
    if (port == 0) continue;
    auto to = io::Address::loopback(static_cast<std::uint16_t>(port));
    // The second is what the service's status says.
    for (const auto& where :
         {io::Address::loopback(outside), io::Address::from_ipv4(kDoorAddress, outside)}) {
      auto socket = io::listen_socket(where);
      auto forwarder = socket ? Forwarder::start(relays, std::move(*socket), [to] { return to; })
                              : Result<std::unique_ptr<Forwarder>>(std::unexpected(socket.error()));
      if (!forwarder) {
        fmt::print(stderr, "mizzen-local: {}: {}\n", where.to_string(), forwarder.error().message);
        return 1;
      }
      open.push_back(std::move(*forwarder));
      fmt::print("{} leads to the ingress on {}\n", where.to_string(), port);
    }
  }
  fmt::print("Until you press Ctrl-C.\n");
  std::fflush(nullptr);
  io::Signals signals(loop, {SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  loop.run();
  return 0;
}

}  // namespace mizzen::local
